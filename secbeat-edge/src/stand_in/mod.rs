//! This edge's own detector, which stands in while no orchestrator decides: where
//! [`secbeat_orchestrator_core::stand_in`] is shown what happens, and what was heard of the fleet.

mod carried;
mod kept;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use secbeat_common::{
    sign::{Trust, Untrusted},
    wire::{BlockCommand, Detection, Labels},
};
use secbeat_daemon::time::now_ms;
use secbeat_edge_core::Fact;
use secbeat_orchestrator_core::{
    Moment,
    stand_in::{Awaiting, Changes, Effect, Event, Orders, Seen, StandIn, Status, When},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) use self::kept::Kept;
use crate::spool::boot_ms;

/// When this edge's own detector decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Local {
    /// While NATS is unreachable or no orchestrator is ready.
    #[default]
    Fallback,
    /// At any time, beside the orchestrators.
    Always,
    /// Never: while no orchestrator decides, no new client is banned here.
    Off,
}

impl Local {
    const fn when(self) -> Option<When> {
        match self {
            Self::Fallback => Some(When::Fallback),
            Self::Always => Some(When::Always),
            Self::Off => None,
        }
    }

    /// The name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Always => "always",
            Self::Off => "off",
        }
    }
}

/// The way from the reports to this edge's own detector. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    core: Mutex<StandIn>,
    effects: mpsc::UnboundedSender<Effect>,
    /// Whether what waits in the spool has to wait on.
    hold: Arc<AtomicBool>,
}

/// The fleet's orders for its detector, with the signed message that holds them. The message is empty on a host that only has rules
/// of its own.
#[derive(Clone, Debug)]
pub(crate) struct DetectionRecord {
    pub(crate) orders: Orders,
    pub(crate) sealed: Vec<u8>,
}

/// The reason why the fleet's orders for its detector cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidDetection {
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error("not understood: {0}")]
    Json(#[from] serde_json::Error),
}

impl DetectionRecord {
    /// Returns what this host went by before it heard of a fleet.
    pub(crate) const fn own(orders: Orders) -> Self {
        Self {
            orders,
            sealed: Vec::new(),
        }
    }

    /// Reads what was signed.
    ///
    /// # Errors
    ///
    /// Returns an error if nobody trusted signed it, or this release does not understand it.
    pub(crate) fn open(sealed: &[u8], trust: &Trust) -> Result<Self, InvalidDetection> {
        let opened = trust.open::<Detection>(sealed)?;
        Ok(Self {
            orders: Orders::hear(&opened.command)?,
            sealed: sealed.to_vec(),
        })
    }
}

impl Tap {
    /// One without a detector behind it.
    pub(crate) const fn off() -> Self {
        Self(None)
    }

    /// The tap of a detector that decides as `local` says, and what it wants to be done.
    pub(crate) fn new(
        local: Local,
        edge_id: &str,
        labels: &Labels,
    ) -> (Self, mpsc::UnboundedReceiver<Effect>) {
        // Unbounded, but a ban takes a threshold of requests.
        let (effects, wanted) = mpsc::unbounded_channel();
        let shared = local.when().map(|when| {
            let seed = Uuid::new_v4().into_bytes();
            Arc::new(Shared {
                core: Mutex::new(StandIn::new(when, edge_id.to_owned(), seed).labelled(labels.clone())),
                effects,
                hold: Arc::default(),
            })
        });
        (Self(shared), wanted)
    }

    /// Shows the detector a report. Nothing is made where there is none.
    pub(crate) fn see(&self, seen: impl FnOnce() -> Seen) {
        if self.0.is_some() {
            self.handle(Event::Seen(seen()));
        }
    }

    /// Has the detector tell the fleet of bans from before this host joined it.
    pub(crate) fn bring(&self, bans: Vec<BlockCommand>) {
        self.handle(Event::Brought(bans));
    }

    /// Tells the detector what the enforcer says, as far as it matters.
    pub(crate) fn hear(&self, fact: &Fact) {
        match fact {
            Fact::Lifted(target) | Fact::LiftedHere(target) => self.see(|| Seen::Lifted(*target)),
            // The fleet may have banned it by itself before this process knew its own ban again.
            Fact::TakenOver(target) | Fact::Banned { target, .. } => {
                self.handle(Event::TakenOver(*target));
            }
            _ => {}
        }
    }

    /// Says whether what waits in the spool has to wait on.
    pub(crate) fn hold(&self) -> Arc<AtomicBool> {
        self.0
            .as_ref()
            .map(|shared| shared.hold.clone())
            .unwrap_or_default()
    }

    /// Returns what came of it; `None` where there is no detector.
    pub(crate) fn status(&self) -> Option<Status> {
        Some(self.0.as_ref()?.core.lock().status())
    }

    /// Returns how often what a restart should not forget has changed; `None` where there is no detector, and whether it decides.
    pub(crate) fn changes(&self) -> Option<(Changes, bool)> {
        let core = self.0.as_ref()?.core.lock();
        Some((core.changes(), core.decides()))
    }

    /// The bans that the fleet is to take over.
    pub(crate) fn waiting(&self) -> Vec<Awaiting> {
        let shared = self.0.as_ref();
        shared
            .map(|shared| shared.core.lock().waiting())
            .unwrap_or_default()
    }

    /// Returns what was reported lately and when, and about how many bytes that is.
    pub(crate) fn reports(&self) -> (Vec<(i64, Seen)>, usize) {
        let shared = self.0.as_ref();
        shared
            .map(|shared| shared.core.lock().reports())
            .unwrap_or_default()
    }

    /// Tells the detector what has happened.
    pub(crate) fn handle(&self, event: Event) {
        let Some(shared) = &self.0 else {
            return;
        };
        let now = Moment {
            wall_ms: now_ms(),
            boot_ms: i64::try_from(boot_ms()).unwrap_or(i64::MAX),
        };
        let mut effects = Vec::new();
        let mut core = shared.core.lock();
        core.handle(event, now, &mut effects);
        shared.hold.store(core.holds_late_telemetry(), Relaxed);
        // Under the lock, so that they come in their order. Nobody takes them any more at the end.
        for effect in effects {
            let _ = shared.effects.send(effect);
        }
    }
}
