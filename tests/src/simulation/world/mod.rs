//! What happens, and when.

mod incidents;
mod raid;
mod turns;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use secbeat_common::{prefix::Prefix, wire::AuditRecord};
use secbeat_orchestrator_core::{
    decider::{Event as Decided, Reply, Ticket},
    leases,
    writer::{self, Operation},
};

use super::{
    Summary,
    edge::Edge,
    orchestrator::Orchestrator,
    raid::{Limit, Raid},
    server::{Record, Server},
};
use crate::lab::random::Random;

/// 2026-11-20T10:00:00Z.
const START_MS: i64 = 1_795_168_800_000;
/// How long trouble lasts, and the peace after it.
const TROUBLE_MS: i64 = 120_000;
const PEACE_MS: i64 = 60_000;
/// After a raid, what waits for a safety limit is decided.
const PEACE_AFTER_RAID_MS: i64 = 100_000;
/// How long the last of these decisions may be on its way.
const SETTLES_MS: i64 = 5_000;
/// How well members know the bus's clock, by which they go.
pub(super) const MEASURED_MS: i64 = 50;
/// Who orders bans that end no other one earlier.
pub(super) const CAREFUL: &str = "bob";
/// Lines of its story that a failed run tells.
const STORY: usize = 400;
const NAMES: [&str; 2] = ["first", "second"];

/// Something that happens at a time. Those of one process are void once it has crashed.
enum Next {
    /// An orchestrator looks at the clock, at what it owns and at what came.
    OrchestratorTurn(usize),
    EdgeTurn(usize),
    /// The server does an operation, unless it was lost, and answers.
    Operate(usize, u64, Operation),
    Answer(usize, u64, writer::Event),
    Lease(usize, u64, leases::Write, i64),
    Leased(usize, u64, leases::Write, i64, Option<u64>),
    Audit(usize, u64, AuditRecord),
    Later(usize, u64, Decided),
    Start(usize),
    StartEdge(usize),
    Telemetry(Record),
    Operator,
    Burst,
    Mishap,
    /// The attackers of a raid look what became of them.
    Crowd,
    Decoy,
    Loud(usize),
    Innocent,
}

/// An order, and what is known of it.
pub(super) struct Given {
    pub(super) at_ms: i64,
    pub(super) target: Prefix,
    pub(super) is_ban: bool,
    /// When it was answered, and how.
    pub(super) reply: Option<(i64, Reply)>,
}

