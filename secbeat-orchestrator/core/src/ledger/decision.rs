//! Decisions of the ledger.

use secbeat_common::{maps::MAX_BANNED_NETS, prefix::Prefix, wire::BlockCommand};

use super::Brake;

/// Decision of the ledger on a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A new ban; write it.
    Ban(Box<BlockCommand>),
    /// The rule only observes: the ban that it would have been.
    Observed(Box<BlockCommand>),
    /// A ban of the source, or of a prefix that contains it, is in force.
    AlreadyBanned,
    /// Nobody is banned, for this reason.
    Suppressed(Suppression),
}

/// The reason why a finding led to no ban.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Suppression {
    #[error(transparent)]
    Protected(#[from] Refusal),
    #[error("brake: {0}")]
    Brake(Brake),
    /// Its name in the DNS says so, and leads back to it.
    #[error("verified crawler: {crawler}, {host}")]
    Crawler { crawler: String, host: String },
}

/// The reason why a target must not be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It contains this protected prefix, or lies in it.
    #[error("protected: {0}")]
    Protected(Prefix),
    /// It is not a client's address.
    #[error("protected: {0}")]
    Unbannable(&'static str),
    /// It is not a single source, and no edge has room for one more of those.
    #[error(
        "{MAX_BANNED_NETS} networks are banned, and no edge holds more (single sources, IPv4 /32 and IPv6 /64, do not count)"
    )]
    TooManyNets,
    #[error("the ban has ended already")]
    Ended,
    /// A ban in force lasts longer, until then in milliseconds since the Unix epoch or [`PERMANENT`](secbeat_common::wire::PERMANENT).
    #[error("it is banned for longer")]
    Outlasted(i64),
    /// A ban in force is for edges for which this one is not; until then, as above.
    #[error("it is banned on more edges")]
    Outreached(i64),
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveBan {
    pub command: BlockCommand,
    pub write: WriteState,
}

/// Whether the bucket has a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteState {
    /// Not as far as is known.
    Pending,
    Acknowledged,
}
