//! The pins under bpffs: what survives the daemon, and the checks before anything there is trusted.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use aya::{maps::MapInfo, programs::ProgramInfo};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::{FsType, statfs},
    unistd::{User, geteuid},
};
use secbeat_common::maps;
use strum::{IntoStaticStr, VariantArray};

use super::clsact::{self, Filter};

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS: FsType = FsType(0xcafe_4a11);

const LINK_PREFIX: &str = "link-";

/// What a map's pin is called until it takes the place of an older one.
const STAGED_PREFIX: &str = "next-";

/// What tables that are in force are called.
const TABLES: [&str; 2] = [maps::NET_TABLE, maps::LIST_TABLE];

/// The folder that holds programs, links and maps.
#[derive(Clone, Debug)]
pub struct Pins {
    dir: PathBuf,
    /// Maps that are looked for under their staging names; see [`Pins::staging`].
    staged: Vec<&'static str>,
}

/// Hook at which an interface runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "lowercase")]
pub(super) enum Mode {
    /// In the driver, before the network stack sees the packet.
    Native,
    /// Generic: in the stack, after it allocated a buffer: slower, and only when the config allows it.
    Generic,
    /// In the stack's ingress hook (tcx), a little later.
    Tc,
    /// The same on kernels before 6.6, as a filter. For people it is [`Tc`](Self::Tc), and pinned it never is.
    #[strum(serialize = "tc")]
    Clsact,
}

impl Mode {
    /// Whether it is XDP.
    pub(super) const fn is_xdp(self) -> bool {
        matches!(self, Self::Native | Self::Generic)
    }
}

impl Mode {
    /// The name in pins, logs and the API.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// A pinned link, as its file name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkPin {
    pub(super) interface: String,
    pub(super) mode: Mode,
}

impl LinkPin {
    /// bpffs takes no dots in file names, which interfaces may have in theirs (`bond0.100`); these have no colons. Versions before the
    /// first release wrote a `~`, which interfaces may have in theirs, too: such a link is found by the interface that it is attached to,
    /// and its pin renamed.
    fn file_name(&self) -> String {
        format!(
            "{LINK_PREFIX}{}-{}",
            self.mode.name(),
            self.interface.replace('.', ":")
        )
    }

    fn parse(file_name: &str) -> Option<Self> {
        let rest = file_name.strip_prefix(LINK_PREFIX)?;
        Mode::VARIANTS.iter().find_map(|&mode| {
            let interface = rest
                .strip_prefix(mode.name())?
                .strip_prefix('-')?
                .replace(':', ".");
            Some(Self { interface, mode })
        })
    }
}