/// See the [module](self).
pub(super) struct World {
    random: Random,
    pub(super) now_ms: i64,
    next: BinaryHeap<Reverse<(i64, u64)>>,
    what: BTreeMap<u64, Next>,
    scheduled: u64,
    pub(super) server: Server,
    /// With the number of the process; dead ones are `None`.
    pub(super) orchestrators: [(u64, Option<Orchestrator>); 2],
    /// How far the orchestrators' times are ahead of the world's.
    ahead_ms: [i64; 2],
    pub(super) edges: Vec<Edge>,
    /// Batches sent by each edge and partition.
    sequences: BTreeMap<(usize, u16), u64>,
    pub(super) orders: BTreeMap<Ticket, Given>,
    /// Bursts that reached the server: when, and of whom.
    pub(super) bursts: Vec<(i64, Prefix)>,
    peace: bool,
    /// The safety limit that a raid is about.
    limit: Option<Limit>,
    pub(super) raid: Option<Raid>,
    /// What must not be and has happened first.
    pub(super) wrong: Option<String>,
    /// Whether nothing more is decided of what a limit held back.
    settles: bool,
    seed: u64,
    summary: Summary,
    story: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, limit: Option<Limit>) -> Self {
        let mut random = Random::new(seed);
        let mut error = || random.between(-MEASURED_MS, MEASURED_MS);
        let ahead_ms = [error(), error()];
        let edges = ["edge-1", "edge-2", "edge-3"].map(|name| Edge::new(name, error()));
        let mut world = Self {
            random,
            now_ms: START_MS,
            next: BinaryHeap::new(),
            what: BTreeMap::new(),
            scheduled: 0,
            server: Server::default(),
            orchestrators: [(0, None), (0, None)],
            ahead_ms,
            edges: edges.into(),
            sequences: BTreeMap::new(),
            orders: BTreeMap::new(),
            bursts: Vec::new(),
            peace: false,
            limit,
            raid: limit.map(|_| Raid::default()),
            wrong: None,
            settles: false,
            seed,
            summary: Summary::default(),
            story: Vec::new(),
        };
        for n in 0..2 {
            world.after(0, 500, Next::Start(n));
        }
        for n in 0..3 {
            world.after(0, 500, Next::StartEdge(n));
        }
        world.after(0, 2_000, Next::Operator);
        match limit {
            Some(_) => world.begin_raid(),
            None => world.after(0, 2_000, Next::Burst),
        }
        world.after(2_000, 4_000, Next::Mishap);
        world
    }

    pub(super) fn trouble(&mut self) {
        self.run_until(START_MS + TROUBLE_MS);
    }

    /// Nothing is lost any more, and all that is dead starts again.
    pub(super) fn heal(&mut self) {
        self.tell("peace");
        self.peace = true;
        let peace_ms = match self.limit {
            Some(_) => PEACE_AFTER_RAID_MS,
            None => PEACE_MS,
        };
        self.run_until(START_MS + TROUBLE_MS + peace_ms);
        if self.limit.is_some() {
            self.settles = true;
            self.run_until(self.now_ms + SETTLES_MS);
        }
    }

    /// Findings that still wait after all although no limit holds them back.
    pub(super) fn forgotten(&mut self) -> usize {
        let now_ms = self.now_ms;
        let alive = self.orchestrators.iter_mut().filter_map(|(_, it)| it.as_mut());
        alive.map(|orchestrator| orchestrator.forgotten(now_ms)).sum()
    }

    pub(super) fn summary(&self) -> Summary {
        let carried_out = |given: &&Given| {
            matches!(
                given.reply,
                Some((_, Reply::Banned(Ok(_)) | Reply::Unbanned(Ok(Some(_)))))
            )
        };
        let orders = self.orders.values().filter(carried_out);
        Summary {
            bans: self.server.seen.len(),
            orders: orders.clone().count(),
            unbans: orders.filter(|given| !given.is_ban).count(),
            conflicts: self.server.conflicts,
            held_back: self.server.held_back(),
            ..self.summary
        }
    }

    pub(super) fn story(&self) -> String {
        let skipped = self.story.len().saturating_sub(STORY);
        self.story[skipped..].join("\n")
    }

    fn tell(&mut self, what: &str) {
        let at = self.now_ms - START_MS;
        self.story.push(format!("{at:>6} {what}"));
    }

    fn run_until(&mut self, end_ms: i64) {
        while let Some(Reverse((at_ms, number))) = self.next.peek().copied() {
            if at_ms > end_ms {
                break;
            }
            self.next.pop();
            self.now_ms = at_ms;
            self.server.pass(at_ms);
            if let Some(next) = self.what.remove(&number) {
                self.happen(next);
            }
        }
        self.now_ms = end_ms;
        self.server.pass(end_ms);
    }

    /// `next` happens in `from..to` milliseconds.
    fn after(&mut self, from: i64, to: i64, next: Next) {
        let at_ms = self.now_ms + self.random.between(from, to);
        self.scheduled += 1;
        self.next.push(Reverse((at_ms, self.scheduled)));
        self.what.insert(self.scheduled, next);
    }

    /// Whether what is on its way is lost.
    fn loses(&mut self) -> bool {
        let lost = !self.peace && self.random.once_in(12);
        self.summary.lost += usize::from(lost);
        lost
    }

    /// How long a message takes at most.
    fn delay(&mut self) -> i64 {
        match self.peace {
            true => 5,
            false => self.random.pick(&[3, 30, 300, 1_500]),
        }
    }

    fn happen(&mut self, next: Next) {
        match next {
            Next::OrchestratorTurn(n) => self.orchestrator_turn(n),
            Next::EdgeTurn(n) => self.edge_turn(n),
            Next::Operate(n, process, operation) => self.operate(n, process, &operation),
            Next::Answer(n, process, event) => {
                let now_ms = self.now_ms;
                if let Some(orchestrator) = self.alive(n, process) {
                    let outs = orchestrator.write(event, now_ms);
                    self.carry_out(n, outs);
                }
            }
            Next::Lease(n, process, write, sent_ms) => {
                let Some(id) = self.alive(n, process).map(|it| it.id.clone()) else {
                    return;
                };
                let revision = match self.loses() {
                    true => None,
                    false => self.server.lease(&id, &write, self.now_ms),
                };
                let to = self.delay().min(900) + 1;
                self.after(0, to, Next::Leased(n, process, write, sent_ms, revision));
            }
            Next::Leased(n, process, write, sent_ms, revision) => {
                let now_ms = self.now_ms;
                if let Some(orchestrator) = self.alive(n, process) {
                    orchestrator.renewing -= 1;
                    match (write, revision) {
                        (_, None) => {}
                        (leases::Write::Renew, Some(_)) => orchestrator.keeper.renewed(sent_ms, now_ms),
                        (leases::Write::Take { partition, .. }, Some(revision)) => {
                            orchestrator.keeper.taken(partition, revision, now_ms);
                        }
                        (leases::Write::Release { partition, .. }, Some(revision)) => {
                            orchestrator.keeper.released(partition, revision);
                        }
                    }
                }
            }
            Next::Audit(n, process, record) => {
                if self.alive(n, process).is_none() {
                    return;
                }
                if self.loses() {
                    self.after(200, 2_000, Next::Audit(n, process, record));
                    return;
                }
                self.server.audit(&record);
                // The acknowledgement was lost: it comes again.
                if self.loses() {
                    self.after(200, 2_000, Next::Audit(n, process, record));
                }
            }
            Next::Later(n, process, event) => {
                let now_ms = self.now_ms;
                if let Some(orchestrator) = self.alive(n, process) {
                    let mut outs = Vec::new();
                    orchestrator.handle(event, now_ms, &mut outs);
                    self.carry_out(n, outs);
                }
            }
            Next::Start(n) => self.start(n),
            Next::StartEdge(n) if self.edges[n].is_up() => {}
            Next::StartEdge(n) => {
                self.tell(&format!("{} starts", self.edges[n].name));
                self.edges[n].start(self.now_ms);
                self.after(0, 500, Next::EdgeTurn(n));
            }
            Next::Telemetry(mut record) => {
                record.received_ms = self.now_ms;
                self.server.telemetry.push(record);
            }
            Next::Operator => {
                self.operator();
                if !self.peace {
                    self.after(200, 6_000, Next::Operator);
                }
            }
            Next::Burst => {
                self.burst();
                if !self.peace {
                    self.after(500, 8_000, Next::Burst);
                }
            }
            Next::Mishap => {
                self.mishap();
                if !self.peace {
                    let to = self.limit.map_or(6_000, |_| 40_000);
                    self.after(300, to, Next::Mishap);
                }
            }
            Next::Crowd => self.crowd(),
            Next::Decoy => self.decoy(),
            Next::Loud(n) => self.loud(n),
            Next::Innocent => self.innocent(),
        }
    }
}
