//! What the edges say, as the engine takes it.

use std::collections::HashMap;

use secbeat_common::wire::{AckBatch, Presence};
use secbeat_daemon::time::{now_ms, rfc3339};
use tracing::{info, warn};

use super::Engine;
use crate::{
    api::edges::FleetEdge,
    events::Change,
    presence::{Agreement, DownCause, Edge, Event, Fleet, Moment, What},
};

impl Engine {
    /// An engine that judges edges by `fleet`.
    #[must_use]
    pub fn watching(mut self, fleet: Fleet) -> Self {
        self.fleet = fleet;
        self
    }

    fn moment(&self) -> Moment {
        Moment {
            wall_ms: now_ms(),
            uptime: self.started.elapsed(),
        }
    }

    pub(super) fn edge_heard(&mut self, record: Presence) {
        let now = self.moment();
        let agreement = match self.restored {
            true => Agreement::of(&record, self.ledger.digest(), now.wall_ms),
            false => Agreement::Unknown,
        };
        let events = self.fleet.heard(record, agreement, now);
        self.tell(events);
    }

    pub(super) fn edge_left(&mut self, edge_id: &str) {
        let event = self.fleet.left(edge_id, self.moment());
        self.tell(event);
    }

    /// Once a second.
    pub(super) fn look_for_edges(&mut self) {
        let events = self.fleet.look(self.bus.is_connected(), self.moment());
        self.tell(events);
    }

    pub(super) fn acks(&mut self, batch: &AckBatch, received_ms: i64) {
        self.propagation.answered(batch, received_ms);
    }

    /// The edges that were heard of, each with its telemetry.
    pub(super) fn edge_views(&self) -> Vec<FleetEdge> {
        let mut telemetry: HashMap<_, _> = self
            .edges
            .views()
            .into_iter()
            .map(|view| (view.edge_id.clone(), view))
            .collect();
        let view = |edge: &Edge| FleetEdge::new(edge, telemetry.remove(&edge.record.edge_id));
        self.fleet.edges().map(view).collect()
    }

    fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if let What::Down(_) = event.what {
                self.propagation.departed(&event.edge_id);
            }
            self.events.tell(report(event));
        }
    }
}

/// Logs an event, and says it as others are told.
fn report(Event { edge_id, what }: Event) -> Change {
    match what {
        What::Up => {
            info!(edge = edge_id, "an edge is there");
            Change::EdgeUp { edge_id }
        }
        What::Down(cause) => {
            match cause {
                DownCause::Stopped => info!(edge = edge_id, "an edge has stopped; its kernel keeps its bans"),
                DownCause::Lost => warn!(edge = edge_id, "an edge was lost; its kernel keeps its bans"),
            }
            Change::EdgeDown { edge_id }
        }
        What::Drifts { since_ms, now } => {
            warn!(
                edge = edge_id,
                held = now.held,
                issued = now.issued,
                unwritten = now.unwritten,
                "an edge does not hold the ledger's bans"
            );
            let since = rfc3339(since_ms);
            Change::EdgeDrifts { edge_id, since }
        }
        What::Agrees => {
            info!(edge = edge_id, "an edge holds the ledger's bans again");
            Change::EdgeAgrees { edge_id }
        }
    }
}
