//! Orders of operators, and their outcomes.

use secbeat_common::prefix::Prefix;
use uuid::Uuid;

use crate::{
    ProtectedNet,
    ledger::{ManualBan, Refusal, Sifted},
};

/// Order of an operator.
#[derive(Clone, Debug)]
pub enum Order {
    Ban(ManualBan),
    /// Many bans at once.
    Import(Import),
    Unban(Unban),
}

/// The end of the ban of exactly `target`.
#[derive(Clone, Debug)]
pub struct Unban {
    pub target: Prefix,
    pub actor: String,
    /// The reason for it; empty if none was given.
    pub note: String,
    /// Of many that are lifted together.
    pub list: Option<Uuid>,
}

/// Bans to make together.
#[derive(Clone, Debug)]
pub struct Import {
    pub bans: Vec<ManualBan>,
    pub mode: ImportMode,
    pub actor: String,
    /// New networks of the parts of the same import before this one, which a dry run has not banned.
    pub nets_before: usize,
}

/// Behaviour of an import if some of its bans cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Nothing in any case: it only tells.
    DryRun,
    AllOrNothing,
    SkipRefused,
}

/// Outcome of an import, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New bans.
    pub banned: usize,
    /// Those among them that take the place of another one.
    pub longer: usize,
    /// Targets whose ban in force reaches as deep and lasts as long.
    pub kept: usize,
    /// Bans that have expired already.
    pub ended: usize,
    /// Those that cannot be banned.
    pub refused: Vec<RefusedOrder>,
    /// Networks among the new bans that are not single sources and were not banned before.
    pub new_networks: usize,
    /// Networks that can be banned beside those that were before the import.
    pub free_networks: usize,
    /// New bans around networks that the fleet's allowlist exempts from them.
    pub exempting: usize,
    /// Of a dry run: what would happen with each ban, in the import's order.
    pub fates: Vec<Sifted>,
}

/// A ban of an import that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOrder {
    /// Its place in the import, from 0.
    pub index: usize,
    pub refused: Refused,
}

/// The reason why a target is not banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub target: Prefix,
    pub refusal: Refusal,
    /// The entry that protects it, where that is known.
    pub protected: Option<ProtectedNet>,
}

/// The reason why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Bans in force are still being read; try again.
    #[error("the ledger is still being read from NATS; nothing was changed")]
    Restoring,
    #[error("{}: {}", .0.target, .0.refusal)]
    Refused(Box<Refused>),
    /// Nothing was imported, since some of `of` bans cannot be made.
    #[error("{} of {of} bans cannot be made", refused.len())]
    SomeRefused { refused: Vec<RefusedOrder>, of: usize },
    #[error("the ban expired before NATS took it")]
    Expired,
    #[error("another order for the same target came in between")]
    Superseded,
    #[error("another orchestrator banned it first")]
    Outrun,
    #[error("another orchestrator owns its partition")]
    Fenced,
}
