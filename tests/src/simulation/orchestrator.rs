//! One orchestrator: the cores, and a process around them that the world moves.

use std::{num::NonZeroU32, time::Duration};

use secbeat_common::wire::{AuditRecord, BlockCommand};
use secbeat_orchestrator_core::{
    Moment,
    analyzers::{DetectConfig, Providers},
    bucket::{Change, Revisions},
    decider::{self, Decider, Effect, Event, Order, Reply, Ticket},
    leases::{Identity, Keeper, LeaseTable, Terms},
    ledger::LedgerConfig,
    writer::{self, View, Writer},
};

use super::{
    queue::{Cause, Queue},
    raid::Limit,
    server::{LEASE_MS, Server},
};

/// How far back the audit matters at a start, in milliseconds.
const MEMORY_MS: i64 = 48 * 3_600_000;
/// How far back the audit is read after a reconnect, in milliseconds.
const OVERLAP_MS: i64 = 60_000;
/// How long a window of telemetry is read again of a partition that was taken, in milliseconds.
const WINDOW_MS: i64 = 60_000 + 10_000;

/// What of the world concerns whoever drives an orchestrator.
pub(super) enum Out {
    /// Ask the server.
    Operate(writer::Operation),
    /// Put a record into the audit.
    Audit(AuditRecord),
    Answer(Ticket, Reply),
    /// Tell the decider, a moment later.
    Later(Event),
    /// What must not be has happened.
    Wrong(String),
    /// A partition was taken or lost.
    Moved,
}

/// A process. What it knows is gone with it.
pub(super) struct Orchestrator {
    pub(super) decider: Decider,
    writer: Writer,
    revisions: Revisions,
    pub(super) keeper: Keeper,
    pub(super) id: String,
    table: LeaseTable,
    /// Where it reads on, while it is connected: in the bucket's changes, and in those of the leases.
    watch: Option<(usize, usize)>,
    /// Where it reads on in the telemetry of each partition that it owns.
    telemetry: [Option<usize>; 16],
    /// Until when everything was heard for certain, milliseconds since the Unix epoch.
    heard_ms: Option<i64>,
    /// How far its time of day is ahead of the world's.
    pub(super) ahead_ms: i64,
    /// Lease writes under way: all of a round are answered before the next.
    pub(super) renewing: usize,
    /// Who waits for a safety limit, in a raid.
    queue: Option<Queue>,
}

