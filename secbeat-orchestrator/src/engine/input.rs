//! What comes to the engine, and how.

use std::{net::IpAddr, sync::Arc};

use secbeat_common::prefix::Prefix;
use secbeat_daemon::garbage::Garbage;
use secbeat_orchestrator_core::{
    decider::{Event, Import, Imported, OrderError, SourceFacts},
    evidence::FindingFilter,
    ledger::{ActiveBan, BanQuery, ManualBan},
};
use tokio::sync::{mpsc, oneshot};

use crate::view::{BanPage, FindingView, FleetEdge, PropagationView, Stats};

/// What comes to the engine: what has happened, orders, and questions.
#[derive(Debug)]
pub enum Input {
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
        target: Prefix,
        actor: String,
        reply: Reply<Option<ActiveBan>>,
    },
    /// Answered once nothing that was decided is on its way any more.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Which bans are in force?
    List {
        query: BanQuery,
        reply: oneshot::Sender<BanPage>,
    },
    /// Why is an address banned, or is not?
    Explain {
        address: IpAddr,
        reply: oneshot::Sender<SourceFacts>,
    },
    /// What was found lately, the latest first?
    Findings {
        filter: FindingFilter,
        limit: usize,
        reply: oneshot::Sender<Vec<FindingView>>,
    },
    Stats {
        reply: oneshot::Sender<Stats>,
    },
    Edges {
        reply: oneshot::Sender<Vec<FleetEdge>>,
    },
    Propagation {
        reply: oneshot::Sender<PropagationView>,
    },
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// Where an order's answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, OrderFailure>>;

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFailure {
    #[error("NATS is unreachable, so no edge would hear of it; nothing was changed")]
    Unreachable,
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// Hands orders and questions to the engine, and its answers back.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
}
