//! Brings what happens to this edge's own detector, and carries out what it wants.

mod carrying;
mod leases;

use std::{collections::HashMap, sync::Arc, time::Duration};

use secbeat_bus::{Allowlist, Bus};
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{self, AckBatch, BlockCommand, LocalBan, MAX_LOCAL_BANS},
};
use secbeat_daemon::{protect::Protected, time::now_ms};
use secbeat_orchestrator_core::{
    ProtectedNet,
    stand_in::{Away, Effect, Event},
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::MissedTickBehavior,
};
use tracing::{error, info, warn};

use self::carrying::Carrying;
pub(super) use self::{carrying::keep_all, leases::Fleet as Leases};
use crate::{
    bus::Publisher,
    enforcer::{EnforcerHandle, Unfulfilled},
    stand_in::{DetectionRecord, Kept, Tap},
    telemetry::TelemetryStats,
};

/// Interval at which it is looked whether the fleet is there.
const LOOK: Duration = Duration::from_millis(500);

/// What the detector works with.
pub(super) struct StandInTask {
    pub(super) tap: Tap,
    pub(super) effects: mpsc::UnboundedReceiver<Effect>,
    pub(super) edge_id: String,
    pub(super) bus: Bus,
    pub(super) enforcer: EnforcerHandle,
    pub(super) publisher: Publisher,
    pub(super) telemetry: Arc<TelemetryStats>,
    /// The fleet's word on its detector.
    pub(super) heard: watch::Receiver<Option<DetectionRecord>>,
    /// The fleet's allowlist, to be kept.
    pub(super) allowlist: watch::Receiver<Option<Allowlist>>,
    /// Networks that are never banned on this host.
    pub(super) protected: Arc<Protected>,
    pub(super) kept: Kept,
}

impl StandInTask {
    /// Works for ever.
    pub(super) async fn run(mut self) {
        let mut fleet = Leases::new(&self.bus);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut protected = None;
        let mut carrying = Carrying::new(self.kept.clone());
        self.heard.mark_changed();
        loop {
            tokio::select! {
                Some(effect) = self.effects.recv() => self.carry_out(effect).await,
                () = fleet.changed() => self.look(&fleet),
                Ok(()) = self.heard.changed() => self.heard(),
                Ok(()) = self.allowlist.changed() => self.keep_allowlist(),
                _ = look.tick() => {
                    self.protect(&mut protected);
                    self.look(&fleet);
                    self.tap.handle(Event::Tick);
                    carrying.go_on(&self.tap).await;
                }
            }
        }
    }

    /// Looks whether the fleet decides.
    fn look(&self, fleet: &Leases) {
        let untold = (!self.telemetry.is_taken()).then_some(Away::Telemetry);
        self.tap.handle(Event::Fleet(fleet.away().or(untold)));
    }

    fn heard(&mut self) {
        let Some(heard) = self.heard.borrow_and_update().clone() else {
            return;
        };
        self.tap.handle(Event::Orders(Box::new(heard.orders.clone())));
        if heard.sealed.is_empty() {
            return;
        }
        let kept = self.kept.clone();
        spawn_blocking(move || kept.keep_detection(&heard));
    }

    fn keep_allowlist(&mut self) {
        if let Some(known) = self.allowlist.borrow_and_update().clone() {
            let kept = self.kept.clone();
            spawn_blocking(move || kept.keep_allowlist(&known));
        }
    }

    fn protect(&self, before: &mut Option<Arc<HashMap<Prefix, u32>>>) {
        let nets = self.protected.nets();
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &nets)) {
            return;
        }
        let protected = nets.iter().map(|(network, code)| ProtectedNet {
            network: *network,
            code: *code,
            comment: String::new(),
            until_ms: None,
        });
        self.tap.handle(Event::Protected(protected.collect()));
        *before = Some(nets);
    }

    async fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Ban(command) => self.ban(command).await,
            Effect::Tell(bans) => bans.chunks(MAX_LOCAL_BANS).for_each(|bans| self.tell(bans)),
            Effect::Began(away) => match away {
                Some(away) => {
                    warn!("{away}: this edge decides by itself, by the fleet's rules as heard last")
                }
                None => info!("this edge decides by itself, beside the fleet"),
            },
            Effect::Ended { bans } => info!(bans, "the fleet decides again"),
        }
    }

    async fn ban(&self, command: Box<BlockCommand>) {
        let (id, target) = (command.id, command.target);
        let banned = match self.enforcer.stand_in(command).await {
            Ok(banned) => banned,
            // Protected on this host, or over already.
            Err(error @ Unfulfilled::Order(_)) => {
                info!(%target, "not banned by this host's own detector: {error}");
                false
            }
            Err(error @ Unfulfilled::Unanswered(_)) => {
                warn!(%target, "a ban of this host's own detector: {error}");
                false
            }
        };
        self.tap.handle(Event::Settled { id, banned });
    }

    fn tell(&self, bans: &[LocalBan]) {
        let batch = AckBatch {
            edge_id: self.edge_id.clone(),
            at_ms: now_ms(),
            acks: Vec::new(),
            banned: bans.to_vec(),
        };
        match wire::encode(&batch) {
            // One that is lost is counted by the publisher, and told again.
            Ok(bytes) => drop(self.publisher.publish(subjects::acks(&self.edge_id), bytes)),
            Err(error) => error!(%error, "encoding bans of this edge"),
        }
    }
}
