//! Reads the kernels' bans all the time, and keeps until when each was to hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use secbeat_common::prefix::Prefix;
use secbeat_daemon::time::now_ms;
use secbeat_edge::kernel::{BanMaps, Pins, boot_now};

use super::Busy;

const PACE: Duration = Duration::from_millis(200);
/// How far the ends of one ban may lie apart, as converted from one clock to the other, in milliseconds.
pub const CLOCKS_MS: i64 = 1000;

/// The ends of each target's bans that were seen in some kernel, milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct Seen {
    pub ends: BTreeMap<Prefix, BTreeSet<i64>>,
    /// Times that a kernel's maps were read.
    pub looks: u64,
}

/// Watches the maps that are pinned in `folders`.
#[must_use]
pub fn watch(folders: Vec<PathBuf>) -> Busy<Seen> {
    Busy::start(Seen::default(), move |seen| {
        for folder in &folders {
            for (target, end_ms) in in_force(folder) {
                let ends = seen.ends.entry(target).or_default();
                // Each conversion rounds in its own way.
                if ends.range(end_ms - 50..=end_ms + 50).next().is_none() {
                    ends.insert(end_ms);
                }
            }
            seen.looks += 1;
        }
        sleep(PACE);
    })
}

/// The bans that the maps pinned in `folder` hold and the program enforces, with their ends.
///
/// # Panics
///
/// When they cannot be read.
#[must_use]
pub fn in_force(folder: &Path) -> BTreeMap<Prefix, i64> {
    let maps = BanMaps::open(&Pins::at(folder)).expect("the pinned maps");
    let bans = maps.all().expect("the bans in the kernel");
    let (now_ns, now_ms) = (boot_now().0, now_ms());
    let bans = bans.into_iter().filter(|(_, ban)| ban.ends.0 > now_ns);
    let end = |ends_ns: u64| now_ms + i64::try_from((ends_ns - now_ns) / 1_000_000).unwrap_or(i64::MAX / 2);
    bans.map(|(target, ban)| (target, end(ban.ends.0))).collect()
}
