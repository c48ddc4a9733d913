//! Each decision, without a bus.

mod agreement;
mod allowlist;
mod brakes;
mod detection;
mod determinism;
mod duplicates;
mod edges;
mod fates;
mod imports;
mod observing;
mod orders;
mod others;
mod parked;
mod partitions;
mod queries;
mod recheck;
mod rejected;
mod restore;
mod telemetry;

use std::net::IpAddr;

use secbeat_common::wire::{
    Action, AuditRecord, BlockCommand, Decision as Audited, Evidence, Layer, LearnedFrom, Reason, Scope,
    SourceCount, TelemetryBatch, TelemetryEvent,
};

use super::*;
use crate::{
    bucket::{Gone, Written},
    leases::{Ownership, Tenure},
    ledger::{ActiveBan, BanQuery, ManualBan, WriteState},
    writer::{Fate, Write, WriteRequest},
};

/// 2026-11-20T10:00:00Z.
pub(super) const NOW: i64 = 1_795_168_800_000;
/// Its partition is 2.
const CLIENT: &str = "198.51.100.7";
/// Its partition is 8.
const OTHER_CLIENT: &str = "198.51.100.8";

/// A decider and a clock.
pub(super) struct Rig {
    pub(super) decider: Decider,
    pub(super) now: Moment,
    /// Batches made so far.
    sequence: u64,
}

