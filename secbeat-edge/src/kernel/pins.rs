//! The pins under bpffs: what survives the daemon, and the checks before anything there is trusted.

use std::{
    collections::HashSet,
    ffi::OsString,
    fmt, fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use aya::maps::{MapInfo, MapType};
use nix::sys::statfs::{FsType, statfs};
use secbeat_common::maps::{self, Allow, Ban, Counter, Flood, NetKey, Settings};

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS: FsType = FsType(0xcafe_4a11);

const LINK_PREFIX: &str = "link-";

/// The folder that holds program, links and maps.
#[derive(Clone, Debug)]
pub struct Pins {
    dir: PathBuf,
}

/// How the driver runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In the driver, before the network stack sees the packet.
    Native,
    /// In the stack, after it allocated a buffer: slower, and only when the config allows it.
    Generic,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// The name in pins, logs and the API.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// A pinned link, as its file name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkPin {
    pub(super) interface: String,
    pub(super) mode: Mode,
}

impl LinkPin {
    /// bpffs takes no dots in file names, and interface names may have them (`bond0.100`), but hardly ever a `~`.
    fn file_name(&self) -> String {
        format!(
            "{LINK_PREFIX}{}-{}",
            self.mode.name(),
            self.interface.replace('.', "~")
        )
    }

    fn parse(file_name: &str) -> Option<Self> {
        let rest = file_name.strip_prefix(LINK_PREFIX)?;
        Mode::ALL.into_iter().find_map(|mode| {
            let interface = rest
                .strip_prefix(mode.name())?
                .strip_prefix('-')?
                .replace('~', ".");
            Some(Self { interface, mode })
        })
    }
}

