//! Partitions shared among orchestrators: the shell around [`secbeat_orchestrator_core::leases`].

mod configs;
pub(crate) mod shell;

use secbeat_orchestrator_core::leases::Identity;
use uuid::Uuid;

/// Who shares the partitions, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// This orchestrator.
    pub(crate) instance: String,
    /// Every orchestrator that lives.
    pub(crate) members: Vec<String>,
    /// Those among them whose config differs from this one's, each with the keys.
    pub(crate) differing: Vec<Differing>,
    /// Since when the bucket of leases has not been read, milliseconds since the Unix epoch: all this is as of then, and may be
    /// over. `None` while it is.
    pub(crate) unread_since_ms: Option<i64>,
    pub(crate) partitions: Vec<Share>,
}

impl Shares {
    /// Whether this orchestrator owns the first partition for certain: of all that could do something, one does.
    pub(crate) fn owns_the_first(&self) -> bool {
        let first = self.partitions.first();
        first.is_some_and(|share| share.epoch.is_some() && share.holder.as_ref() == Some(&self.instance))
    }
}

/// An orchestrator with another config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Differing {
    pub(crate) orchestrator: String,
    pub(crate) keys: Vec<String>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) partition: u16,
    /// Its owner.
    pub(crate) holder: Option<String>,
    /// The epoch of its bans, if this orchestrator owns it.
    pub(crate) epoch: Option<u64>,
}

/// This process, on this host, with its API on `port`: no two processes of a host have the same, and a restarted
/// orchestrator has that of the one before it.
#[must_use]
pub(crate) fn identity(port: u16) -> Identity {
    let host = nix::unistd::gethostname().unwrap_or_default();
    // What is left of 64 bytes, the longest token, beside the port and the process.
    let host = host
        .to_string_lossy()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let process = Uuid::new_v4().simple().to_string();
    Identity {
        name: format!("{}-{port}", &host[..host.len().min(40)]),
        process: process[..8].to_owned(),
    }
}