impl Rig {
    /// A decider that knows nothing, not even what it owns.
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same of another config.
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            detect: DetectConfig::default(),
            agreeing_edges: NonZeroU32::MIN,
            ledger: LedgerConfig::default(),
            protected: Vec::new(),
            max_age: Duration::from_secs(120),
            cleanup_interval: Duration::from_secs(300),
            unban_grace: Duration::ZERO,
            drift_grace: Duration::from_secs(10),
            evidence_bytes: crate::evidence::MIN_MEMORY,
            traced: false,
            seed: [7; 16],
        };
        change(&mut config);
        Self {
            decider: config.build(),
            now: Moment {
                wall_ms: NOW,
                boot_ms: 1_000_000,
            },
            sequence: 0,
        }
    }

    /// One that has read an empty bus, and owns all partitions at epoch 1.
    fn ready() -> Self {
        Self::ready_with(|_| {})
    }

    fn ready_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut rig = Self::with(change);
        assert_eq!(rig.restore(Vec::new(), Vec::new()), []);
        assert_eq!(rig.handle(Event::Allowlist(Vec::new())), []);
        rig.own_all(1);
        rig
    }

    /// What the bus remembers; the audit of all time.
    fn restore(&mut self, bans: Vec<Written>, audit: Vec<AuditRecord>) -> Vec<Effect> {
        self.handle(Event::Restore {
            bans,
            audit,
            since_ms: self.now.wall_ms,
        })
    }

    /// Holds each partition like this, for certain for an hour.
    fn hold_all(&mut self, tenure: Tenure) -> Vec<Effect> {
        let until_ms = self.now.boot_ms + 3_600_000;
        self.handle(Event::Leases(LeaseTable::new([tenure; 16], Some(until_ms))))
    }

    /// Takes all partitions, for an hour.
    fn own_all(&mut self, epoch: u64) -> Vec<Effect> {
        self.hold_all(Tenure::Owned { epoch });
        let take = |partition| Event::Owned(Ownership::Taken { partition, epoch });
        (0..16)
            .flat_map(|partition| self.handle(take(partition)))
            .collect()
    }

    fn take(&mut self, client: &str, epoch: u64) -> Vec<Effect> {
        let partition = target(client).partition(16);
        self.handle(Event::Owned(Ownership::Taken { partition, epoch }))
    }

    fn lose(&mut self, client: &str) -> Vec<Effect> {
        let partition = target(client).partition(16);
        self.handle(Event::Owned(Ownership::Lost { partition }))
    }

    pub(super) fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.decider.handle(event, self.now, &mut effects);
        effects
    }

    fn pass(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.boot_ms += ms;
    }

    fn tick(&mut self) -> Vec<Effect> {
        self.handle(Event::Tick { connected: true })
    }

    /// `n` answers with 404 to `client`, reported by `edge` now.
    fn errors(&mut self, edge: &str, client: &str, n: usize) -> Vec<Effect> {
        let batch = self.batch(edge, vec![error(client, self.now.wall_ms); n]);
        self.telemetry(client, batch)
    }

    /// The next batch of `edge`, closed now.
    fn batch(&mut self, edge: &str, events: Vec<TelemetryEvent>) -> TelemetryBatch {
        self.sequence += 1;
        TelemetryBatch {
            edge_id: edge.to_owned(),
            boot_id: Uuid::from_u128(1),
            sequence: self.sequence,
            sent_at_ms: self.now.wall_ms,
            dropped_before: 0,
            upstreams: vec!["site".to_owned()],
            events,
            counts: Vec::new(),
        }
    }

    /// A live batch of the partition of `client`, received now.
    fn telemetry(&mut self, client: &str, batch: TelemetryBatch) -> Vec<Effect> {
        self.received(client, batch, self.now.wall_ms)
    }

    fn received(&mut self, client: &str, batch: TelemetryBatch, received_ms: i64) -> Vec<Effect> {
        self.handle(Event::Batch {
            partition: target(client).partition(16),
            batch,
            received_ms,
            age_ms: None,
        })
    }

    /// Finds `client`: 50 errors now, reported by `edge-1`. Returns the ban that follows.
    fn found(&mut self, client: &str) -> BlockCommand {
        let effects = self.errors("edge-1", client, 50);
        let [command] = &written(&effects)[..] else {
            panic!("{effects:?}");
        };
        command.clone()
    }

    /// An operator's order of a ban of `client` for `seconds`.
    fn order(&mut self, ticket: u64, client: &str, seconds: i64) -> Vec<Effect> {
        let expires_at_ms = self.now.wall_ms + seconds * 1_000;
        let ban = ManualBan::new(
            target(client),
            expires_at_ms,
            "spam".to_owned(),
            "alice".to_owned(),
        );
        self.handle(Event::Order {
            ticket: Ticket(ticket),
            order: Order::Ban(ban),
        })
    }

    /// The ban that follows from it.
    fn ordered(&mut self, ticket: u64, client: &str, seconds: i64) -> BlockCommand {
        let effects = self.order(ticket, client, seconds);
        let [command] = &written(&effects)[..] else {
            panic!("{effects:?}");
        };
        command.clone()
    }

    fn unban(&mut self, ticket: u64, client: &str) -> Vec<Effect> {
        self.handle(Event::Order {
            ticket: Ticket(ticket),
            order: Order::Unban {
                target: target(client),
                actor: "bob".to_owned(),
            },
        })
    }

    fn done(&mut self, command: &BlockCommand, fate: Fate) -> Vec<Effect> {
        self.handle(Event::Done { id: command.id, fate })
    }

    /// The bus has it.
    fn acknowledge(&mut self, command: &BlockCommand, revision: u64) -> Vec<Effect> {
        self.done(command, Fate::Written { revision })
    }

    /// The bucket says it.
    fn hear(&mut self, command: &BlockCommand, revision: u64) -> Vec<Effect> {
        self.handle(Event::Banned(Box::new(bucket(command, revision))))
    }

    /// The bucket says that the ban of `client` is gone, now.
    fn hear_gone(&mut self, client: &str, revision: u64) -> Vec<Effect> {
        let gone = gone(client, self.now.wall_ms, revision);
        self.handle(Event::Lifted(gone))
    }

    /// The ban of exactly `client`'s source.
    fn banned(&self, client: &str) -> Option<&ActiveBan> {
        let query = BanQuery {
            within: Some(target(client)),
            ..BanQuery::default()
        };
        self.decider.bans(&query).bans.first().copied()
    }

    /// The id of that.
    fn ban_of(&self, client: &str) -> Option<Uuid> {
        self.banned(client).map(|ban| ban.command.id)
    }

    /// What counts against `client` as errors.
    fn counted(&self, client: &str) -> u64 {
        let address: IpAddr = client.parse().unwrap();
        self.decider.explain(address, self.now).windows[0].count
    }

    /// Earlier bans of `client` that count.
    fn strikes(&self, client: &str) -> u32 {
        let address: IpAddr = client.parse().unwrap();
        self.decider.explain(address, self.now).strikes
    }
}

