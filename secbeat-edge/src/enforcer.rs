//! The one owner of this edge's bans: takes orders, keeps the kernel's maps and the L7 side as desired, answers questions.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use secbeat_common::{
    daemon::{
        protect::{self, Known, Protected},
        time::now_ms,
    },
    prefix::Prefix,
    subjects,
    wire::{self, BlockCommand, Enforcement, EnforcementAck, Layer},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use tracing::{debug, error, info, warn};

use crate::{
    admin::view::{BanView, EnforcerView},
    bus::Publisher,
    kernel::{AllowedNets, BanMaps, JiffyClock, KernelBan, Program, boot_now},
    l7::L7Bans,
    reconcile::{Change, Drift, Now, Origin, Reconciler, Refusal, origin_code},
};

/// How long after its end a ban may still come without anything being wrong: the bus keeps it for up to a second.
const CLOCK_TOLERANCE_MS: i64 = 2_000;
/// How often ended bans are swept out of the maps.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// What others ask of the enforcer.
#[derive(Debug)]
pub enum Order {
    /// A ban from the bus.
    Command(Box<BlockCommand>),
    /// The bus no longer desires a ban.
    Withdrawn(Prefix),
    /// The bus has named every ban that it desires.
    SnapshotDone(HashSet<Prefix>),
    /// Somebody on this host bans.
    Ban {
        target: Prefix,
        duration: Duration,
        note: String,
        reply: oneshot::Sender<Result<BanView, Refusal>>,
    },
    /// Somebody on this host lifts a ban; the answer tells who had asked for it, if there was one.
    Unban {
        target: Prefix,
        reply: oneshot::Sender<Option<Origin>>,
    },
    List {
        reply: oneshot::Sender<Vec<BanView>>,
    },
    Summary {
        reply: oneshot::Sender<EnforcerView>,
    },
}

/// The kernel side of an edge that has one.
pub struct KernelSide {
    pub program: Program,
    pub bans: BanMaps,
    pub allowed: AllowedNets,
    pub clock: JiffyClock,
}

/// Everything that enforces.
pub struct Enforcer {
    pub reconciler: Reconciler,
    pub kernel: Option<KernelSide>,
    /// Whether bans that the kernel could enforce are refused at L7 as well.
    pub at_l7: bool,
    pub l7: Arc<L7Bans>,
    pub protected: Arc<Protected>,
    pub known: Known,
    pub acks: Publisher,
    pub edge_id: String,
    pub reconcile_interval: Duration,
    pub drift: Drift,
    /// Fleet bans that were refused because their target is protected; tried again when that changes.
    pub deferred: HashMap<Prefix, BlockCommand>,
    /// Whether the kernel's allowlist is not as it should be, because writing it failed.
    pub allowlist_stale: bool,
}

