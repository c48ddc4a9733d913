//! Watches this host for changes of what SecBeat goes by: addresses, default routes, resolvers, SSH sessions, interfaces.
//!
//! [`netlink`] and [`files`] hear of changes, [`pending`] gathers them, so that a burst costs one refresh every
//! [`pending::SPACING`], and the watcher hands them to the enforcer.

mod files;
mod links;
mod names;
mod netlink;
mod pending;

pub(crate) use self::files::points as watch_points;

use secbeat_daemon::protect::Names;
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

pub use self::links::{LinkChange, LinkEvent};
pub(crate) use self::names::resolve_names;
use self::{
    files::{Files, Topic},
    links::Links,
    netlink::{Netlink, Notice},
    pending::Pending,
};

/// Batches of changes that may wait for the enforcer; past it they are gathered further.
pub(crate) const BATCHES: usize = 4;

/// What has changed on this host. All but the last two only say where to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostChange {
    /// The host's own addresses.
    Addresses,
    /// Default routes.
    Routes,
    /// `resolv.conf`.
    Resolvers,
    /// Login sessions.
    Sessions,
    /// An interface has come, gone or been renamed. In order, and none left out.
    Link(LinkChange),
    /// The names of configured servers resolve to other addresses.
    Names(Names),
}

/// Everything that can be looked at again, for when it is not known what has changed.
const EVERYTHING: [HostChange; 4] = [
    HostChange::Addresses,
    HostChange::Routes,
    HostChange::Resolvers,
    HostChange::Sessions,
];

/// Sees changes from its making on, and tells of them once it [runs](Self::run).
pub struct HostWatcher {
    netlink: Option<Netlink>,
    files: Option<Files>,
    links: Links,
}

impl HostWatcher {
    /// Begins to watch. Whatever of the host cannot be watched is logged and left out: the enforcer looks at the whole
    /// host now and then all the same.
    #[must_use]
    pub fn new() -> Self {
        let netlink = logged(NETWORK, Netlink::open());
        let files = logged(FILES, Files::open());
        Self {
            netlink,
            files,
            // After the socket was opened, so that none is missed in between.
            links: Links::new(logged(NETWORK, netlink::interfaces()).unwrap_or_default()),
        }
    }

    /// Tells of changes until the receiver is gone.
    pub async fn run(mut self, changes: mpsc::Sender<Vec<HostChange>>) {
        let mut pending = Pending::default();
        loop {
            tokio::select! {
                // While the enforcer takes nothing the socket fills up, and one look at everything makes up for it.
                notices = next_notices(&mut self.netlink), if !pending.is_full() => {
                    for notice in notices {
                        self.note(notice, &mut pending);
                    }
                }
                topics = next_topics(&mut self.files) => pending.extend(topics.into_iter().map(|topic| match topic {
                    Topic::Resolvers => HostChange::Resolvers,
                    Topic::Sessions => HostChange::Sessions,
                })),
                permit = permit_at(&changes, pending.due()), if !pending.is_empty() => match permit {
                    Ok(permit) => permit.send(pending.take(Instant::now())),
                    Err(_) => return,
                },
                () = changes.closed() => return,
            }
        }
    }

    fn note(&mut self, notice: Notice, pending: &mut Pending) {
        match notice {
            Notice::Addresses => pending.add(HostChange::Addresses),
            Notice::Routes => pending.add(HostChange::Routes),
            Notice::Appeared(index, name) => {
                pending.extend(self.links.appeared(index, name).map(HostChange::Link));
            }
            Notice::Gone(index) => pending.extend(self.links.gone(index).map(HostChange::Link)),
            Notice::Lost(present) => {
                let links = self.links.replace(present);
                pending.extend(links.into_iter().map(HostChange::Link));
                pending.extend(EVERYTHING);
            }
        }
    }
}

impl Default for HostWatcher {
    fn default() -> Self {
        Self::new()
    }
}

fn logged<T>(what: &str, opened: anyhow::Result<T>) -> Option<T> {
    opened.inspect_err(|error| unwatched(what, error)).ok()
}

fn unwatched(what: &str, error: &anyhow::Error) {
    warn!("cannot watch {what}, so that changes are noticed only now and then: {error:#}");
}

const NETWORK: &str = "the network";
const FILES: &str = "resolvers and SSH sessions";

/// Returns what the kernel says next; nothing for ever once it could not be read.
async fn next_notices(netlink: &mut Option<Netlink>) -> Vec<Notice> {
    if let Some(open) = netlink {
        match open.next().await {
            Ok(notices) => return notices,
            Err(error) => unwatched(NETWORK, &error),
        }
        *netlink = None;
    }
    std::future::pending().await
}

/// Returns what files change next; as [`next_notices`].
async fn next_topics(files: &mut Option<Files>) -> Vec<Topic> {
    if let Some(open) = files {
        match open.next().await {
            Ok(topics) => return topics,
            Err(error) => unwatched(FILES, &error),
        }
        *files = None;
    }
    std::future::pending().await
}

/// Room for one batch, not before `due`.
async fn permit_at(
    changes: &mpsc::Sender<Vec<HostChange>>,
    due: Option<Instant>,
) -> Result<mpsc::Permit<'_, Vec<HostChange>>, mpsc::error::SendError<()>> {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
    changes.reserve().await
}
