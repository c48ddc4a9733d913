//! Inputs of the engine.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use secbeat_bus::{Garbage, broker::broker};
use secbeat_daemon::program;
use secbeat_orchestrator_core::{
    decider::{Event, Import, Imported, Near, OrderError, SourceFacts, Stats, Unban},
    evidence::{FindingFilter, PastFinding},
    ledger::{ActiveBan, BanQuery, ManualBan, Place},
    presence::Edge,
    propagation::{Issued, Propagation},
    reports::BOUNDS_MS,
    signatures::Tallies,
    telemetry::EdgeTelemetry,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// What comes to the engine: what has happened, orders, and questions.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something has happened, on the bus or on this host.
    Event(Event),
    /// An operator bans by hand; answered once the bus has it.
    Ban {
        ban: ManualBan,
        reply: Reply<ActiveBan>,
    },
    /// An operator bans many at once; answered once the bus has them all.
    Import {
        import: Import,
        reply: Reply<Imported>,
    },
    /// An operator lifts a ban; answered once the bus has it, with `None` if there was none.
    Unban {
        unban: Unban,
        reply: Reply<Option<ActiveBan>>,
    },
    /// Answered once the audit has what was decided so far; never, if too many records wait for that.
    Recorded {
        reply: oneshot::Sender<()>,
    },
    /// Answered once nothing that was decided is on its way any more.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Asks for the bans in force.
    List {
        query: BanQuery,
        reply: oneshot::Sender<Bans>,
    },
    /// Asks why an address is banned, or not.
    Explain {
        address: IpAddr,
        reply: oneshot::Sender<SourceFacts>,
    },
    /// Asks for the latest findings, the latest first.
    Findings {
        filter: FindingFilter,
        limit: usize,
        reply: oneshot::Sender<Vec<PastFinding>>,
    },
    Stats {
        reply: oneshot::Sender<Counted>,
    },
    Edges {
        reply: oneshot::Sender<Vec<(Edge, Option<EdgeTelemetry>)>>,
    },
    Propagation {
        reply: oneshot::Sender<Propagation>,
    },
    /// Asks which clients are nearest to a threshold, and what edges answered to these commands.
    Glance {
        commands: Vec<Uuid>,
        nearest: usize,
        reply: oneshot::Sender<Glance>,
    },
    /// Asks how long bans took into the kernel of each edge, by [`BOUNDS_MS`].
    Spread {
        reply: oneshot::Sender<Vec<(String, Bars)>>,
    },
    /// Asks how often each signature was met.
    Tallies {
        reply: oneshot::Sender<Tallies>,
    },
}

/// Times of one edge: so many up to each of [`BOUNDS_MS`], and the longer ones.
pub(crate) type Bars = [u64; BOUNDS_MS.len() + 1];

/// What the web page shows of the decider's at a glance.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    /// The nearest first.
    pub nearest: Vec<Near>,
    /// Answers to the commands that are remembered.
    pub answers: HashMap<Uuid, Issued>,
    /// Requests and error responses since the start, each counted once.
    pub counted: (u64, u64),
}

/// Some of the bans in force.
#[derive(Clone, Debug)]
pub struct Bans {
    pub bans: Vec<ActiveBan>,
    /// The place of the last one among them, if there are more.
    pub next: Option<Place>,
    /// All that were asked for; only on the first page.
    pub total: Option<usize>,
}

/// What is counted in this process.
#[derive(Clone, Debug)]
pub struct Counted {
    pub decider: Stats,
    /// Audit records that were lost, since the bus did not take them.
    pub audit_lost: u64,
    /// The edges that were heard of.
    pub edges: Vec<Edge>,
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// Receiver of the answer to an order.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, OrderFailure>>;

/// Returns how one host of a fleet can do without NATS.
fn without_it() -> &'static str {
    match program::is_one_host() {
        true => "",
        false => "; on a host, `secbeat-edge unban ADDRESS` works without it",
    }
}

/// The reason why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderFailure {
    #[error(
        "{} is unreachable, so no edge would receive it; nothing was changed{}",
        broker(),
        without_it()
    )]
    Unreachable,
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// Hands orders and questions to the engine, and its answers back.
#[derive(Clone, Debug)]
pub(crate) struct EngineHandle {
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
}
