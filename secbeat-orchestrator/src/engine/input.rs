//! What comes to the engine, and how.

use std::{net::IpAddr, sync::Arc};

use secbeat_common::{
    prefix::Prefix,
    wire::{AckBatch, AuditRecord, Presence, TelemetryBatch, WafBatch},
};
use secbeat_daemon::garbage::Garbage;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::Import;
use crate::{
    api::{
        edges::FleetEdge,
        propagation::PropagationView,
        view::{BanPage, BanView, Imported, Stats},
    },
    evidence::{FindingFilter, FindingView},
    explain::SourceFacts,
    leases::shell::Ownership,
    ledger::{BanQuery, ManualBan},
    protection::ProtectedNet,
    replica::{Gone, Written},
    writer::Fate,
};

/// What comes to the engine.
#[derive(Debug)]
pub enum Input {
    /// Telemetry of one partition, with the time at which the server received it, and how long it had waited for the bus before, unless
    /// it is live.
    Batch {
        partition: u16,
        batch: TelemetryBatch,
        received_ms: i64,
        age_ms: Option<u64>,
    },
    /// Events of web application firewalls, with the time at which the server received them.
    Waf {
        batch: WafBatch,
        received_ms: i64,
    },
    /// What the bus remembers from before this process, sent once and first.
    Restore {
        bans: Vec<Written>,
        audit: Vec<AuditRecord>,
        /// How far back the audit goes, milliseconds since the Unix epoch.
        since_ms: i64,
    },
    /// The same after a reconnect: what the bucket holds, what was deleted in it, and what the audit says
    /// of the time in between. Bans that the bucket lost are written again.
    Recheck {
        bans: Vec<Written>,
        lifted: Vec<Gone>,
        audit: Vec<AuditRecord>,
    },
    /// An edge has renewed its record.
    EdgeHeard(Box<Presence>),
    /// An edge has taken its record away.
    EdgeLeft(String),
    /// What an edge made of commands, and when that was received.
    Acks {
        batch: AckBatch,
        received_ms: i64,
    },
    Edges {
        reply: oneshot::Sender<Vec<FleetEdge>>,
    },
    Propagation {
        reply: oneshot::Sender<PropagationView>,
    },
    /// The bucket has a ban, whoever wrote it.
    Banned(Box<Written>),
    Lifted(Gone),
    /// Something that is not to be obeyed took the place of this target's ban in the bucket, if there was one.
    Spoiled {
        target: Prefix,
        revision: u64,
    },
    /// A rule that only observes would have banned somebody, whoever recorded it.
    Observed(Box<AuditRecord>),
    /// A partition has come or gone.
    Owned(Ownership),
    /// All that is never banned from now on because of this host or the config.
    Protected(Vec<ProtectedNet>),
    /// Answered once nothing that was decided is on its way any more.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Somebody changed the allowlist, and the bus has it.
    Decided(AuditRecord),
    /// The fate of a ban or an unban that was to be written; `id` is the ban's.
    Done {
        id: Uuid,
        fate: Fate,
    },
    /// Somebody bans by hand; answered once the bus has it.
    Ban {
        ban: ManualBan,
        reply: Reply<BanView>,
    },
    /// Somebody bans many at once; answered once the bus has them all.
    Import {
        import: Import,
        reply: Reply<Imported>,
    },
    /// Somebody lifts a ban; answered once the bus has it, with `None` if there was none.
    Unban {
        target: Prefix,
        actor: String,
        reply: Reply<Option<BanView>>,
    },
    List {
        query: BanQuery,
        reply: oneshot::Sender<BanPage>,
    },
    /// Somebody asks why an address is banned, or is not.
    Explain {
        address: IpAddr,
        reply: oneshot::Sender<SourceFacts>,
    },
    /// Somebody asks for recent findings, the latest first.
    Findings {
        filter: FindingFilter,
        limit: usize,
        reply: oneshot::Sender<Vec<FindingView>>,
    },
    Stats {
        reply: oneshot::Sender<Stats>,
    },
}

/// Where an answer goes; an error is a sentence for whoever asked.
pub type Reply<T> = oneshot::Sender<Result<T, String>>;

/// Hands what the engine is asked to it, and its answers back.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
}