impl Enforcer {
    /// Takes orders until `stop`. It makes system calls and resolves names, so it wants a thread of its own.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut prune = tokio::time::interval(PRUNE_INTERVAL);
        let mut reconcile = tokio::time::interval(self.reconcile_interval);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                _ = prune.tick() => {
                    let changes = self.reconciler.prune(boot_now());
                    self.apply_all(&changes);
                }
                () = &mut stop => return,
                _ = reconcile.tick() => {
                    self.refresh_protection();
                    self.reconcile();
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Command(command) => self.command(&command),
            Order::Withdrawn(target) => {
                self.deferred.remove(&target);
                if let Some(change) = self.reconciler.withdraw(&target) {
                    info!(target: "audit", %target, "ban lifted by the fleet");
                    self.apply_all(&[change]);
                }
            }
            Order::SnapshotDone(present) => {
                self.deferred.retain(|target, _| present.contains(target));
                let changes = self.reconciler.complete_snapshot(&present);
                self.apply_all(&changes);
                self.reconcile();
            }
            Order::Ban {
                target,
                duration,
                note,
                reply,
            } => {
                let _ = reply.send(self.ban(target, duration, note));
            }
            Order::Unban { target, reply } => {
                let lifted = self.reconciler.unban_locally(&target);
                let _ = reply.send(lifted.map(|(origin, change)| {
                    info!(target: "audit", %target, "ban lifted on this host");
                    self.apply_all(&[change]);
                    origin
                }));
            }
            Order::List { reply } => {
                let _ = reply.send(self.list());
            }
            Order::Summary { reply } => {
                let _ = reply.send(self.summary());
            }
        }
    }

    fn command(&mut self, command: &BlockCommand) {
        let known = self.reconciler.has_command(&command.target, command.id);
        self.deferred.remove(&command.target);
        let protected = self.protected.clone();
        let outcome = match self
            .reconciler
            .accept(command, now(), |target| protected.covers(target))
        {
            // The end of a ban takes its key out of the bucket a moment later.
            Err(Refusal::Ended) => {
                let late_ms = now_ms() - command.expires_at_ms;
                if late_ms > CLOCK_TOLERANCE_MS {
                    warn!(target = %command.target, late_ms, "a ban had ended before it came: is this host's clock right?");
                }
                return;
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Protected(_)) {
                    self.deferred.insert(command.target, command.clone());
                }
                warn!(target: "audit", target = %command.target, "ban refused on this host: {refusal}");
                Enforcement::Refused(refusal.to_string())
            }
            Ok(change) => match self.apply(&change) {
                Ok(()) => Enforcement::Enforced,
                Err(error) => {
                    error!("{error:#}; reconciliation will try again");
                    Enforcement::Failed(format!("{error:#}"))
                }
            },
        };
        if known {
            return;
        }
        if outcome == Enforcement::Enforced {
            info!(target: "audit", target = %command.target, reason = command.reason.name(), note = command.note, "banned by the fleet");
        }
        self.acknowledge(command, outcome);
    }

    fn acknowledge(&self, command: &BlockCommand, outcome: Enforcement) {
        let ack = EnforcementAck {
            command_id: command.id,
            edge_id: self.edge_id.clone(),
            target: command.target,
            at_ms: now_ms(),
            outcome,
        };
        match wire::encode(&ack) {
            // A lost acknowledgement is counted by the publisher; the ban holds all the same.
            Ok(bytes) => drop(self.acks.publish(subjects::acks(&self.edge_id), bytes)),
            Err(error) => error!(%error, "encoding an acknowledgement"),
        }
    }

    fn ban(&mut self, target: Prefix, duration: Duration, note: String) -> Result<BanView, Refusal> {
        let protected = self.protected.clone();
        let change = self
            .reconciler
            .ban_locally(target, duration, note, now(), |target| protected.covers(target))?;
        info!(target: "audit", %target, "banned on this host");
        self.apply_all(std::slice::from_ref(&change));
        let ban = self.reconciler.get(&target).ok_or(Refusal::Ended)?;
        Ok(BanView::of_desired(&target, ban, None, now()))
    }

    fn apply_all(&mut self, changes: &[Change]) {
        for change in changes {
            if let Err(error) = self.apply(change) {
                error!("{error:#}; reconciliation will try again");
            }
        }
    }

    /// Carries out one change: L7 first, since it cannot fail.
    fn apply(&mut self, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::Put(target, ban) => {
                if self.at_l7 || ban.layer == Layer::L7 {
                    self.l7.put(*target, ban.ends);
                }
                let Some(kernel) = &mut self.kernel else {
                    return Ok(());
                };
                if ban.layer == Layer::L7 {
                    return kernel.bans.remove(target);
                }
                let entry = KernelBan {
                    ends: ban.ends,
                    reason: ban.reason.code(),
                    origin: origin_code(ban.origin),
                    strikes: ban.strikes,
                    unallowed_in: kernel.allowed.stamp(target),
                    dropped_packets: 0,
                    dropped_bytes: 0,
                };
                kernel.bans.put(target, &entry, &kernel.clock)
            }
            Change::Remove(target) => {
                self.l7.remove(target);
                self.kernel
                    .as_mut()
                    .map_or(Ok(()), |kernel| kernel.bans.remove(target))
            }
        }
    }

    /// Compares the kernel with what is desired, and repairs.
    fn reconcile(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let protected = self.protected.clone();
        let found = kernel
            .program
            .jiffy_clock()
            .and_then(|clock| Ok((clock, kernel.bans.all()?)));
        let (clock, found) = match found.context("comparing the kernel's bans with the desired ones") {
            Ok(found) => found,
            Err(error) => return error!("{error:#}"),
        };
        kernel.clock = clock;
        let (drift, changes) = self
            .reconciler
            .diff(&found, boot_now(), |target| protected.covers(target));
        if drift.missing + drift.foreign > 0 {
            warn!(
                missing = drift.missing,
                foreign = drift.foreign,
                "the kernel's bans had drifted: repairing"
            );
        }
        debug!(?drift, in_kernel = found.len(), "reconciled");
        self.drift = drift;
        self.apply_all(&changes);
        let changed: HashSet<_> = changes.iter().map(Change::target).collect();
        self.restamp(found.iter().filter(|(target, _)| !changed.contains(target)));
    }

    /// Compares bans that are right but for their stamp with the allowlist as it is now.
    fn restamp<'a>(&mut self, right: impl Iterator<Item = &'a (Prefix, KernelBan)>) {
        let Some(kernel) = &mut self.kernel else { return };
        for (target, ban) in right {
            let stamp = kernel.allowed.stamp(target);
            if ban.unallowed_in == stamp || self.reconciler.get(target).is_none() {
                continue;
            }
            if let Err(error) = kernel.bans.put(
                target,
                &KernelBan {
                    unallowed_in: stamp,
                    ..*ban
                },
                &kernel.clock,
            ) {
                error!("{error:#}");
            }
        }
    }

    /// Looks the host over again. What became protected is let through at once; what no longer is, and was to be banned,
    /// is banned now.
    fn refresh_protection(&mut self) {
        let nets = protect::collect(&self.known, &self.protected.nets());
        let changed = self.protected.replace(nets);
        if !changed && !self.allowlist_stale {
            return;
        }
        info!("protected addresses changed");
        let nets = self.protected.nets();
        self.allowlist_stale = false;
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.allowed.set(&nets)
        {
            error!("{error:#}; trying again");
            self.allowlist_stale = true;
        }
        for command in std::mem::take(&mut self.deferred).into_values() {
            self.command(&command);
        }
    }

    fn list(&self) -> Vec<BanView> {
        let now = now();
        let mut bans: Vec<_> = self
            .reconciler
            .desired()
            .filter(|(_, ban)| ban.ends > now.boot)
            .collect();
        bans.sort_by_key(|(target, _)| **target);
        let counts = |target: &Prefix| self.kernel.as_ref()?.bans.get(target).ok()?;
        bans.into_iter()
            .map(|(target, ban)| BanView::of_desired(target, ban, counts(target).as_ref(), now))
            .collect()
    }

    fn summary(&self) -> EnforcerView {
        let now = boot_now();
        EnforcerView {
            blocked_ips: self
                .reconciler
                .desired()
                .filter(|(_, ban)| ban.ends > now)
                .count(),
            protected_networks: self.protected.nets().len(),
            synced: self.reconciler.is_synced(),
            drift_missing: self.drift.missing,
            drift_foreign: self.drift.foreign,
        }
    }
}

fn now() -> Now {
    Now {
        wall_ms: now_ms(),
        boot: boot_now(),
    }
}
