//! A decider, a clock, and what happens to them.

use super::*;

/// A decider and a clock.
pub(in crate::decider) struct Rig {
    pub(in crate::decider) decider: Decider,
    pub(super) now: Moment,
    /// Batches made so far.
    sequence: u64,
}

impl Rig {
    /// A decider that knows nothing, not even what it owns.
    pub(in crate::decider) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same of another config.
    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            detect: DetectConfig::default(),
            agreeing_edges: NonZeroU32::MIN,
            providers: Providers::default(),
            ledger: LedgerConfig::default(),
            protected: Vec::new(),
            max_age: Duration::from_secs(120),
            cleanup_interval: Duration::from_secs(300),
            unban_grace: Duration::ZERO,
            drift_grace: Duration::from_secs(10),
            evidence_bytes: crate::evidence::MIN_MEMORY,
            crawlers: CrawlerConfig::default(),
            traced: false,
            stands_in: false,
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
    pub(super) fn ready() -> Self {
        Self::ready_with(|_| {})
    }

    pub(super) fn ready_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut rig = Self::with(change);
        assert_eq!(rig.restore(Vec::new(), Vec::new()), []);
        assert_eq!(rig.handle(Event::Allowlist(Vec::new())), []);
        rig.own_all(1);
        rig
    }

    /// What the bus remembers; the audit of all time.
    pub(super) fn restore(&mut self, bans: Vec<Written>, audit: Vec<AuditRecord>) -> Vec<Effect> {
        self.handle(Event::Restore {
            bans,
            audit,
            since_ms: self.now.wall_ms,
        })
    }

    /// Holds each partition like this, for certain for an hour.
    pub(super) fn hold_all(&mut self, tenure: Tenure) -> Vec<Effect> {
        let until_ms = self.now.boot_ms + 3_600_000;
        self.handle(Event::Leases(LeaseTable::new([tenure; 16], Some(until_ms))))
    }

    /// Takes all partitions, for an hour.
    pub(super) fn own_all(&mut self, epoch: u64) -> Vec<Effect> {
        self.hold_all(Tenure::Owned { epoch });
        let take = |partition| Event::Owned(Ownership::Taken { partition, epoch });
        (0..16)
            .flat_map(|partition| self.handle(take(partition)))
            .collect()
    }

    pub(super) fn take(&mut self, client: &str, epoch: u64) -> Vec<Effect> {
        let partition = target(client).partition(16);
        self.handle(Event::Owned(Ownership::Taken { partition, epoch }))
    }

    pub(super) fn lose(&mut self, client: &str) -> Vec<Effect> {
        let partition = target(client).partition(16);
        self.handle(Event::Owned(Ownership::Lost { partition }))
    }

    pub(super) fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.decider.handle(event, self.now, &mut effects);
        effects
    }

    pub(super) fn pass(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.boot_ms += ms;
    }

    pub(super) fn tick(&mut self) -> Vec<Effect> {
        self.handle(Event::Tick { connected: true })
    }

    /// `n` answers with 404 to `client`, reported by `edge` now.
    pub(super) fn errors(&mut self, edge: &str, client: &str, n: usize) -> Vec<Effect> {
        let batch = self.batch(edge, vec![error(client, self.now.wall_ms); n]);
        self.telemetry(client, batch)
    }

    /// The next batch of `edge`, closed now.
    pub(super) fn batch(&mut self, edge: &str, events: Vec<TelemetryEvent>) -> TelemetryBatch {
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
    pub(super) fn telemetry(&mut self, client: &str, batch: TelemetryBatch) -> Vec<Effect> {
        self.received(client, batch, self.now.wall_ms)
    }

    pub(super) fn received(&mut self, client: &str, batch: TelemetryBatch, received_ms: i64) -> Vec<Effect> {
        self.handle(Event::Batch {
            partition: target(client).partition(16),
            batch,
            received_ms,
            age_ms: None,
        })
    }

    /// Finds `client`: 50 errors now, reported by `edge-1`. Returns the ban that follows.
    pub(super) fn found(&mut self, client: &str) -> BlockCommand {
        let effects = self.errors("edge-1", client, 50);
        let [command] = &written(&effects)[..] else {
            panic!("{effects:?}");
        };
        command.clone()
    }

    /// An operator's order of a ban of `client` for `seconds`.
    pub(super) fn order(&mut self, ticket: u64, client: &str, seconds: i64) -> Vec<Effect> {
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
    pub(super) fn ordered(&mut self, ticket: u64, client: &str, seconds: i64) -> BlockCommand {
        let effects = self.order(ticket, client, seconds);
        let [command] = &written(&effects)[..] else {
            panic!("{effects:?}");
        };
        command.clone()
    }

    pub(super) fn unban(&mut self, ticket: u64, client: &str) -> Vec<Effect> {
        self.handle(Event::Order {
            ticket: Ticket(ticket),
            order: Order::Unban(Unban {
                target: target(client),
                actor: "bob".to_owned(),
                note: "known".to_owned(),
                list: None,
            }),
        })
    }

    pub(super) fn done(&mut self, command: &BlockCommand, fate: Fate) -> Vec<Effect> {
        self.handle(Event::Done { id: command.id, fate })
    }

    /// The bus has it.
    pub(super) fn acknowledge(&mut self, command: &BlockCommand, revision: u64) -> Vec<Effect> {
        self.done(command, Fate::Written { revision })
    }

    /// The bucket says it.
    pub(super) fn hear(&mut self, command: &BlockCommand, revision: u64) -> Vec<Effect> {
        self.handle(Event::Banned(Box::new(bucket(command, revision))))
    }

    /// The bucket says that the ban of `client` is gone, now.
    pub(super) fn hear_gone(&mut self, client: &str, revision: u64) -> Vec<Effect> {
        let gone = gone(client, self.now.wall_ms, revision);
        self.handle(Event::Lifted(gone))
    }

    /// The ban of exactly `client`'s source.
    pub(super) fn banned(&self, client: &str) -> Option<&ActiveBan> {
        let query = BanQuery {
            within: Some(target(client)),
            ..BanQuery::default()
        };
        self.decider.bans(&query).bans.first().copied()
    }

    /// The id of that.
    pub(super) fn ban_of(&self, client: &str) -> Option<Uuid> {
        self.banned(client).map(|ban| ban.command.id)
    }

    /// What counts against `client` as errors.
    pub(super) fn counted(&self, client: &str) -> u64 {
        let address: IpAddr = client.parse().unwrap();
        self.decider.explain(address, self.now).windows[0].count
    }

    /// Earlier bans of `client` that count.
    pub(super) fn strikes(&self, client: &str) -> u32 {
        let address: IpAddr = client.parse().unwrap();
        self.decider.explain(address, self.now).strikes
    }
}