impl Orchestrator {
    /// The process `number` of the orchestrator `name`.
    pub(super) fn start(name: &str, number: u64, ahead_ms: i64, seed: u64, limit: Option<Limit>) -> Self {
        let identity = Identity {
            name: name.to_owned(),
            process: format!("p{number}"),
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        let ledger = match limit {
            Some(limit) => limit.ledger(name),
            None => LedgerConfig {
                ban: Duration::from_secs(40),
                issuer: name.to_owned(),
                ..LedgerConfig::default()
            },
        };
        let queue = limit.map(|limit| Queue::new(ledger.max_bans_per_minute, limit == Limit::Edge));
        let config = decider::Config {
            detect: DetectConfig {
                max_sources: if limit.is_some() { 16_000 } else { 1_000 },
                ..DetectConfig::default()
            },
            agreeing_edges: NonZeroU32::MIN,
            providers: Providers::default(),
            ledger,
            protected: Vec::new(),
            max_age: Duration::from_secs(120),
            cleanup_interval: Duration::from_secs(300),
            unban_grace: Duration::ZERO,
            drift_grace: Duration::from_secs(10),
            evidence_bytes: secbeat_orchestrator_core::evidence::MIN_MEMORY,
            crawlers: decider::CrawlerConfig::default(),
            traced: false,
            stands_in: false,
            seed: bytes,
        };
        let terms = Terms {
            lease_ms: LEASE_MS,
            margin_ms: 500,
            renew_ms: 500,
        };
        Self {
            decider: config.build(),
            writer: Writer::default(),
            revisions: Revisions::default(),
            id: identity.id(),
            keeper: Keeper::new(identity, terms),
            table: LeaseTable::default(),
            watch: None,
            telemetry: [None; 16],
            heard_ms: None,
            ahead_ms,
            renewing: 0,
            queue,
        }
    }

    pub(super) fn moment(&self, now_ms: i64) -> Moment {
        Moment {
            wall_ms: now_ms + self.ahead_ms,
            boot_ms: now_ms,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.watch.is_some()
    }

    /// Whether all that decisions go by was read.
    pub(super) fn is_restored(&self) -> bool {
        self.heard_ms.is_some()
    }

    pub(super) fn disconnect(&mut self) {
        self.watch = None;
    }

    /// Reads what the bus remembers, and follows it from now on.
    pub(super) fn connect(&mut self, server: &Server, now_ms: i64) -> Vec<Out> {
        let wall_ms = now_ms + self.ahead_ms;
        let (entries, latest) = server.snapshot();
        self.revisions.begin(latest);
        let (mut bans, mut lifted) = (Vec::new(), Vec::new());
        for change in entries {
            self.note(&change);
            match change {
                Change::Written(written) => bans.push(*written),
                Change::Gone(gone) => lifted.push(gone),
                Change::Spoiled { .. } => {}
            }
        }
        let since_ms = match self.heard_ms {
            Some(heard_ms) => heard_ms - OVERLAP_MS,
            None => wall_ms - MEMORY_MS,
        };
        let decisions = server.audit.iter().filter(|record| record.at_ms >= since_ms);
        let audit: Vec<_> = decisions.map(|record| record.clone().without_events()).collect();
        let first = self.heard_ms.replace(wall_ms).is_none();
        let mut outs = Vec::new();
        if first {
            self.handle(Event::Allowlist(Vec::new()), now_ms, &mut outs);
            let restore = Event::Restore {
                bans,
                audit,
                since_ms,
            };
            self.handle(restore, now_ms, &mut outs);
        } else {
            self.handle(Event::Recheck { bans, lifted, audit }, now_ms, &mut outs);
        }
        self.keeper.bucket_made(1_000);
        self.keeper.heard_all(server.leases());
        self.watch = Some((server.changes.len(), server.lease_changes.len()));
        outs
    }

    /// Hears at most `most` changes of the bucket and of the leases, and as many batches of telemetry.
    pub(super) fn hear(&mut self, server: &Server, most: usize, now_ms: i64) -> Vec<Out> {
        let mut outs = Vec::new();
        let Some((mut bans, mut leases)) = self.watch else {
            return outs;
        };
        for entry in server.lease_changes.iter().skip(leases).take(most) {
            self.keeper.heard(entry.clone());
            leases += 1;
        }
        for change in server.changes.iter().skip(bans).take(most) {
            bans += 1;
            self.note(change);
            self.heard_ms = Some(now_ms + self.ahead_ms);
            let event = match change.clone() {
                Change::Written(written) => Event::Banned(written),
                Change::Gone(gone) => Event::Lifted(gone),
                Change::Spoiled { target, revision } => Event::Spoiled { target, revision },
            };
            self.handle(event, now_ms, &mut outs);
        }
        self.watch = Some((bans, leases));
        self.publish(server, now_ms, &mut outs);
        self.read_telemetry(server, most, now_ms, &mut outs);
        outs
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::Written(written) => {
                let command = &written.command;
                self.revisions
                    .holds(command.target, written.revision, command.expires_at_ms);
            }
            Change::Gone(gone) => self.revisions.deleted(&gone.target, gone.revision),
            Change::Spoiled { target, revision } => self.revisions.holds(*target, *revision, 0),
        }
    }

    /// Lets the rest of the process know what is owned.
    pub(super) fn publish(&mut self, server: &Server, now_ms: i64, outs: &mut Vec<Out>) {
        let table = self.keeper.table();
        if table != self.table {
            self.table = table.clone();
            self.handle(Event::Leases(table), now_ms, outs);
        }
        for ownership in self.keeper.changes() {
            use secbeat_orchestrator_core::leases::Ownership;
            outs.extend(self.queue.is_some().then_some(Out::Moved));
            match ownership {
                Ownership::Taken { partition, .. } => {
                    let slot = &mut self.telemetry[usize::from(partition)];
                    let since_ms = now_ms - WINDOW_MS;
                    let begin = || {
                        server
                            .telemetry
                            .partition_point(|record| record.received_ms < since_ms)
                    };
                    *slot = Some(slot.unwrap_or_else(begin));
                }
                Ownership::Lost { partition } => self.telemetry[usize::from(partition)] = None,
            }
            self.handle(Event::Owned(ownership), now_ms, outs);
        }
    }

    fn read_telemetry(&mut self, server: &Server, most: usize, now_ms: i64, outs: &mut Vec<Out>) {
        for partition in 0..self.telemetry.len() {
            let Some(from) = self.telemetry[partition] else {
                continue;
            };
            let to = server.telemetry.len().min(from + most * 4);
            self.telemetry[partition] = Some(to);
            for record in &server.telemetry[from..to] {
                if usize::from(record.partition) == partition {
                    let event = Event::Batch {
                        partition: record.partition,
                        batch: record.batch.clone(),
                        received_ms: record.received_ms,
                        age_ms: None,
                    };
                    self.handle(event, now_ms, outs);
                }
            }
        }
    }

    pub(super) fn tick(&mut self, now_ms: i64) -> Vec<Out> {
        let mut outs = Vec::new();
        let connected = self.is_connected();
        self.handle(Event::Tick { connected }, now_ms, &mut outs);
        outs
    }

    /// An operator orders something of an orchestrator that is connected.
    pub(super) fn order(&mut self, ticket: Ticket, order: Order, now_ms: i64) -> Vec<Out> {
        let mut outs = Vec::new();
        self.handle(Event::Order { ticket, order }, now_ms, &mut outs);
        outs
    }

    /// The writer's answer, or that its time has come.
    pub(super) fn write(&mut self, event: writer::Event, now_ms: i64) -> Vec<Out> {
        let mut outs = Vec::new();
        self.drive_writer(event, now_ms, &mut outs);
        outs
    }

    pub(super) fn write_due(&self, now_ms: i64) -> bool {
        self.writer.due_ms().is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// The bans in force, as its ledger has them.
    pub(super) fn ledger(&self) -> Vec<BlockCommand> {
        let page = self
            .decider
            .bans(&secbeat_orchestrator_core::ledger::BanQuery::default());
        page.bans.iter().map(|ban| ban.command.clone()).collect()
    }

    /// Findings that wait after a tick although no safety limit holds them back.
    pub(super) fn forgotten(&mut self, now_ms: i64) -> usize {
        drop(self.tick(now_ms));
        let stats = self.decider.stats(self.moment(now_ms));
        let by_limit: usize = stats.held_back_by.values().sum();
        stats.held_back - by_limit
    }

    pub(super) fn is_idle(&self) -> bool {
        self.writer.is_idle()
    }

    pub(super) fn handle(&mut self, event: Event, now_ms: i64, outs: &mut Vec<Out>) {
        let (mut effects, now) = (Vec::new(), self.moment(now_ms));
        let cause = self.queue.as_ref().map(|_| Cause::of(&event));
        let held = |decider: &Decider| cause.as_ref().and_then(|cause| cause.held(decider));
        let before = held(&self.decider);
        self.decider.handle(event, now, &mut effects);
        let is_held = held(&self.decider) != before;
        if let (Some(queue), Some(cause)) = (&mut self.queue, cause) {
            let wrong = queue.take(&cause, is_held, &effects, now.wall_ms);
            outs.extend(wrong.map(Out::Wrong));
        }
        for effect in effects {
            match effect {
                Effect::Write(request) => {
                    self.drive_writer(writer::Event::Request(request), now_ms, outs);
                }
                Effect::Settle { target, id, fate } => {
                    self.drive_writer(writer::Event::Settled { target, id, fate }, now_ms, outs);
                }
                Effect::Audit { record, .. } | Effect::Conclude { record, .. } => {
                    outs.push(Out::Audit(record))
                }
                Effect::Reply { ticket, reply } => outs.push(Out::Answer(ticket, reply)),
                Effect::Announce(_)
                | Effect::LookUp(_)
                | Effect::TraceBegun(_)
                | Effect::TraceEnded { .. } => {}
            }
        }
    }

    fn drive_writer(&mut self, event: writer::Event, now_ms: i64, outs: &mut Vec<Out>) {
        let mut effects = Vec::new();
        let view = View {
            now: self.moment(now_ms),
            revisions: &self.revisions,
            leases: &self.table,
            takes_batches: true,
        };
        self.writer.handle(event, view, &mut effects);
        for effect in effects {
            outs.push(match effect {
                writer::Effect::Operate(operation) => Out::Operate(operation),
                writer::Effect::Report { id, fate } => Out::Later(Event::Done { id, fate }),
            });
        }
    }
}
