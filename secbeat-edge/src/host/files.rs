//! Files that name resolvers and SSH sessions, watched with inotify(7).
//!
//! Such files are replaced by renaming, removed, made again, and reached by way of symbolic links. So the folders are
//! watched in which a path and each of its links lie, or the nearest ones that exist, and all is worked out again after
//! each change.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context;
use futures::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use secbeat_daemon::protect::{RESOLV_CONF, RESOLVED_UPLINKS, sessions};
use tracing::debug;

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Resolvers,
    Sessions,
}

const WATCHED: [(&str, Topic); 4] = [
    (RESOLV_CONF, Topic::Resolvers),
    (RESOLVED_UPLINKS, Topic::Resolvers),
    (sessions::UTMP, Topic::Sessions),
    (sessions::LOGIND, Topic::Sessions),
];

/// Links followed at most, as the kernel has it.
const MAX_LINKS: usize = 40;
/// Room for some events with the longest names.
const BUFFER: usize = 4096;

/// A watched inode, and which of its entries matter: a folder's entry of that name, or else everything.
pub(crate) type Point = (PathBuf, Option<OsString>);

/// Watches on all that [`WATCHED`] names.
pub(super) struct Files {
    events: EventStream<[u8; BUFFER]>,
    watches: Watches,
    topics: HashMap<WatchDescriptor, Vec<(Option<OsString>, Topic)>>,
}

impl Files {
    pub(super) fn open() -> anyhow::Result<Self> {
        let inotify = Inotify::init().context("opening inotify")?;
        let watches = inotify.watches();
        let events = inotify
            .into_event_stream([0; BUFFER])
            .context("reading inotify")?;
        let mut files = Self {
            events,
            watches,
            topics: HashMap::new(),
        };
        files.arm()?;
        Ok(files)
    }

    /// Returns what the next changes are about. May be dropped while it waits; nothing is lost then.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<Topic>> {
        loop {
            let event = self.events.next().await.context("inotify has ended")?;
            let event = event.context("reading inotify")?;
            let topics = if event.mask.contains(EventMask::Q_OVERFLOW) {
                vec![Topic::Resolvers, Topic::Sessions]
            } else {
                self.topics_of(&event.wd, event.name.as_deref())
            };
            if !topics.is_empty() {
                // Before anybody reads the files: what happens from here on is told again.
                self.arm()?;
                return Ok(topics);
            }
        }
    }

    fn topics_of(&self, watch: &WatchDescriptor, name: Option<&OsStr>) -> Vec<Topic> {
        let of_watch = self.topics.get(watch).into_iter().flatten();
        of_watch
            .filter(|(wanted, _)| wanted.is_none() || wanted.as_deref() == name)
            .map(|(_, topic)| *topic)
            .collect()
    }

    /// Watches what has to be watched as things are.
    fn arm(&mut self) -> anyhow::Result<()> {
        let mask = WatchMask::CREATE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::CLOSE_WRITE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF;
        self.topics.clear();
        for (path, topic) in WATCHED {
            for (place, name) in points(Path::new(path)) {
                match self.watches.add(&place, mask) {
                    Ok(watch) => self.topics.entry(watch).or_default().push((name, topic)),
                    // Its folder tells when it comes.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => {
                        return Err(error).with_context(|| format!("watching {}", place.display()));
                    }
                }
            }
        }
        debug!(watches = self.topics.len(), "watching files");
        Ok(())
    }
}

/// Returns where changes of what lies at `path` show.
pub(crate) fn points(path: &Path) -> Vec<Point> {
    let mut points = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // Itself, if it is a folder, or mounted from elsewhere.
        points.push((path.clone(), None));
        points.extend(nearest_folder(&path));
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    points
}

/// The nearest existing folder above `path`, and the entry in it that leads there.
fn nearest_folder(path: &Path) -> Option<Point> {
    let (below, folder) = path
        .ancestors()
        .zip(path.ancestors().skip(1))
        .find(|(_, folder)| folder.is_dir())?;
    Some((folder.to_owned(), Some(below.file_name()?.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_of_a_chain_is_watched_down_to_a_folder_that_does_not_exist_yet() {
        let root = tempfile::tempdir().unwrap();
        let (etc, run) = (root.path().join("etc"), root.path().join("run"));
        fs::create_dir(&etc).unwrap();
        fs::create_dir(&run).unwrap();
        let path = etc.join("resolv.conf");
        std::os::unix::fs::symlink("../run/resolve/stub.conf", &path).unwrap();
        let target = etc.join("../run/resolve/stub.conf");
        let named = |name: &str| Some(OsString::from(name));
        assert_eq!(
            points(&path),
            [
                (path.clone(), None),
                (etc.clone(), named("resolv.conf")),
                (target, None),
                (etc.join("../run"), named("resolve")),
            ]
        );
        fs::create_dir(run.join("resolve")).unwrap();
        assert_eq!(
            points(&path).last(),
            Some(&(etc.join("../run/resolve"), named("stub.conf")))
        );
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("resolv.conf");
        std::os::unix::fs::symlink("resolv.conf", &path).unwrap();
        assert_eq!(points(&path).len(), 2 * MAX_LINKS);
    }
}
