//! Mishaps, operators' orders and clients' errors.

use std::net::IpAddr;

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{LearnedFrom, PERMANENT, TelemetryBatch, TelemetryEvent},
};
use secbeat_orchestrator_core::{
    decider::{Order, Ticket, Unban},
    ledger::ManualBan,
};
use uuid::Uuid;

use super::{CAREFUL, Given, NAMES, Next, World};
use crate::simulation::server::Record;

/// Errors in a burst: more than the threshold.
pub(super) const BURST: usize = 60;

impl World {
    pub(super) fn mishap(&mut self) {
        if self.peace {
            return;
        }
        let (n, edge) = (self.random.below(2), self.random.below(3));
        match self.random.below(5) {
            0 => self.crash(n),
            1 => {
                if let (_, Some(orchestrator)) = &mut self.orchestrators[n] {
                    orchestrator.disconnect();
                    self.interrupted();
                    self.tell(&format!("{} is cut off", NAMES[n]));
                }
            }
            2 if self.edges[edge].is_up() => {
                self.edges[edge].crash();
                self.tell(&format!("{} crashes", self.edges[edge].name));
                self.summary.crashes += 1;
                self.after(100, 6_000, Next::StartEdge(edge));
            }
            3 => {
                self.edges[edge].disconnect();
                self.tell(&format!("{} is cut off", self.edges[edge].name));
            }
            // The kernel's map evicts what it likes.
            _ => {
                let target = self.target();
                self.edges[edge].kernel.evict(&target);
            }
        }
    }

    /// One of few targets, so that orders meet.
    fn target(&mut self) -> Prefix {
        let n = self.random.below(6);
        Prefix::single([198, 51, 100, n as u8 + 1].into())
    }

    pub(super) fn operator(&mut self) {
        let (n, target) = (self.random.below(2), self.target());
        self.order(n, target);
        // Another operator means the same client at the same time.
        if self.random.once_in(4) {
            self.order(1 - n, target);
        }
    }

    fn order(&mut self, n: usize, target: Prefix) {
        let (is_ban, lasting) = (self.random.below(5) < 3, self.random.pick(&[8, 30, 200, 600, 0]));
        let (now_ms, ticket) = (self.now_ms, Ticket(self.orders.len() as u64 + 1));
        let (_, Some(orchestrator)) = &mut self.orchestrators[n] else {
            return;
        };
        // The shell refuses orders without the bus.
        if !orchestrator.is_connected() {
            return;
        }
        let order = match is_ban {
            true => {
                let expires_at_ms = match lasting {
                    0 => PERMANENT,
                    seconds => now_ms + orchestrator.ahead_ms + seconds * 1_000,
                };
                let note = format!("order {}", ticket.0);
                let issuer = if ticket.0.is_multiple_of(4) {
                    CAREFUL
                } else {
                    "alice"
                };
                Order::Ban(ManualBan {
                    shortens: issuer != CAREFUL,
                    ..ManualBan::new(target, expires_at_ms, note, issuer.to_owned())
                })
            }
            false => Order::Unban(Unban {
                target,
                actor: "alice".to_owned(),
                note: String::new(),
                list: None,
            }),
        };
        let outs = orchestrator.order(ticket, order, now_ms);
        let what = if is_ban { "ban" } else { "unban" };
        self.tell(&format!("{} is ordered to {what} {target}: {ticket:?}", NAMES[n]));
        let given = Given {
            at_ms: now_ms,
            target,
            is_ban,
            reply: None,
        };
        self.orders.insert(ticket, given);
        self.carry_out(n, outs);
    }

    /// A client makes errors on one edge.
    pub(super) fn burst(&mut self) {
        if self.peace {
            return;
        }
        let n = self.random.below(3);
        let number = self.random.below(40) as u8;
        let client = IpAddr::from([203, 0, 113, number]);
        // Each client looks for something else: what most clients of an upstream get counts against nobody.
        let path = format!("/missing-{}", "x".repeat(usize::from(number)));
        if self.report(n, client, BURST, path) {
            self.bursts.push((self.now_ms, Prefix::single(client)));
        }
    }

    /// The edge `n` reports `errors` of `client`; its telemetry may be lost, or come twice. Returns whether it comes.
    pub(super) fn report(&mut self, n: usize, client: IpAddr, errors: usize, path: String) -> bool {
        let source = Prefix::single(client);
        let event = TelemetryEvent {
            client,
            at_ms: self.now_ms,
            status: 404,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            method: "GET".to_owned(),
            path,
            host: "example.org".to_owned(),
            user_agent: String::new(),
            signatures: Vec::new(),
            cross_site: false,
        };
        let partition = source.partition(PARTITIONS);
        let sequence = self.sequences.entry((n, partition)).or_insert(0);
        *sequence += 1;
        let batch = TelemetryBatch {
            edge_id: self.edges[n].name.clone(),
            boot_id: Uuid::from_u128(n as u128 + 1),
            sequence: *sequence,
            sent_at_ms: self.now_ms,
            dropped_before: 0,
            upstreams: vec!["site".to_owned()],
            events: vec![event; errors],
            counts: Vec::new(),
        };
        let record = Record {
            partition,
            batch,
            received_ms: 0,
        };
        if self.loses() {
            return false;
        }
        self.tell(&format!("{errors} errors of {source}"));
        if self.random.once_in(4) {
            let to = self.delay() + 1;
            self.after(0, to, Next::Telemetry(record.clone()));
        }
        let to = self.delay() + 1;
        self.after(0, to, Next::Telemetry(record));
        true
    }
}