fn target(client: &str) -> Prefix {
    client.parse().unwrap()
}

/// An answer with 404.
fn error(client: &str, at_ms: i64) -> TelemetryEvent {
    TelemetryEvent {
        client: client.parse().unwrap(),
        at_ms,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        status: 404,
        method: "GET".to_owned(),
        path: "/missing".to_owned(),
        host: "example.org".to_owned(),
        user_agent: "curl/8".to_owned(),
    }
}

fn requests(source: &str, at_ms: i64, requests: u32) -> SourceCount {
    SourceCount {
        source: target(source),
        at_ms,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        requests,
        errors: 0,
        server_errors: 0,
    }
}

/// A ban of another orchestrator, issued at [`NOW`] at epoch 1, for five minutes.
fn theirs(client: &str, id: u128) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(id),
        action: Action::Block,
        target: target(client),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: NOW,
        expires_at_ms: NOW + 300_000,
        issuer: "orchestrator-2".to_owned(),
        layer: Layer::Kernel,
        epoch: 1,
    }
}

fn bucket(command: &BlockCommand, revision: u64) -> Written {
    Written {
        command: command.clone(),
        revision,
    }
}

fn gone(client: &str, at_ms: i64, revision: u64) -> Gone {
    Gone {
        target: target(client),
        at_ms,
        revision,
    }
}

/// The audit's record of `command`, made when it was issued.
fn ban_record(command: &BlockCommand) -> AuditRecord {
    AuditRecord {
        at_ms: command.issued_at_ms,
        target: command.target,
        actor: ACTOR.to_owned(),
        decision: decisions::decision(command, Vec::new()),
    }
}

fn unban_record(command: &BlockCommand, at_ms: i64) -> AuditRecord {
    AuditRecord {
        at_ms,
        target: command.target,
        actor: "bob".to_owned(),
        decision: Audited::Unban {
            command_id: command.id,
            strikes: command.strikes,
        },
    }
}

/// The bans that the effects write.
fn written(effects: &[Effect]) -> Vec<BlockCommand> {
    let bans = effects.iter().filter_map(|effect| match effect {
        Effect::Write(WriteRequest {
            write: Write::Ban(command),
            ..
        }) => Some((**command).clone()),
        _ => None,
    });
    bans.collect()
}

/// The records that the effects put into the audit, without what led to them.
fn audited(effects: &[Effect]) -> Vec<AuditRecord> {
    let records = effects.iter().filter_map(|effect| match effect {
        Effect::Audit { record, .. } | Effect::Conclude { record, .. } => {
            Some(record.clone().without_events())
        }
        _ => None,
    });
    records.collect()
}

fn write(command: &BlockCommand, urgency: Urgency) -> Effect {
    Effect::Write(WriteRequest {
        target: command.target,
        write: Write::Ban(Box::new(command.clone())),
        urgency,
    })
}

fn write_lift(command: &BlockCommand, at_ms: i64) -> Effect {
    Effect::Write(WriteRequest {
        target: command.target,
        write: Write::Lift {
            id: command.id,
            at_ms,
            expires_at_ms: command.expires_at_ms,
        },
        urgency: Urgency::Now,
    })
}

fn conclude(record: AuditRecord, urgency: Urgency) -> Effect {
    Effect::Conclude { record, urgency }
}

fn reply(ticket: u64, reply: Reply) -> Effect {
    Effect::Reply {
        ticket: Ticket(ticket),
        reply,
    }
}

/// An order for a ban was carried out by `command`.
fn reply_banned(ticket: u64, command: &BlockCommand) -> Effect {
    reply(ticket, Reply::Banned(Ok(Box::new(in_bucket(command)))))
}

fn reply_not_banned(ticket: u64, error: OrderError) -> Effect {
    reply(ticket, Reply::Banned(Err(error)))
}

fn in_bucket(command: &BlockCommand) -> ActiveBan {
    ActiveBan {
        command: command.clone(),
        write: WriteState::Acknowledged,
    }
}

fn pending(command: &BlockCommand) -> ActiveBan {
    ActiveBan {
        command: command.clone(),
        write: WriteState::Pending,
    }
}