impl Pins {
    /// Names the folder; nothing is touched.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            staged: Vec::new(),
        }
    }

    /// The same folder, but the maps `names` are new ones that wait beside the old ones for [`Pins::publish`].
    pub(super) fn staging(&self, names: Vec<&'static str>) -> Self {
        Self {
            dir: self.dir.clone(),
            staged: names,
        }
    }

    /// Lets the staged maps take the places of the old ones, each in one atomic step.
    pub(super) fn publish(&mut self) -> anyhow::Result<()> {
        for name in &self.staged {
            let (from, to) = (self.map(name), self.dir.join(name));
            fs::rename(&from, &to)
                .with_context(|| format!("renaming the pin {} to {}", from.display(), to.display()))?;
        }
        self.staged.clear();
        Ok(())
    }

    /// Removes what a start that was killed has staged.
    pub(super) fn remove_staged(&self) -> anyhow::Result<()> {
        for name in maps::ALL {
            remove(&self.dir.join(format!("{STAGED_PREFIX}{name}")))?;
        }
        Ok(())
    }

    /// Gives a pinned link another name.
    pub(super) fn rename(&self, from: &LinkPin, to: &LinkPin) -> anyhow::Result<()> {
        let (from, to) = (self.link(from), self.link(to));
        fs::rename(&from, &to)
            .with_context(|| format!("renaming the pin {} to {}", from.display(), to.display()))
    }

    /// Returns where the table `name` is pinned that is in force, and where one is until it is.
    pub(super) fn table(&self, name: &str) -> [PathBuf; 2] {
        [
            self.dir.join(name),
            self.dir.join(format!("{STAGED_PREFIX}{name}")),
        ]
    }

    /// The number of the map that is pinned as `name`.
    pub(super) fn map_id(&self, name: &str) -> Option<u32> {
        MapInfo::from_pin(self.map(name)).ok().map(|map| map.id())
    }

    /// Whether the map `name` is pinned, and is the one with this number.
    pub(super) fn has_map(&self, name: &str, id: u32) -> bool {
        self.map_id(name).is_some_and(|pinned| pinned == id)
    }

    /// Whether the program `name` is pinned, and is the one with this number.
    pub(super) fn has_program(&self, name: &str, id: u32) -> bool {
        ProgramInfo::from_pin(self.program(name)).is_ok_and(|program| program.id() == id)
    }

    /// Makes the folder if it is missing.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not lie on bpffs, or somebody other than root and SecBeat's own user could have put things
    /// there.
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

    /// Whether the folder is on bpffs, or could be made there.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not, or somebody else's.
    pub fn check_place(&self) -> anyhow::Result<()> {
        match self.dir.exists() {
            true => require_bpffs(&self.dir).and_then(|()| self.require_trustworthy()),
            false => require_bpffs(self.dir.parent().unwrap_or(&self.dir)),
        }
    }

    /// Does `work`, and if it fails removes the pins that it made: a refused start leaves the host as it was.
    ///
    /// # Errors
    ///
    /// That of `work`, or when the folder cannot be read.
    pub fn or_undo<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let (before, filters) = (self.names()?, clsact::held(&self.dir).unwrap_or_default());
        let undo = || {
            self.remove_filters(|filter| filters.iter().all(|(_, old)| old.ifindex() != filter.ifindex()))?;
            self.remove_all_but(before.as_ref())
        };
        work().map_err(|error| match undo() {
            Ok(()) => error,
            Err(undoing) => error.context(format!("{undoing:#}; and before that")),
        })
    }

    /// Removes those filters that belong to these pins and are `meant`; returns the names of their interfaces.
    fn remove_filters(&self, meant: impl Fn(&Filter) -> bool) -> anyhow::Result<Vec<String>> {
        let held = clsact::held(&self.dir).context("listing the filters of interfaces")?;
        let mut names = Vec::new();
        for (interface, filter) in held.into_iter().filter(|(_, filter)| meant(filter)) {
            clsact::remove(&filter).with_context(|| format!("freeing {interface}"))?;
            names.push(interface);
        }
        Ok(names)
    }

    /// Holds the folder for one daemon, until the result is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if another daemon holds it.
    pub(super) fn lock(&self) -> anyhow::Result<Flock<File>> {
        let folder = File::open(&self.dir)
            .with_context(|| format!("opening the pin folder {}", self.dir.display()))?;
        Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => anyhow!(
                "another daemon works with the pins in {}; each needs a kernel.pin_dir of its own",
                self.dir.display()
            ),
            errno => anyhow::Error::from(errno).context(format!("locking {}", self.dir.display())),
        })
    }

    /// Whether `lock` is on this folder, and not on one that was removed.
    pub(super) fn is_locked_by(&self, lock: &File) -> anyhow::Result<bool> {
        let reading = || format!("reading {}", self.dir.display());
        let (there, ours) = (
            fs::metadata(&self.dir).with_context(reading)?,
            lock.metadata().with_context(reading)?,
        );
        Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino()))
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

    /// Looks whether others may take things from the folder or put some there.
    ///
    /// # Errors
    ///
    /// When somebody other than root and SecBeat's own user may, or there is no folder.
    pub(super) fn require_trustworthy(&self) -> anyhow::Result<()> {
        let metadata = fs::metadata(&self.dir).with_context(|| format!("reading {}", self.dir.display()))?;
        if !is_trusted(metadata.uid()) || metadata.mode() & 0o022 != 0 {
            bail!(
                "the pin folder {} must belong to root or the user `{OWN_USER}`, and only its owner may write to it",
                self.dir.display()
            );
        }
        Ok(())
    }

    /// Whether the folder was made for the daemon, which may not make it itself.
    fn is_lent(&self) -> bool {
        fs::metadata(&self.dir).is_ok_and(|metadata| metadata.uid() != 0)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether anything is pinned.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.map(maps::SETTINGS).exists()
    }

    /// Whether this process may not know whether anything is pinned.
    #[must_use]
    pub fn are_hidden(&self) -> bool {
        let looked = self.map(maps::SETTINGS).try_exists();
        looked.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    /// Returns where the map `name` is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        if self.staged.contains(&name) {
            self.dir.join(format!("{STAGED_PREFIX}{name}"))
        } else {
            self.dir.join(name)
        }
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
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
}

