//! One edge: the enforcer's core, a kernel that outlives it, and a process around them that the world moves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secbeat_common::wire::Labels;
use secbeat_edge_core::{
    BootTime, BucketId, BucketUpdate, Effect, Enforcer, EnforcerConfig, Event, FleetBan, MemoryKernel, Moment,
};
use secbeat_orchestrator_core::bucket::Change;

use super::server::Server;

/// How often the kernel's bans are compared with the desired ones, in milliseconds.
const RECONCILE_MS: i64 = 10_000;

/// How many times worse its host's clock is than what it has measured: up to ten minutes off.
const HOST_OFF: i64 = 12_000;

/// See the [module](self).
pub(super) struct Edge {
    pub(super) name: String,
    /// `None` while the process is dead.
    enforcer: Option<Enforcer>,
    pub(super) kernel: MemoryKernel,
    /// Where it reads on in the bucket's changes, while it is connected.
    watch: Option<usize>,
    /// How far the bus's clock as it measures it is ahead of the world's.
    error_ms: i64,
    /// Whether this process has measured the bus's clock. Before that it goes by its host's.
    measured: bool,
    reconciled_ms: i64,
}

impl Edge {
    pub(super) fn new(name: &str, error_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            enforcer: None,
            kernel: MemoryKernel::default(),
            watch: None,
            error_ms,
            measured: false,
            reconciled_ms: 0,
        }
    }

    /// How far the time that it goes by is ahead of the world's.
    fn ahead_ms(&self) -> i64 {
        match self.measured {
            true => self.error_ms,
            false => self.error_ms * HOST_OFF,
        }
    }

    fn moment(&self, now_ms: i64) -> Moment {
        Moment {
            wall_ms: now_ms + self.ahead_ms(),
            boot: boot(now_ms),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.enforcer.is_some()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.watch.is_some()
    }

    pub(super) fn start(&mut self, now_ms: i64) {
        self.enforcer = Some(Enforcer::new(EnforcerConfig {
            labels: Labels::new(),
            edge_id: self.name.clone(),
            max_ban: Duration::from_secs(24 * 3_600),
            has_kernel: true,
            ..EnforcerConfig::default()
        }));
        self.measured = false;
        self.reconciled_ms = now_ms;
        self.handle(Event::ReconcileDue, now_ms);
    }

    pub(super) fn crash(&mut self) {
        self.enforcer = None;
        self.watch = None;
    }

    pub(super) fn disconnect(&mut self) {
        self.watch = None;
    }

    /// Measures the bus's clock, and reads what the bucket holds anew if that is news.
    pub(super) fn measure(&mut self, server: &Server, now_ms: i64) {
        if std::mem::replace(&mut self.measured, true) {
            return;
        }
        self.handle(Event::Bucket(vec![BucketUpdate::TimeSet]), now_ms);
        if self.is_connected() {
            self.connect(server, now_ms);
        }
    }

    /// Reads what the bucket holds, and follows it from now on.
    pub(super) fn connect(&mut self, server: &Server, now_ms: i64) {
        if self.enforcer.is_none() {
            return;
        }
        let (entries, _) = server.snapshot();
        let received = self.received(now_ms);
        let mut updates = vec![BucketUpdate::SnapshotBegin(BucketId(1))];
        updates.extend(entries.iter().map(|change| update(change, received)));
        updates.push(BucketUpdate::SnapshotEnd);
        self.watch = Some(server.changes.len());
        self.handle(Event::Bucket(updates), now_ms);
    }

    /// Hears at most `most` changes of the bucket.
    pub(super) fn hear(&mut self, server: &Server, most: usize, now_ms: i64) {
        let Some(from) = self.watch else { return };
        let to = server.changes.len().min(from + most);
        self.watch = Some(to);
        let received = self.received(now_ms);
        let updates = server.changes[from..to]
            .iter()
            .map(|change| update(change, received));
        let updates: Vec<_> = updates.collect();
        if !updates.is_empty() {
            self.handle(Event::Bucket(updates), now_ms);
        }
    }

    pub(super) fn tick(&mut self, now_ms: i64) {
        self.handle(Event::Tick, now_ms);
        if now_ms - self.reconciled_ms >= RECONCILE_MS {
            self.reconciled_ms = now_ms;
            self.handle(Event::ReconcileDue, now_ms);
        }
    }

    fn received(&self, now_ms: i64) -> SystemTime {
        let ms = u64::try_from(now_ms + self.ahead_ms()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn handle(&mut self, event: Event, now_ms: i64) -> Vec<Effect> {
        let now = self.moment(now_ms);
        match &mut self.enforcer {
            Some(enforcer) => self.kernel.drive(enforcer, event, now),
            None => Vec::new(),
        }
    }

    /// The bans of the fleet that it enforces.
    pub(super) fn enforced(&self, now_ms: i64) -> Vec<FleetBan> {
        let bans = self
            .enforcer
            .iter()
            .flat_map(|enforcer| enforcer.enforced(boot(now_ms)));
        bans.collect()
    }
}

fn boot(now_ms: i64) -> BootTime {
    BootTime(u64::try_from(now_ms).unwrap_or(0) * 1_000_000)
}

fn update(change: &Change, received: SystemTime) -> BucketUpdate {
    match change {
        Change::Written(written) => BucketUpdate::Put {
            command: Box::new(written.command.clone()),
            revision: written.revision,
            received,
        },
        Change::Gone(gone) => BucketUpdate::Removed {
            target: gone.target,
            revision: gone.revision,
        },
        Change::Spoiled { target, .. } => BucketUpdate::Spoiled { target: *target },
    }
}
