//! The thread of one source that is files.

use std::time::{Duration, Instant};

use tracing::warn;

use super::{
    checkpoint::Store,
    follow::Follower,
    stop::{Stop, Woken},
    watch::{Change, Watch},
};
use crate::telemetry::Closed;

/// Interval at which it is looked what the paths lead to, whatever inotify says: some file systems do not tell.
const LOOK: Duration = Duration::from_secs(3);
/// The same for what open files have.
const READ: Duration = Duration::from_secs(1);
/// The same without inotify.
const LOOK_UNTOLD: Duration = Duration::from_millis(100);
/// From one reading to the next while lines come: they come in company then.
const PAUSE: Duration = Duration::from_millis(2);

/// Reads until `stop`.
pub(super) fn run(mut follower: Follower, mut store: Store, stop: &Stop) {
    let mut watch = Watch::open()
        .inspect_err(
            |error| warn!(%error, "no inotify: access logs are looked at ten times a second instead"),
        )
        .ok();
    let every = if watch.is_some() { LOOK } else { LOOK_UNTOLD };
    let mut looked: Option<Instant> = None;
    // Whether lines may have come.
    let mut is_told = true;
    loop {
        if looked.is_none_or(|looked| looked.elapsed() >= every) {
            looked = Some(Instant::now());
            // Watched before it is read: what happens from here on is told.
            follower.look();
            if let Some(watch) = &mut watch {
                let (files, paths) = follower.watched();
                watch.arm(files, paths);
            }
        }
        let more = match follower.read() {
            Ok(more) => more,
            Err(Closed) => return,
        };
        store.keep(|| follower.saved());
        if more {
            if stop.is_stopped() {
                break;
            }
            continue;
        }
        let due = looked.map_or(every, |looked| every.saturating_sub(looked.elapsed()));
        let timeout = store.due().unwrap_or(due).min(due).min(READ);
        let pause = if is_told { PAUSE } else { Duration::ZERO };
        let woken = stop.wait(None, pause).and_then(|woken| match woken {
            Woken::Stopped => Ok(woken),
            _ => stop.wait(watch.as_ref().map(Watch::readable), timeout),
        });
        is_told = watch.is_none() || matches!(woken, Ok(Woken::Readable));
        match woken {
            Ok(Woken::Stopped) => break,
            Ok(Woken::Readable) if watch.as_mut().map(Watch::drain) == Some(Change::Names) => looked = None,
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "cannot wait for access logs");
                std::thread::sleep(LOOK_UNTOLD);
            }
        }
    }
    let ended = follower.ended();
    store.finish(ended);
}
