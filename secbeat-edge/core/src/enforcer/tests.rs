//! One edge over a kernel in memory.

use std::{net::IpAddr, time::SystemTime};

use secbeat_common::{
    maps::allow,
    wire::{Ack, Action, AllowEntry, Enforcement, Layer, NO_LEASE, Reason, Scope, parse_labels},
};

use uuid::Uuid;

use super::*;
use crate::{KernelBan, LocalBan, Origin, Refusal, testing::MemoryKernel};

mod allowlist;
mod bucket;
mod commands;
mod kernel;
mod moving;
mod orders;

const START: Moment = Moment {
    wall_ms: 1_000_000,
    boot: BootTime(50_000_000_000),
};
const BUCKET: BucketId = BucketId(1);
const CLIENT: &str = "198.51.100.7";

/// An enforcer, its kernel and its clocks.
struct Edge {
    enforcer: Enforcer,
    kernel: MemoryKernel,
    now: Moment,
    revision: u64,
}

impl Edge {
    /// An edge that has read an empty bucket.
    fn new() -> Self {
        let mut edge = Self::unsynced();
        edge.snapshot(&[]);
        edge
    }

    /// An edge that has just started.
    fn unsynced() -> Self {
        let kernel = MemoryKernel::default();
        let mut edge = Self {
            enforcer: Enforcer::new(config(&kernel)),
            kernel,
            now: START,
            revision: 0,
        };
        edge.handle(Event::ReconcileDue);
        edge
    }

    /// An edge without an XDP program.
    fn without_kernel() -> Self {
        let mut edge = Self::new();
        edge.enforcer = Enforcer::new(EnforcerConfig {
            has_kernel: false,
            ..config(&edge.kernel)
        });
        edge.snapshot(&[]);
        edge
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        self.kernel.drive(&mut self.enforcer, event, self.now)
    }

    /// The daemon ends, and another one starts.
    fn restart(&mut self) -> Vec<Effect> {
        self.enforcer = Enforcer::new(config(&self.kernel));
        self.handle(Event::ReconcileDue)
    }

    fn reconcile(&mut self) -> Vec<Effect> {
        self.handle(Event::ReconcileDue)
    }

    fn put(&mut self, command: &BlockCommand) -> BucketUpdate {
        self.revision += 1;
        BucketUpdate::Put {
            command: Box::new(command.clone()),
            revision: self.revision,
            received: SystemTime::UNIX_EPOCH,
        }
    }

    fn send(&mut self, command: &BlockCommand) -> Vec<Effect> {
        let update = self.put(command);
        self.handle(Event::Bucket(vec![update]))
    }

    fn set_time(&mut self) -> Vec<Effect> {
        self.handle(Event::Bucket(vec![BucketUpdate::TimeSet]))
    }

    fn lift(&mut self, target: &str) -> Vec<Effect> {
        self.revision += 1;
        let (target, revision) = (prefix(target), self.revision);
        self.handle(Event::Bucket(vec![BucketUpdate::Removed { target, revision }]))
    }

    /// Connects to a bucket that holds `commands`.
    fn snapshot(&mut self, commands: &[&BlockCommand]) -> Vec<Effect> {
        self.snapshot_of(BUCKET, commands)
    }

    fn snapshot_of(&mut self, bucket: BucketId, commands: &[&BlockCommand]) -> Vec<Effect> {
        let mut updates = vec![BucketUpdate::SnapshotBegin(bucket)];
        updates.extend(commands.iter().map(|command| self.put(command)));
        updates.push(BucketUpdate::SnapshotEnd);
        self.handle(Event::Bucket(updates))
    }

    fn order(&mut self, order: Order) -> Vec<Effect> {
        self.handle(Event::Order(TICKET, order))
    }

    fn ban_here(&mut self, target: &str, seconds: u64) -> Vec<Effect> {
        self.order(Order::Ban(LocalBan::new(
            prefix(target),
            Duration::from_secs(seconds),
            "mine".to_owned(),
        )))
    }

    fn allow_on_host(&mut self, networks: &[&str]) -> Vec<Effect> {
        let nets = networks.iter().map(|net| (prefix(net), allow::CONFIGURED));
        self.handle(Event::HostAllowlist(nets.collect()))
    }

    /// Lets time pass, and prunes.
    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = after(self.now, seconds);
        self.handle(Event::Tick)
    }

    fn drops(&self, source: &str) -> bool {
        self.kernel.drops(source.parse().unwrap(), self.now.boot)
    }

    fn kernel_ban(&self, target: &str) -> KernelBan {
        self.kernel.bans[&prefix(target)]
    }

    fn status(&self) -> EnforcerStatus {
        self.enforcer.status(self.now.boot)
    }

    /// The bans of the fleet in force: target, command and expiry.
    fn enforced(&self) -> Vec<(String, u128, i64)> {
        let mut enforced: Vec<_> = self.enforcer.enforced(self.now.boot).collect();
        enforced.sort();
        let tuple = |ban: FleetBan| {
            (
                ban.target.to_string(),
                ban.command_id.as_u128(),
                ban.expires_at_ms,
            )
        };
        enforced.into_iter().map(tuple).collect()
    }
}

const TICKET: Ticket = Ticket(7);

fn config(kernel: &MemoryKernel) -> EnforcerConfig {
    EnforcerConfig {
        edge_id: "edge-1".to_owned(),
        labels: parse_labels("role=web,site=eu").unwrap(),
        max_ban: Duration::from_secs(3600),
        has_kernel: true,
        mode: kernel.mode,
        allowlist: Allowlist::default(),
        notes: LocalNotes::default(),
        is_back: false,
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn after(moment: Moment, seconds: u64) -> Moment {
    Moment {
        wall_ms: moment.wall_ms + i64::try_from(seconds).unwrap() * 1000,
        boot: moment.boot.plus(Duration::from_secs(seconds)),
    }
}

/// The boot time so many seconds after the start.
fn at(seconds: u64) -> BootTime {
    after(START, seconds).boot
}

/// The ban number `id`, issued at the start.
fn command(id: u128, target: &str, seconds: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(id),
        action: Action::Block,
        list: None,
        target: prefix(target),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 2,
        issued_at_ms: START.wall_ms,
        expires_at_ms: START.wall_ms + seconds * 1000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: NO_LEASE,
    }
}

/// The acknowledgements among `effects`: number of the command, and outcome.
fn acks(effects: &[Effect]) -> Vec<(u128, Enforcement)> {
    let ack = |effect: &Effect| match effect {
        Effect::Acknowledge(
            Ack {
                command_id, outcome, ..
            },
            _,
        ) => Some((command_id.as_u128(), outcome.clone())),
        _ => None,
    };
    effects.iter().filter_map(ack).collect()
}

fn refused(id: u128, why: &str) -> Vec<(u128, Enforcement)> {
    vec![(id, Enforcement::Refused(why.to_owned()))]
}

fn facts(effects: &[Effect]) -> Vec<Fact> {
    let fact = |effect: &Effect| match effect {
        // Every pass ends with it.
        Effect::Report(Fact::Reconciled(_)) => None,
        Effect::Report(fact) => Some(fact.clone()),
        _ => None,
    };
    effects.iter().filter_map(fact).collect()
}

#[track_caller]
fn reply(effects: &[Effect]) -> Reply {
    let replies: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Reply(TICKET, reply) => Some(reply.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(replies.len(), 1, "{effects:?}");
    replies[0].clone()
}
