//! Notifications: bans, and troubles of the fleet with their ends. Events go in, and what one message says comes out.
//!
//! [`Watch`] turns what is so right now into troubles that begin and end; [`Digest`] gathers what happens into few messages.

mod digest;
mod summary;
#[cfg(test)]
mod tests;
mod watch;

use secbeat_common::{prefix::Prefix, wire::Reason};
use strum::IntoStaticStr;

pub use self::{
    digest::{Digest, Terms},
    summary::{LeftOut, NAMED, Summary},
    watch::{EdgeFacts, Facts, Watch},
};

/// Something to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub what: What,
}

/// Kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The bus has a ban.
    Banned(Banned),
    /// A ban was lifted before its end.
    Unbanned(Unbanned),
    /// Something is not as it should be.
    Begun { trouble: Trouble, detail: String },
    /// It is again.
    Over { trouble: Trouble, lasted_ms: i64 },
    /// A time is over, and this happened in it.
    Reported(Reported),
}

/// What happened in a day or a week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub every: Every,
    /// From this time on, milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// To this time.
    pub until_ms: i64,
    /// For people; the first line says of which time it is.
    pub lines: Vec<String>,
    /// For programs, each with its name.
    pub totals: Vec<(&'static str, u64)>,
}

/// How often there is a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum Every {
    Day,
    Week,
}

impl Every {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banned {
    pub target: Prefix,
    /// [`Reason::Manual`] if an operator banned, else the rule.
    pub reason: Reason,
    /// Who decided.
    pub actor: String,
    pub note: String,
    /// As the command has it.
    pub expires_at_ms: i64,
    pub strikes: u32,
}

/// The end of a ban before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbanned {
    pub target: Prefix,
    /// Who lifted it.
    pub actor: String,
    /// The reason that was given for it; empty if none was. Of a ban that is ended with its strikes kept, the ban's note then.
    pub note: String,
}

/// What is not as it should be, and where: of an edge its id, of a feed its name, else the orchestrator's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    pub kind: TroubleKind,
    pub subject: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(const_into_str, serialize_all = "kebab-case")]
pub enum TroubleKind {
    /// An edge is not there.
    EdgeDown,
    /// An edge has an interface without protection.
    EdgeUnprotected,
    /// An edge holds other bans than the ledger.
    Drift,
    /// A safety limit holds automatic bans back.
    Brake,
    /// No ban could be made that reaches the edges.
    NotReady,
    /// The list of a feed is not taken: the one before counts on until its end.
    FeedNotTaken,
}

impl TroubleKind {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }

    /// Whether every orchestrator sees it of the same edge.
    #[must_use]
    pub const fn is_of_an_edge(self) -> bool {
        matches!(self, Self::EdgeDown | Self::EdgeUnprotected | Self::Drift)
    }

    /// Whether every orchestrator sees it, so that one has to tell of it.
    #[must_use]
    pub const fn is_of_the_fleet(self) -> bool {
        self.is_of_an_edge() || matches!(self, Self::FeedNotTaken)
    }
}
