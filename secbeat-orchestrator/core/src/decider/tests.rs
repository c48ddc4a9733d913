//! Each decision, without a bus.

use secbeat_common::wire::{LearnedFrom, TelemetryBatch, TelemetryEvent};

use super::*;
use crate::{
    leases::{Ownership, Tenure},
    writer::{Write, WriteRequest},
};

/// 2026-11-20T10:00:00Z.
pub(super) const NOW: i64 = 1_795_168_800_000;

/// A decider that owns all partitions, and a clock.
pub(super) struct Rig {
    pub(super) decider: Decider,
    pub(super) now: Moment,
    sequence: u64,
}

impl Rig {
    /// A decider that knows nothing, not even what it owns.
    pub(super) fn new() -> Self {
        let config = Config {
            detect: DetectConfig::default(),
            agreeing_edges: NonZeroU32::MIN,
            ledger: LedgerConfig::default(),
            protected: Vec::new(),
            max_age: Duration::from_secs(120),
            cleanup_interval: Duration::from_secs(300),
            unban_grace: Duration::ZERO,
            drift_grace: Duration::from_secs(10),
            evidence_bytes: crate::evidence::MIN_MEMORY,
            traced: false,
            seed: [7; 16],
        };
        Self {
            decider: config.build(),
            now: Moment {
                wall_ms: NOW,
                boot_ms: 1_000_000,
            },
            sequence: 0,
        }
    }

    /// One that has read an empty bus, and owns all partitions.
    pub(super) fn ready() -> Self {
        let mut rig = Self::new();
        let nothing = Event::Restore {
            bans: Vec::new(),
            audit: Vec::new(),
            since_ms: 0,
        };
        assert_eq!(rig.handle(nothing), []);
        assert_eq!(rig.handle(Event::Allowlist(Vec::new())), []);
        rig.own_all(1);
        rig
    }

    /// Takes all partitions, for an hour.
    pub(super) fn own_all(&mut self, epoch: u64) {
        let until_ms = self.now.boot_ms + 3_600_000;
        let table = LeaseTable::new([Tenure::Owned { epoch }; 16], Some(until_ms));
        self.handle(Event::Leases(table));
        for partition in 0..16 {
            self.handle(Event::Owned(Ownership::Taken { partition, epoch }));
        }
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

    /// `n` answers with 404 to `client`, reported by `edge` now.
    pub(super) fn errors(&mut self, edge: &str, client: &str, n: usize) -> Vec<Effect> {
        let client = client.parse().unwrap();
        let event = TelemetryEvent {
            client,
            at_ms: self.now.wall_ms,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            status: 404,
            method: "GET".to_owned(),
            path: "/missing".to_owned(),
            host: "example.org".to_owned(),
            user_agent: "curl/8".to_owned(),
        };
        self.sequence += 1;
        let batch = TelemetryBatch {
            edge_id: edge.to_owned(),
            boot_id: Uuid::from_u128(1),
            sequence: self.sequence,
            sent_at_ms: self.now.wall_ms,
            dropped_before: 0,
            upstreams: vec!["site".to_owned()],
            events: vec![event; n],
            counts: Vec::new(),
        };
        self.handle(Event::Batch {
            partition: Prefix::single(client).partition(16),
            batch,
            received_ms: self.now.wall_ms,
            age_ms: None,
        })
    }
}

/// The bans that the effects write.
pub(super) fn written(effects: &[Effect]) -> Vec<secbeat_common::wire::BlockCommand> {
    let bans = effects.iter().filter_map(|effect| match effect {
        Effect::Write(WriteRequest {
            write: Write::Ban(command),
            ..
        }) => Some((**command).clone()),
        _ => None,
    });
    bans.collect()
}

#[test]
fn the_50th_error_bans_for_five_minutes_from_its_receipt_and_the_49th_does_not() {
    let mut rig = Rig::ready();
    assert_eq!(rig.errors("edge-1", "198.51.100.7", 49), []);
    let effects = rig.errors("edge-1", "198.51.100.7", 1);
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(command.target.to_string(), "198.51.100.7/32");
    assert_eq!(
        (command.issued_at_ms, command.expires_at_ms),
        (NOW, NOW + 300_000)
    );
    assert_eq!((command.epoch, command.strikes), (1, 0));
    assert_eq!(command.note, "50 errors in 60s");
    let Effect::Announce(Announcement::Finding { finding, suppressed }) = &effects[0] else {
        panic!("{effects:?}");
    };
    assert_eq!((finding.count(), suppressed), (50, &None));
    rig.pass(1);
    assert_eq!(
        rig.errors("edge-1", "198.51.100.7", 500),
        [],
        "it is banned already"
    );
}
