//! The processes' turns: what they read, decide and send, and what the server answers.

use secbeat_orchestrator_core::{
    decider::{OrderError, Reply},
    writer::{self, Operation},
};
use uuid::Uuid;

use super::{NAMES, Next, World};
use crate::simulation::orchestrator::{Orchestrator, Out};

/// When an operation that was not answered has failed.
const PATIENCE_MS: i64 = 2_000;

impl World {
    pub(super) fn alive(&mut self, n: usize, process: u64) -> Option<&mut Orchestrator> {
        let (number, orchestrator) = &mut self.orchestrators[n];
        orchestrator.as_mut().filter(|_| *number == process)
    }

    pub(super) fn start(&mut self, n: usize) {
        let (number, orchestrator) = &mut self.orchestrators[n];
        if orchestrator.is_some() {
            return;
        }
        *number += 1;
        let seed = self.seed.wrapping_mul(31).wrapping_add(n as u64);
        *orchestrator = Some(Orchestrator::start(
            NAMES[n],
            *number,
            self.ahead_ms[n],
            seed,
            self.limit,
        ));
        self.tell(&format!("{} starts", NAMES[n]));
        self.after(0, 300, Next::OrchestratorTurn(n));
    }

    pub(super) fn orchestrator_turn(&mut self, n: usize) {
        let now_ms = self.now_ms;
        let connects = self.peace || !self.random.once_in(4);
        let most = self.random.pick(&[1, 5, 50]);
        let ticks = self.random.once_in(10) && !self.settles;
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

    pub(super) fn edge_turn(&mut self, n: usize) {
        let now_ms = self.now_ms;
        let connects = self.peace || !self.random.once_in(4);
        let most = self.random.pick(&[1, 5, 50]);
        let ticks = self.random.once_in(5);
        let edge = &mut self.edges[n];
        if !edge.is_up() {
            return;
        }
        // The first answer about the server's time may come late.
        if edge.is_connected() && (self.peace || ticks) {
            edge.measure(&self.server, now_ms);
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
    pub(super) fn carry_out(&mut self, n: usize, outs: Vec<Out>) {
        let process = self.orchestrators[n].0;
        for out in outs {
            if !self.peace && self.random.once_in(self.limit.map_or(150, |_| 1_500)) {
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
                Out::Moved => self.interrupted(),
                Out::Wrong(wrong) => {
                    self.tell(&wrong);
                    self.wrong.get_or_insert(wrong);
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
    pub(super) fn operate(&mut self, n: usize, process: u64, operation: &Operation) {
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

    pub(super) fn crash(&mut self, n: usize) {
        if self.orchestrators[n].1.take().is_some() {
            self.interrupted();
            self.tell(&format!("{} crashes", NAMES[n]));
            self.summary.crashes += 1;
            self.after(100, 6_000, Next::Start(n));
        }
    }

    /// An orchestrator decides nothing for a while, or forgets what it knew.
    pub(super) fn interrupted(&mut self) {
        let now_ms = self.now_ms;
        if let Some(raid) = &mut self.raid {
            raid.interrupted_ms.push(now_ms);
        }
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
