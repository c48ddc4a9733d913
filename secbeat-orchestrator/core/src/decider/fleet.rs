//! Heartbeats of the edges.

use secbeat_common::wire::Presence;
use tracing::{info, warn};

use super::{
    Decider, Turn,
    event::{Announcement, Effect},
};
use crate::presence::{Agreement, DownCause, Event, What};

impl Decider {
    pub(super) fn edge_heard(&mut self, record: Presence, turn: &mut Turn<'_>) {
        // An edge may have heard of bans that this process has not, and not of those that the bus has not taken.
        let before_ms = record.bans.fleet.span.issued_before_ms;
        let oldest = self.ledger.pending().next();
        let is_written = oldest.is_none_or(|oldest| oldest.issued_at_ms >= before_ms);
        let agreement = match self.restored && self.behind_since_ms.is_none() && is_written {
            true => Agreement::of(&record, self.ledger.digest(), turn.now.wall_ms),
            false => Agreement::Unknown,
        };
        let events = self.fleet.heard(record, agreement, turn.now);
        self.tell(events, turn);
    }

    pub(super) fn edge_left(&mut self, edge_id: &str, turn: &mut Turn<'_>) {
        let event = self.fleet.left(edge_id, turn.now);
        self.tell(event, turn);
    }

    /// Once a second.
    pub(super) fn look_for_edges(&mut self, connected: bool, turn: &mut Turn<'_>) {
        let events = self.fleet.look(connected, turn.now);
        self.tell(events, turn);
    }

    fn tell(&mut self, events: impl IntoIterator<Item = Event>, turn: &mut Turn<'_>) {
        for event in events {
            if let What::Down(_) = event.what {
                self.propagation.departed(&event.edge_id);
            }
            log(&event);
            turn.push(Effect::Announce(Announcement::Edge(event)));
        }
    }
}

fn log(Event { edge_id, what }: &Event) {
    match what {
        What::Up => info!(edge = edge_id, "an edge is up"),
        What::Down(DownCause::Stopped) => {
            info!(edge = edge_id, "an edge has stopped; its kernel keeps its bans");
        }
        What::Down(DownCause::Lost) => {
            warn!(
                edge = edge_id,
                "no heartbeat from an edge; its kernel keeps its bans"
            );
        }
        What::Down(DownCause::Unheard) => {
            warn!(
                edge = edge_id,
                "no heartbeat from an edge, since NATS is away; its kernel keeps its bans"
            );
        }
        What::Drifts { now, .. } => warn!(
            edge = edge_id,
            held = now.held,
            issued = now.issued,
            unwritten = now.unwritten,
            "an edge does not enforce the ledger's bans"
        ),
        What::Agrees => info!(edge = edge_id, "an edge enforces the ledger's bans again"),
    }
}
