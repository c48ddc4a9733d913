//! The one owner of this edge's bans: takes orders, keeps the kernel's maps and the L7 side as desired, answers questions.

mod acks;
mod apply;
mod events;
mod orders;
mod pass;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, Enforcement},
};
use secbeat_daemon::{
    commands::{Reason, Refused},
    protect::Protected,
    time::now_ms,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::{debug, error, info, warn};

pub use self::{
    acks::Acks,
    orders::{Delivery, DeliveryMode, Holdings, Order},
    pass::{ReconcileStats, Reconciliation},
};

use crate::{
    admin::view::{BanView, EnforcerView, EventsView},
    host::{HostChange, LinkEvent},
    kernel::{
        AllowedNets, BanMaps, DropEvents, Floods, JiffyClock, Program, SettingsMap, XdpSetup, boot_now,
    },
    l7::L7Bans,
    protection::Protection,
};
use secbeat_edge_core::{Change, FilterMode, KernelBan, Moment, Reconciler, Refusal};

/// How long after its end a ban may still come without anything being wrong: the bus keeps it for up to a second.
const CLOCK_TOLERANCE_MS: i64 = 2_000;
/// How often ended bans are swept out of the maps.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the program's events are read: its ring buffer has room for thousands.
const EVENTS_INTERVAL: Duration = Duration::from_millis(100);
/// Orders that are taken at once, so that their bans go to the kernel together.
const ORDERS_AT_ONCE: usize = 1024;

/// The kernel side of an edge that has one.
pub struct KernelSide {
    pub program: Program,
    /// What it was loaded with.
    pub setup: XdpSetup,
    pub bans: BanMaps,
    pub floods: Floods,
    pub allowed: AllowedNets,
    pub settings: SettingsMap,
    pub events: DropEvents,
    pub clock: JiffyClock,
}

/// Everything that enforces.
pub struct Enforcer {
    pub reconciler: Reconciler,
    pub kernel: Option<KernelSide>,
    pub l7: Arc<L7Bans>,
    pub protected: Arc<Protected>,
    pub protection: Protection,
    pub host: mpsc::Receiver<Vec<HostChange>>,
    pub acks: Acks,
    pub reconcile_interval: Duration,
    pub stats: ReconcileStats,
    pub events: EventsView,
    /// Fleet bans that were refused because their target is protected; tried again when that changes.
    pub deferred: HashMap<Prefix, BlockCommand>,
    /// Whether the kernel's allowlist is not as it should be, because writing it failed.
    pub allowlist_stale: bool,
    /// Targets whose last change the kernel did not take.
    pub unwritten: HashSet<Prefix>,
    /// See [`Holdings::revision`].
    pub revision: u64,
    /// Commands that were not obeyed.
    pub refused: Refused,
    /// The reconciliation under way.
    pub reconciliation: Option<Reconciliation>,
}

/// A command that was taken, and what it changes.
struct Taken {
    command: Box<BlockCommand>,
    change: Change,
    received: SystemTime,
    /// Whether the fleet waits to hear of it, see [`acks`].
    awaited: bool,
}

impl Enforcer {
    /// Takes orders until `stop`. It makes system calls, so it wants a thread of its own.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut prune = tokio::time::interval(PRUNE_INTERVAL);
        let mut reconcile = tokio::time::interval(self.reconcile_interval);
        let mut events = tokio::time::interval(EVENTS_INTERVAL);
        events.set_missed_tick_behavior(MissedTickBehavior::Delay);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::with_capacity(ORDERS_AT_ONCE);
        loop {
            tokio::select! {
                taken = orders.recv_many(&mut waiting, ORDERS_AT_ONCE) => match taken {
                    0 => return,
                    _ => self.obey_all(waiting.drain(..)),
                },
                () = std::future::ready(()), if self.is_reconciling() => self.reconcile_on(),
                _ = prune.tick() => {
                    let changes = self.reconciler.prune(boot_now());
                    self.apply(&changes);
                    if self.protection.has_turned() {
                        self.refresh_protection();
                    }
                }
                _ = events.tick() => self.read_events(),
                Some(changes) = self.host.recv() => self.host_changed(changes),
                () = &mut stop => return,
                _ = reconcile.tick() => {
                    self.refresh_protection();
                    self.reattach();
                    if !self.is_reconciling() {
                        self.reconcile();
                    }
                }
            }
        }
    }

    fn host_changed(&mut self, changes: Vec<HostChange>) {
        debug!(?changes, "the host has changed");
        if changes.iter().any(brings_an_interface) {
            self.reattach();
        }
        if self.protection.take(changes) {
            self.refresh_protection();
        }
    }

    /// Takes an interface that was deleted and made again under protection again.
    fn reattach(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        if let Err(error) = kernel.program.reattach(&kernel.setup) {
            error!("{error:#}; trying again");
        }
    }

    /// Obeys in order, but enforces commands that come one after the other together.
    fn obey_all(&mut self, orders: impl Iterator<Item = Order>) {
        let mut taken = Vec::new();
        for order in orders {
            match order {
                Order::Command(command, delivery) => {
                    self.revision = self.revision.max(delivery.revision);
                    taken.extend(self.take(command, delivery));
                }
                other => {
                    self.enforce(std::mem::take(&mut taken));
                    self.obey(other);
                }
            }
        }
        self.enforce(taken);
        self.acks.send();
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Command(command, delivery) => {
                let taken = self.take(command, delivery);
                self.enforce(taken.into_iter().collect());
            }
            Order::Withdrawn(target, delivery) => {
                self.revision = self.revision.max(delivery.revision);
                self.deferred.remove(&target);
                if let Some(change) = self.reconciler.withdraw(&target) {
                    info!(target: "audit", %target, "ban lifted by the fleet");
                    self.apply(&[change]);
                }
            }
            Order::SnapshotDone(present) => {
                self.deferred.retain(|target, _| present.contains(target));
                let changes = self.reconciler.complete_snapshot(&present);
                self.apply(&changes);
                self.reconcile();
            }
            Order::Allowlist(entries) => {
                self.protection.set_fleet(entries.iter());
                self.refresh_protection();
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
                    self.apply(&[change]);
                    origin
                }));
            }
            Order::List { reply } => {
                let _ = reply.send(self.list());
            }
            Order::Summary { reply } => {
                let _ = reply.send(self.summary());
            }
            Order::Holdings { reply } => {
                let _ = reply.send(Holdings {
                    fleet: self.reconciler.received(now_ms()),
                    set_aside: self.reconciler.set_aside(),
                    unwritten: self.unwritten.len(),
                    revision: self.revision,
                });
            }
            Order::SetMode { mode, reply } => {
                let _ = reply.send(self.set_mode(mode));
            }
        }
    }

    /// Makes a command's ban a desired one; `None` if there is nothing to enforce.
    fn take(&mut self, command: Box<BlockCommand>, delivery: Delivery) -> Option<Taken> {
        let awaited = delivery.mode == DeliveryMode::Live
            || self.reconciler.is_synced()
            || now_ms() - command.issued_at_ms < acks::RECENT_MS;
        let known = self.reconciler.has_command(&command.target, command.id);
        self.deferred.remove(&command.target);
        let protected = self.protected.clone();
        let accepted = if delivery.stale {
            Err(self.reconciler.refuse_stale(&command, now()))
        } else {
            self.reconciler
                .accept(&command, now(), |target| protected.covers(target))
        };
        match accepted {
            Ok(change) => change.map(|change| Taken {
                command,
                change,
                received: delivery.received,
                awaited,
            }),
            // The end of a ban takes its key out of the bucket a moment later.
            Err(Refusal::Ended) => {
                let late_ms = now_ms() - command.expires_at_ms;
                if late_ms > CLOCK_TOLERANCE_MS {
                    self.refused.count(Reason::Expired);
                    warn!(target = %command.target, late_ms, "a ban had ended before it came: is this host's clock right?");
                }
                None
            }
            Err(Refusal::OtherScope) => None,
            Err(refusal) => {
                warn!(target: "audit", target = %command.target, "ban refused on this host: {refusal}");
                if awaited && !known {
                    let refused = Enforcement::Refused(refusal.to_string());
                    self.acks.add(&command, delivery.received, refused);
                }
                if refusal == Refusal::Stale && !known {
                    self.refused.count(Reason::Stale);
                }
                if matches!(refusal, Refusal::Protected(_)) {
                    self.deferred.insert(command.target, *command);
                }
                None
            }
        }
    }

    /// Enforces what was taken, and tells the fleet.
    fn enforce(&mut self, taken: Vec<Taken>) {
        let (commands, changes): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .map(|taken| ((taken.command, taken.received, taken.awaited), taken.change))
            .unzip();
        let failed = self.apply(&changes);
        for (command, received, awaited) in commands {
            let outcome = match failed.reason(&command.target) {
                Some(why) => Enforcement::Failed(why.to_owned()),
                None => {
                    info!(target: "audit", target = %command.target, reason = command.reason.name(), note = command.note, "banned by the fleet");
                    Enforcement::Enforced
                }
            };
            if awaited {
                self.acks.add(&command, received, outcome);
            }
        }
    }

    fn ban(&mut self, target: Prefix, duration: Duration, note: String) -> Result<BanView, Refusal> {
        let protected = self.protected.clone();
        let change = self
            .reconciler
            .ban_locally(target, duration, note, now(), |target| protected.covers(target))?;
        info!(target: "audit", %target, "banned on this host");
        self.apply(std::slice::from_ref(&change));
        let ban = self.reconciler.get(&target).ok_or(Refusal::Ended)?;
        Ok(BanView::of_desired(&target, ban, None, now()))
    }

    /// Looks the host over again. What became protected is let through at once; what no longer is, and was to be banned,
    /// is banned now.
    fn refresh_protection(&mut self) {
        let changed = self.protection.refresh();
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
        let revision = self.revision;
        let deferred = std::mem::take(&mut self.deferred).into_values();
        let taken = deferred.filter_map(|command| self.take(Box::new(command), Delivery::again(revision)));
        let taken = taken.collect();
        self.enforce(taken);
        self.acks.send();
    }

    /// Switches the kernel's side and the HTTP side. Until the next start: then the config holds again.
    fn set_mode(&mut self, mode: FilterMode) -> anyhow::Result<()> {
        if let Some(kernel) = &mut self.kernel {
            kernel.settings.set_mode(mode)?;
        }
        self.l7.set_mode(mode);
        info!(target: "audit", %mode, "mode switched on this host");
        Ok(())
    }

    fn list(&self) -> Vec<BanView> {
        let now = now();
        let mut bans: Vec<_> = self
            .reconciler
            .desired()
            .filter(|(_, ban)| ban.ends > now.boot)
            .map(|(target, ban)| (target, ban, self.kernel_ban(target)))
            .collect();
        bans.sort_by_key(|(target, ..)| **target);
        let held = self.kernel.as_ref().map(|kernel| kernel.floods.read());
        let held = held.and_then(Result::ok).unwrap_or_default();
        bans.into_iter()
            .map(|(target, ban, found)| {
                let counted = found.map(|found| held.counted(target, found));
                BanView::of_desired(target, ban, counted.as_ref(), now)
            })
            .collect()
    }

    fn kernel_ban(&self, target: &Prefix) -> Option<KernelBan> {
        self.kernel.as_ref()?.bans.get(target).ok()?
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
            mode: self.l7.mode(),
            events: self.events.clone(),
            refused_commands: self
                .refused
                .counts()
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect(),
            reconcile: self.stats.into(),
        }
    }
}

/// Whether an interface has come, or come to be called as one that is to be protected.
fn brings_an_interface(change: &HostChange) -> bool {
    matches!(change, HostChange::Link(link) if !matches!(link.event, LinkEvent::Gone))
}

fn now() -> Moment {
    Moment {
        wall_ms: now_ms(),
        boot: boot_now(),
    }
}
