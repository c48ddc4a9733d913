//! What happens, and when.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{AuditRecord, LearnedFrom, PERMANENT, TelemetryBatch, TelemetryEvent},
};
use secbeat_orchestrator_core::{
    decider::{Event as Decided, Order, OrderError, Reply, Ticket},
    leases,
    ledger::ManualBan,
    writer::{self, Operation},
};
use uuid::Uuid;

use super::{
    Summary,
    edge::Edge,
    orchestrator::{Orchestrator, Out},
    server::{Record, Server},
};
use crate::lab::random::Random;

/// 2026-11-20T10:00:00Z.
const START_MS: i64 = 1_795_168_800_000;
/// How long trouble lasts, and the peace after it.
const TROUBLE_MS: i64 = 120_000;
const PEACE_MS: i64 = 60_000;
/// When an operation that was not answered has failed.
const PATIENCE_MS: i64 = 2_000;
/// Errors in a burst: more than the threshold.
const BURST: usize = 60;
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
    ahead_ms: [i64; 2],
    pub(super) edges: Vec<Edge>,
    /// Batches sent by each edge and partition.
    sequences: BTreeMap<(usize, u16), u64>,
    pub(super) orders: BTreeMap<Ticket, Given>,
    /// Bursts that reached the server: when, and of whom.
    pub(super) bursts: Vec<(i64, Prefix)>,
    peace: bool,
    seed: u64,
    summary: Summary,
    story: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut ahead = || random.between(-1_500, 1_500);
        let ahead_ms = [ahead(), ahead()];
        let edges = ["edge-1", "edge-2", "edge-3"].map(|name| Edge::new(name, ahead()));
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
        world.after(0, 2_000, Next::Burst);
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
        self.run_until(START_MS + TROUBLE_MS + PEACE_MS);
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
                    self.after(300, 6_000, Next::Mishap);
                }
            }
        }
    }

    fn alive(&mut self, n: usize, process: u64) -> Option<&mut Orchestrator> {
        let (number, orchestrator) = &mut self.orchestrators[n];
        orchestrator.as_mut().filter(|_| *number == process)
    }

    fn start(&mut self, n: usize) {
        let (number, orchestrator) = &mut self.orchestrators[n];
        if orchestrator.is_some() {
            return;
        }
        *number += 1;
        let seed = self.seed.wrapping_mul(31).wrapping_add(n as u64);
        *orchestrator = Some(Orchestrator::start(NAMES[n], *number, self.ahead_ms[n], seed));
        self.tell(&format!("{} starts", NAMES[n]));
        self.after(0, 300, Next::OrchestratorTurn(n));
    }

    fn orchestrator_turn(&mut self, n: usize) {
        let now_ms = self.now_ms;
        let connects = self.peace || !self.random.once_in(4);
        let most = self.random.pick(&[1, 5, 50]);
        let ticks = self.random.once_in(10);
        let (process, Some(orchestrator)) = &mut self.orchestrators[n] else {
            return;
        };
        let process = *process;
        let mut outs = match orchestrator.is_connected() {
            true => orchestrator.hear(&self.server, most, now_ms),
            false if connects => orchestrator.connect(&self.server, now_ms),
            false => Vec::new(),
        };
        if ticks {
            outs.extend(orchestrator.tick(now_ms));
        }
        if orchestrator.write_due(now_ms) {
            outs.extend(orchestrator.write(writer::Event::Tick, now_ms));
        }
        let writes =
            match orchestrator.is_restored() && orchestrator.is_connected() && orchestrator.renewing == 0 {
                true => orchestrator.keeper.due(now_ms),
                false => Vec::new(),
            };
        orchestrator.renewing += writes.len();
        orchestrator.publish(&self.server, now_ms, &mut outs);
        self.carry_out(n, outs);
        for write in writes {
            let to = self.delay().min(900) + 1;
            self.after(0, to, Next::Lease(n, process, write, now_ms));
        }
        self.after(5, 150, Next::OrchestratorTurn(n));
    }

    fn edge_turn(&mut self, n: usize) {
        let now_ms = self.now_ms;
        let connects = self.peace || !self.random.once_in(4);
        let most = self.random.pick(&[1, 5, 50]);
        let ticks = self.random.once_in(5);
        let edge = &mut self.edges[n];
        if !edge.is_up() {
            return;
        }
        match edge.is_connected() {
            true => edge.hear(&self.server, most, now_ms),
            false if connects => edge.connect(&self.server, now_ms),
            false => {}
        }
        if ticks {
            edge.tick(now_ms);
        }
        self.after(5, 250, Next::EdgeTurn(n));
    }

    /// Carries out what an orchestrator decided, unless it crashes before it is through.
    fn carry_out(&mut self, n: usize, outs: Vec<Out>) {
        let process = self.orchestrators[n].0;
        for out in outs {
            if !self.peace && self.random.once_in(150) {
                self.crash(n);
                return;
            }
            match out {
                Out::Operate(operation) => {
                    let to = self.delay() + 1;
                    self.after(0, to, Next::Operate(n, process, operation));
                }
                Out::Audit(record) => {
                    let to = self.delay() + 1;
                    self.after(0, to, Next::Audit(n, process, record));
                }
                Out::Later(event) => self.after(0, 5, Next::Later(n, process, event)),
                Out::Answer(ticket, reply) => {
                    self.tell(&format!("{} answers {ticket:?}: {}", NAMES[n], brief(&reply)));
                    if let Some(given) = self.orders.get_mut(&ticket) {
                        assert!(given.reply.is_none(), "{ticket:?} is answered twice");
                        given.reply = Some((self.now_ms, reply));
                    }
                }
            }
        }
    }

    /// The server does an operation; a message that is on its way when its sender dies still arrives.
    fn operate(&mut self, n: usize, process: u64, operation: &Operation) {
        let failed = match operation {
            Operation::Put { command, .. } => writer::Event::Failed {
                target: command.target,
            },
            Operation::Read { target } | Operation::Remove { target, .. } => {
                writer::Event::Failed { target: *target }
            }
            Operation::PutAll { batch, .. } => writer::Event::BatchFailed { batch: *batch },
        };
        if self.loses() {
            self.after(PATIENCE_MS, PATIENCE_MS + 1, Next::Answer(n, process, failed));
            return;
        }
        let now_ms = self.now_ms;
        let answer = match operation {
            Operation::Put { command, over } => {
                let put = self.server.put(command, *over, now_ms);
                self.tell(&format!(
                    "{} puts {} {}: {put:?}",
                    NAMES[n],
                    command.target,
                    short(command.id)
                ));
                writer::Event::Done {
                    target: command.target,
                    put,
                }
            }
            Operation::Read { target } => {
                let (revision, found) = self.server.read(target);
                writer::Event::Read {
                    target: *target,
                    revision,
                    found,
                }
            }
            Operation::Remove { target, id, over } => {
                let put = self.server.remove(*target, *id, *over, now_ms);
                self.tell(&format!("{} removes {target} {}: {put:?}", NAMES[n], short(*id)));
                writer::Event::Done { target: *target, put }
            }
            Operation::PutAll { batch, commands } => match self.server.put_all(commands, now_ms) {
                Some(first_revision) => writer::Event::AllPut {
                    batch: *batch,
                    first_revision,
                },
                None => writer::Event::BatchFailed { batch: *batch },
            },
        };
        // The acknowledgement may be lost all the same.
        if self.loses() {
            self.after(PATIENCE_MS, PATIENCE_MS + 1, Next::Answer(n, process, failed));
        } else {
            let to = self.delay().min(PATIENCE_MS - 1) + 1;
            self.after(0, to, Next::Answer(n, process, answer));
        }
    }

    fn crash(&mut self, n: usize) {
        if self.orchestrators[n].1.take().is_some() {
            self.tell(&format!("{} crashes", NAMES[n]));
            self.summary.crashes += 1;
            self.after(100, 6_000, Next::Start(n));
        }
    }

    fn mishap(&mut self) {
        if self.peace {
            return;
        }
        let (n, edge) = (self.random.below(2), self.random.below(3));
        match self.random.below(5) {
            0 => self.crash(n),
            1 => {
                if let (_, Some(orchestrator)) = &mut self.orchestrators[n] {
                    orchestrator.disconnect();
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

    fn operator(&mut self) {
        let (n, target) = (self.random.below(2), self.target());
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
                Order::Ban(ManualBan::new(
                    target,
                    expires_at_ms,
                    format!("order {}", ticket.0),
                    "alice".to_owned(),
                ))
            }
            false => Order::Unban {
                target,
                actor: "alice".to_owned(),
            },
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

    /// A client makes errors on one edge, whose telemetry may be lost, or come twice.
    fn burst(&mut self) {
        if self.peace {
            return;
        }
        let n = self.random.below(3);
        let number = self.random.below(40) as u8;
        let client = [203, 0, 113, number];
        let source = Prefix::single(client.into());
        let event = TelemetryEvent {
            client: client.into(),
            at_ms: self.now_ms,
            status: 404,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            method: "GET".to_owned(),
            // Each client looks for something else: what most clients of an upstream get counts against nobody.
            path: format!("/missing-{}", "x".repeat(usize::from(number))),
            host: "example.org".to_owned(),
            user_agent: String::new(),
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
            events: vec![event; BURST],
            counts: Vec::new(),
        };
        let record = Record {
            partition,
            batch,
            received_ms: 0,
        };
        if self.loses() {
            return;
        }
        self.tell(&format!("a burst of {source}"));
        self.bursts.push((self.now_ms, source));
        if self.random.once_in(4) {
            let to = self.delay() + 1;
            self.after(0, to, Next::Telemetry(record.clone()));
        }
        let to = self.delay() + 1;
        self.after(0, to, Next::Telemetry(record));
    }
}

fn short(id: Uuid) -> String {
    let text = id.simple().to_string();
    text[text.len() - 4..].to_owned()
}

fn brief(reply: &Reply) -> String {
    let failed = |error: &OrderError| error.to_string();
    match reply {
        Reply::Banned(Ok(ban)) => format!("banned by {}", short(ban.command.id)),
        Reply::Unbanned(Ok(Some(ban))) => format!("lifted {}", short(ban.command.id)),
        Reply::Unbanned(Ok(None)) => "there was no ban".to_owned(),
        Reply::Banned(Err(error)) | Reply::Unbanned(Err(error)) | Reply::Imported(Err(error)) => {
            failed(error)
        }
        Reply::Imported(Ok(_)) | Reply::Drained => "done".to_owned(),
    }
}