/// As whom the unit runs the daemon.
const OWN_USER: &str = "secbeat";

/// Whether the pins of that user can be believed: root's, one's own, and to root the unit's.
fn is_trusted(uid: u32) -> bool {
    let own = geteuid();
    let is_units =
        || User::from_name(OWN_USER).is_ok_and(|user| user.is_some_and(|user| user.uid.as_raw() == uid));
    uid == 0 || uid == own.as_raw() || (own.is_root() && is_units())
}

/// Whether this release gives a pin that name.
fn is_ours(name: &str) -> bool {
    let map = name.strip_prefix(STAGED_PREFIX).unwrap_or(name);
    // Tables are staged by another thread, at any time.
    let is_map = TABLES.contains(&name) || maps::ALL.contains(&map);
    is_map || maps::PROGRAMS.contains(&name) || LinkPin::parse(name).is_some()
}

fn require_bpffs(dir: &Path) -> anyhow::Result<()> {
    let filesystem = statfs(dir).with_context(|| format!("looking at {}", dir.display()))?;
    if filesystem.filesystem_type() != BPF_FS {
        bail!(
            "{} is not on a BPF file system; mount one with: mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
            dir.display()
        );
    }
    Ok(())
}

/// The kill switch: takes the program off every interface and removes every pin, bans included. Works without the daemon. A folder
/// that the unit made for its daemon stays.
/// Returns the interfaces that were freed.
///
/// # Errors
///
/// Returns an error if the folder cannot be read or a pin cannot be removed.
pub fn detach(pins: &Pins) -> anyhow::Result<Vec<String>> {
    // These need no pins.
    let filtered = pins.remove_filters(|_| true)?;
    let links = pins.links()?;
    for link in &links {
        remove(&pins.link(link))?;
    }
    for program in maps::PROGRAMS {
        remove(&pins.program(program))?;
    }
    pins.remove_staged()?;
    let tables = TABLES.iter().flat_map(|name| pins.table(name));
    for path in maps::ALL.iter().map(|name| pins.map(name)).chain(tables) {
        remove(&path)?;
    }
    if !pins.is_lent() {
        match fs::remove_dir(&pins.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing the pin folder {}", pins.dir.display()))?;
            }
            _ => {}
        }
    }
    let linked = links.into_iter().map(|link| link.interface);
    Ok(linked.chain(filtered).collect())
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
        for (interface, mode, name) in [
            ("eth0", Mode::Native, "link-native-eth0"),
            ("bond0.100", Mode::Generic, "link-generic-bond0:100"),
            ("tz~1", Mode::Native, "link-native-tz~1"),
            ("wg-home", Mode::Tc, "link-tc-wg-home"),
        ] {
            let pin = LinkPin {
                interface: interface.to_owned(),
                mode,
            };
            assert_eq!(pin.file_name(), name);
            assert_eq!(LinkPin::parse(name), Some(pin));
        }
        assert_eq!(LinkPin::parse("BANNED_V4"), None);
        assert_eq!(LinkPin::parse("link-eth0"), None);
    }

    #[test]
    fn a_folder_outside_bpffs_is_refused_in_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let error = Pins::at(&dir.path().join("pins"))
            .prepare()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("mount -t bpf -o mode=0700 bpf /sys/fs/bpf"),
            "{error}"
        );
    }
}