impl Pins {
    /// Names the folder; nothing is touched.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes the folder if it is missing.
    ///
    /// # Errors
    ///
    /// When it does not lie on bpffs, or somebody other than root could have put things there.
    pub fn prepare(&self) -> anyhow::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                let parent = self.dir.parent().unwrap_or(&self.dir);
                require_bpffs(parent)?;
                return Err(error).with_context(|| format!("creating the pin folder {}", self.dir.display()));
            }
            _ => {}
        }
        let checked = require_bpffs(&self.dir).and_then(|()| self.require_trustworthy());
        if checked.is_err() {
            // Only succeeds on a folder that was just made and is empty.
            let _ = fs::remove_dir(&self.dir);
        }
        checked
    }

    /// Does `work`, and if it fails removes the pins that it made: a refused start leaves the host as it was.
    ///
    /// # Errors
    ///
    /// That of `work`, or when the folder cannot be read.
    pub fn or_undo<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let before = self.names()?;
        work().map_err(|error| match self.remove_all_but(before.as_ref()) {
            Ok(()) => error,
            Err(undoing) => error.context(format!("{undoing:#}; and before that")),
        })
    }

    /// The names of all pins; `None` if there is no folder.
    fn names(&self) -> anyhow::Result<Option<HashSet<OsString>>> {
        let reading = || format!("reading the pin folder {}", self.dir.display());
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.with_context(reading)?,
        };
        let names: Result<HashSet<_>, _> = entries.map(|entry| Ok(entry?.file_name())).collect();
        names
            .map(Some)
            .map_err(|error: std::io::Error| anyhow::Error::from(error).context(reading()))
    }

    fn remove_all_but(&self, kept: Option<&HashSet<OsString>>) -> anyhow::Result<()> {
        let Some(present) = self.names()? else {
            return Ok(());
        };
        for name in present
            .iter()
            .filter(|name| !kept.is_some_and(|kept| kept.contains(*name)))
        {
            if name.to_str().is_some_and(is_ours) {
                remove(&self.dir.join(name))?;
            }
        }
        if kept.is_none() {
            fs::remove_dir(&self.dir)
                .with_context(|| format!("removing the pin folder {}", self.dir.display()))?;
        }
        Ok(())
    }

    fn require_trustworthy(&self) -> anyhow::Result<()> {
        let metadata = fs::metadata(&self.dir).with_context(|| format!("reading {}", self.dir.display()))?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            bail!(
                "the pin folder {} must belong to root and be writable by nobody else",
                self.dir.display()
            );
        }
        Ok(())
    }

    /// Where the map `name` is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn program(&self) -> PathBuf {
        self.dir.join(maps::PROGRAM)
    }

    pub(super) fn link(&self, pin: &LinkPin) -> PathBuf {
        self.dir.join(pin.file_name())
    }

    /// The pinned links.
    pub(super) fn links(&self) -> anyhow::Result<Vec<LinkPin>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("reading the pin folder {}", self.dir.display()))?,
        };
        let mut links = Vec::new();
        for entry in entries {
            let name = entry
                .with_context(|| format!("reading the pin folder {}", self.dir.display()))?
                .file_name();
            links.extend(name.to_str().and_then(LinkPin::parse));
        }
        Ok(links)
    }

    /// Compares each pinned map with the layout of this release: aya adopts a pin without a look at it, and a different
    /// key or value size corrupts memory.
    pub(super) fn require_layout(&self, ban_slots: u32) -> anyhow::Result<()> {
        for expected in layouts(ban_slots) {
            let path = self.map(expected.name);
            if !path.exists() {
                continue;
            }
            let info = MapInfo::from_pin(&path)
                .with_context(|| format!("reading the pinned map {}", path.display()))?;
            let found = Layout {
                name: expected.name,
                kind: info.map_type().ok(),
                key_size: info.key_size(),
                value_size: info.value_size(),
                max_entries: info.max_entries(),
            };
            if found != expected {
                bail!(
                    "the pinned map {} has another layout than this release and config need ({found}, not {expected}); `secbeat-edge detach` removes it together with its bans",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

/// Whether this release gives a pin that name.
fn is_ours(name: &str) -> bool {
    name == maps::PROGRAM || maps::ALL.contains(&name) || LinkPin::parse(name).is_some()
}

/// The shape of one map.
#[derive(PartialEq)]
struct Layout {
    name: &'static str,
    kind: Option<MapType>,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind:?}")?,
            None => write!(f, "an unknown type")?,
        }
        write!(
            f,
            " of {} entries with {} byte keys and {} byte values",
            self.max_entries, self.key_size, self.value_size
        )
    }
}

fn layouts(ban_slots: u32) -> [Layout; maps::ALL.len()] {
    let layout = |name, kind, key_size: usize, value_size: usize, max_entries| Layout {
        name,
        kind: Some(kind),
        key_size: key_size as u32,
        value_size: value_size as u32,
        max_entries,
    };
    [
        layout(maps::BANNED_V4, MapType::LruHash, 4, size_of::<Ban>(), ban_slots),
        layout(maps::BANNED_V6, MapType::LruHash, 8, size_of::<Ban>(), ban_slots),
        layout(
            maps::BANNED_NETS,
            MapType::LpmTrie,
            size_of::<NetKey>(),
            size_of::<Ban>(),
            maps::NET_SLOTS,
        ),
        layout(
            maps::ALLOWED_NETS,
            MapType::LpmTrie,
            size_of::<NetKey>(),
            size_of::<Allow>(),
            maps::ALLOWED_SLOTS,
        ),
        layout(
            maps::COUNTERS,
            MapType::PerCpuArray,
            4,
            size_of::<Counter>(),
            maps::COUNTER_SLOTS,
        ),
        layout(
            maps::FLOODS,
            MapType::PerCpuArray,
            4,
            size_of::<Flood>(),
            maps::FLOOD_SLOTS,
        ),
        layout(maps::EVENTS, MapType::RingBuf, 0, 0, maps::EVENT_BYTES),
        layout(maps::SETTINGS, MapType::Array, 4, size_of::<Settings>(), 1),
    ]
}

fn require_bpffs(dir: &Path) -> anyhow::Result<()> {
    let filesystem = statfs(dir).with_context(|| format!("looking at {}", dir.display()))?;
    if filesystem.filesystem_type() != BPF_FS {
        bail!(
            "{} is not on a BPF file system; mount one with: mount -t bpf bpf /sys/fs/bpf",
            dir.display()
        );
    }
    Ok(())
}

/// The kill switch: takes the program off every interface and removes every pin, bans included. Works without the daemon.
/// Returns the interfaces that were freed.
///
/// # Errors
///
/// When the folder cannot be read or a pin cannot be removed.
pub fn detach(pins: &Pins) -> anyhow::Result<Vec<String>> {
    let links = pins.links()?;
    for link in &links {
        remove(&pins.link(link))?;
    }
    remove(&pins.program())?;
    for name in maps::ALL {
        remove(&pins.map(name))?;
    }
    match fs::remove_dir(&pins.dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the pin folder {}", pins.dir.display()))?;
        }
        _ => {}
    }
    Ok(links.into_iter().map(|link| link.interface).collect())
}

/// Removes one pin; one that is not there is fine.
pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the pin {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_pins_name_interface_and_mode_without_dots() {
        for (interface, mode) in [
            ("eth0", Mode::Native),
            ("bond0.100", Mode::Generic),
            ("wg-home", Mode::Native),
        ] {
            let pin = LinkPin {
                interface: interface.to_owned(),
                mode,
            };
            assert!(!pin.file_name().contains('.'));
            assert_eq!(LinkPin::parse(&pin.file_name()), Some(pin));
        }
        assert_eq!(LinkPin::parse("BANNED_V4"), None);
        assert_eq!(LinkPin::parse("link-eth0"), None);
    }

    #[test]
    fn every_map_has_a_layout() {
        assert_eq!(layouts(1).map(|layout| layout.name), maps::ALL);
    }

    #[test]
    fn a_folder_outside_bpffs_is_refused_in_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let error = Pins::at(&dir.path().join("pins"))
            .prepare()
            .unwrap_err()
            .to_string();
        assert!(error.contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
    }
}
