//! Requests and answers, without a bus.

mod bans;
mod batches;
mod lifts;
mod model;
mod order;
mod retries;

use secbeat_common::wire::{Action, Layer, Reason, Scope};

use super::*;
use crate::leases::Tenure;

/// 2026-11-20T10:00:00Z.
const NOW: i64 = 1_795_168_800_000;
/// Of the clock that only moves forward.
const BOOT: i64 = 1_000_000;

/// A writer, and what it goes by. It owns all partitions, at epoch 9.
struct Rig {
    writer: Writer,
    now: Moment,
    revisions: Revisions,
    leases: LeaseTable,
    takes_batches: bool,
}

impl Rig {
    fn new() -> Self {
        Self {
            writer: Writer::default(),
            now: Moment {
                wall_ms: NOW,
                boot_ms: BOOT,
            },
            revisions: Revisions::default(),
            leases: leases(Tenure::Owned { epoch: 9 }),
            takes_batches: true,
        }
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let view = View {
            now: self.now,
            revisions: &self.revisions,
            leases: &self.leases,
            takes_batches: self.takes_batches,
        };
        self.writer.handle(event, view, &mut effects);
        effects
    }

    /// Lets `ms` pass.
    fn pass(&mut self, ms: i64) -> Vec<Effect> {
        self.now.wall_ms += ms;
        self.now.boot_ms += ms;
        self.handle(Event::Tick)
    }

    fn ban(&mut self, command: &BlockCommand, urgency: Urgency) -> Vec<Effect> {
        self.order(command, urgency, false)
    }

    /// Requests a ban that may end another one earlier if it `shortens`.
    fn order(&mut self, command: &BlockCommand, urgency: Urgency, shortens: bool) -> Vec<Effect> {
        self.handle(Event::Request(WriteRequest {
            target: command.target,
            write: Write::Ban(Box::new(command.clone())),
            urgency,
            basis: self.revisions.of(&command.target).revision,
            shortens,
        }))
    }

    /// Requests the end of `command`, now.
    fn lift(&mut self, command: &BlockCommand) -> Vec<Effect> {
        self.handle(Event::Request(WriteRequest {
            target: command.target,
            write: Write::Lift {
                id: command.id,
                at_ms: self.now.wall_ms,
                expires_at_ms: command.expires_at_ms,
            },
            urgency: Urgency::Now,
            basis: 0,
            shortens: false,
        }))
    }

    /// The server took the write of `command`'s target at `revision`.
    fn taken(&mut self, command: &BlockCommand, revision: u64) -> Vec<Effect> {
        self.handle(Event::Done {
            target: command.target,
            put: Put::Written { revision },
        })
    }

    /// Something else was there.
    fn conflict(&mut self, command: &BlockCommand) -> Vec<Effect> {
        self.handle(Event::Done {
            target: command.target,
            put: Put::Conflict,
        })
    }

    /// The key of `command`'s target holds this, at `revision`.
    fn reads(&mut self, command: &BlockCommand, revision: u64, found: Found) -> Vec<Effect> {
        self.handle(Event::Read {
            target: command.target,
            revision,
            found,
        })
    }

    fn fails(&mut self, command: &BlockCommand) -> Vec<Effect> {
        self.handle(Event::Failed {
            target: command.target,
        })
    }
}

fn leases(tenure: Tenure) -> LeaseTable {
    LeaseTable::new([tenure; 16], Some(i64::MAX))
}

/// An operator's ban of 10.0.0.0 plus `n`, of the id `n`, for five minutes.
fn manual(n: u32) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(n.into()),
        action: Action::Block,
        list: None,
        target: Prefix::single(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()),
        reason: Reason::Manual,
        note: String::new(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: NOW,
        expires_at_ms: NOW + 300_000,
        issuer: "alice".to_owned(),
        layer: Layer::Kernel,
        epoch: NO_LEASE,
    }
}

/// The same that the analyzers decided, at epoch 8.
fn automatic(n: u32) -> BlockCommand {
    BlockCommand {
        reason: Reason::ErrorFlood,
        issuer: "orchestrator".to_owned(),
        epoch: 8,
        ..manual(n)
    }
}

/// The same under another id, for so many seconds.
fn lasting(command: &BlockCommand, id: u128, seconds: i64) -> BlockCommand {
    BlockCommand {
        expires_at_ms: NOW + seconds * 1_000,
        ..renamed(command, id)
    }
}

/// The same under another id.
fn renamed(command: &BlockCommand, id: u128) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(id),
        ..command.clone()
    }
}

fn at_epoch(command: &BlockCommand, epoch: u64) -> BlockCommand {
    BlockCommand {
        epoch,
        ..command.clone()
    }
}

fn held(revision: u64, expires_at_ms: i64, seen: u64) -> Held {
    Held {
        revision,
        expires_at_ms,
        seen,
    }
}

fn put(command: &BlockCommand, over: Held) -> Effect {
    Effect::Operate(Operation::Put {
        command: Box::new(command.clone()),
        over,
    })
}

/// Of a key that nothing was heard of.
fn first_put(command: &BlockCommand) -> Effect {
    put(command, Held::default())
}

fn put_all(batch: u64, commands: &[BlockCommand]) -> Effect {
    let commands = commands.iter().map(|command| (command.clone(), Held::default()));
    Effect::Operate(Operation::PutAll {
        batch,
        commands: commands.collect(),
    })
}

fn read(command: &BlockCommand) -> Effect {
    Effect::Operate(Operation::Read {
        target: command.target,
    })
}

fn remove(command: &BlockCommand, over: Held) -> Effect {
    Effect::Operate(Operation::Remove {
        target: command.target,
        id: command.id,
        over,
    })
}

fn report(command: &BlockCommand, fate: Fate) -> Effect {
    Effect::Report { id: command.id, fate }
}

fn found(command: &BlockCommand) -> Found {
    Found::Ban(Box::new(command.clone()))
}

/// Puts among the effects.
fn puts(effects: &[Effect]) -> usize {
    let is_put = |effect: &&Effect| matches!(effect, Effect::Operate(Operation::Put { .. }));
    effects.iter().filter(is_put).count()
}
