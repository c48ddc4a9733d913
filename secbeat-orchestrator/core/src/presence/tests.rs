use secbeat_common::{
    digest::Item,
    wire::{ClockOffset, Drops, EnforcedAt, EnforcedBans, Speaks, Spooled},
};
use uuid::Uuid;

use super::*;

const NOW: i64 = 1_800_000_000_000;

fn at(seconds: u64) -> Moment {
    Moment {
        wall_ms: NOW + i64::try_from(seconds).unwrap() * 1000,
        boot_ms: i64::try_from(seconds).unwrap() * 1000,
    }
}

fn record(edge_id: &str, held: &Digest) -> Presence {
    Presence {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::from_u128(1),
        version: "0.1.0".to_owned(),
        speaks: Speaks::edge(),
        started_at_ms: NOW,
        at_ms: NOW,
        enforcement: EnforcedAt::Both,
        observe_only: false,
        interfaces: Vec::new(),
        bans: EnforcedBans {
            active: 0,
            fleet: held.extract(NOW),
            set_aside: 0,
            unwritten: 0,
            synced: true,
        },
        allowlist: 3,
        drops: Drops::default(),
        labels: BTreeMap::new(),
        telemetry_lost: 0,
        spool: Spooled::default(),
        bus_revision: 0,
        clock: None,
        signatures: None,
        feeds: Vec::new(),
        logs: Vec::new(),
        refused_config: None,
    }
}

fn digest(bans: u8) -> Digest {
    let mut digest = Digest::default();
    for n in 0..bans {
        digest.add(&Item {
            target: format!("192.0.2.{n}").parse().unwrap(),
            command_id: Uuid::from_u128(n.into()),
            issued_at_ms: NOW - 60_000,
            expires_at_ms: NOW + 600_000,
        });
    }
    digest
}

const DIFFERS: Agreement = Agreement::Differs(Difference {
    held: 1,
    issued: 2,
    unwritten: 0,
});

fn hear(fleet: &mut Fleet, agreement: Agreement, seconds: u64) -> Vec<Event> {
    fleet.heard(record("edge-1", &digest(0)), agreement, at(seconds))
}

fn event(what: What) -> Event {
    Event {
        edge_id: "edge-1".to_owned(),
        what,
    }
}

#[test]
fn an_edge_is_down_after_three_records_are_missing_and_up_with_the_next() {
    let mut fleet = Fleet::default();
    assert_eq!(hear(&mut fleet, Agreement::Agrees, 0), [event(What::Up)]);
    assert_eq!(hear(&mut fleet, Agreement::Agrees, 5), []);
    assert_eq!(fleet.look(true, at(20)), []);
    assert_eq!(fleet.look(true, at(21)), [event(What::Down(DownCause::Lost))]);
    assert_eq!(fleet.look(true, at(22)), [], "once");
    assert_eq!(fleet.up().count(), 0);
    assert_eq!(hear(&mut fleet, Agreement::Agrees, 30), [event(What::Up)]);
    assert_eq!(
        fleet.left("edge-1", at(31)),
        Some(event(What::Down(DownCause::Stopped)))
    );
    assert_eq!(fleet.left("edge-1", at(31)), None);
    assert_eq!(fleet.left("nobody", at(31)), None);
}

#[test]
fn without_the_bus_edges_are_down_after_as_long_and_have_as_long_to_come_back() {
    let mut fleet = Fleet::default();
    hear(&mut fleet, Agreement::Agrees, 0);
    assert_eq!(fleet.look(true, at(3)), []);
    assert_eq!(fleet.look(false, at(15)), []);
    // Back within the time: it has to be heard of again first.
    assert_eq!(fleet.look(true, at(16)), []);
    assert_eq!(fleet.look(true, at(31)), []);
    assert_eq!(fleet.look(true, at(32)), [event(What::Down(DownCause::Lost))]);
    hear(&mut fleet, Agreement::Agrees, 40);
    assert_eq!(fleet.look(false, at(41)), []);
    assert_eq!(fleet.look(false, at(56)), [event(What::Down(DownCause::Unheard))]);
    assert_eq!(fleet.edges().next().unwrap().heard, at(40));
}

#[test]
fn only_a_difference_that_lasts_is_an_alarm_and_it_clears_by_itself() {
    let mut fleet = Fleet::default();
    hear(&mut fleet, Agreement::Agrees, 0);
    for (agreement, seconds) in [
        (DIFFERS, 5),
        (DIFFERS, 10),
        (Agreement::Agrees, 15),
        (DIFFERS, 20),
        (DIFFERS, 25),
    ] {
        assert_eq!(hear(&mut fleet, agreement, seconds), [], "{seconds} s");
    }
    let Agreement::Differs(now) = DIFFERS else {
        panic!()
    };
    let alarm = event(What::Drifts {
        since_ms: at(20).wall_ms,
        now,
    });
    assert_eq!(hear(&mut fleet, DIFFERS, 30), [alarm]);
    assert_eq!(hear(&mut fleet, DIFFERS, 35), [], "once");
    assert_eq!(
        fleet.edges().next().unwrap().drifting_since_ms,
        Some(at(20).wall_ms)
    );
    for seconds in [40, 45] {
        assert_eq!(hear(&mut fleet, Agreement::Agrees, seconds), [], "{seconds} s");
    }
    assert_eq!(hear(&mut fleet, Agreement::Agrees, 50), [event(What::Agrees)]);
    assert_eq!(fleet.edges().next().unwrap().drifting_since_ms, None);
}

#[test]
fn the_alarm_of_an_edge_that_agrees_at_times_or_is_not_compared_goes_on() {
    let mut fleet = Fleet::default();
    for seconds in [0, 5, 10] {
        hear(&mut fleet, DIFFERS, seconds);
    }
    let since_ms = Some(at(0).wall_ms);
    let steps = [
        Agreement::Agrees,
        DIFFERS,
        Agreement::Unknown,
        Agreement::Agrees,
        Agreement::Agrees,
        DIFFERS,
        Agreement::Unknown,
        Agreement::Unknown,
        Agreement::Unknown,
    ];
    for (agreement, seconds) in steps.into_iter().zip((15..).step_by(5)) {
        assert_eq!(hear(&mut fleet, agreement, seconds), [], "{seconds} s");
        let edge = fleet.edges().next().unwrap();
        assert_eq!((edge.agreement, edge.drifting_since_ms), (agreement, since_ms));
    }
    // Before an alarm, only what is known to last counts.
    let mut fleet = Fleet::default();
    hear(&mut fleet, DIFFERS, 0);
    hear(&mut fleet, Agreement::Unknown, 5);
    assert_eq!(hear(&mut fleet, DIFFERS, 10), []);
}

#[test]
fn an_edge_agrees_if_it_holds_the_ledgers_bans_and_its_kernel_took_them() {
    let held = record("edge-1", &digest(2));
    assert_eq!(Agreement::of(&held, &digest(2), NOW), Agreement::Agrees);
    assert_eq!(
        Agreement::of(&held, &digest(3), NOW),
        Agreement::Differs(Difference {
            held: 2,
            issued: 3,
            unwritten: 0
        })
    );
    let mut unwritten = held.clone();
    unwritten.bans.unwritten = 1;
    assert!(matches!(
        Agreement::of(&unwritten, &digest(2), NOW),
        Agreement::Differs(Difference { unwritten: 1, .. })
    ));
    // By this clock some of what the edge speaks of has ended.
    assert_eq!(Agreement::of(&held, &digest(2), NOW + 60_000), Agreement::Unknown);
}

#[test]
fn edges_past_the_bound_take_the_place_of_one_that_is_down_or_none() {
    let mut fleet = Fleet::default();
    let mut hear = |n: usize, seconds| {
        fleet.heard(
            record(&format!("edge-{n}"), &digest(0)),
            Agreement::Agrees,
            at(seconds),
        )
    };
    for n in 0..MAX_EDGES {
        assert_eq!(hear(n, 0).len(), 1);
    }
    assert_eq!(hear(MAX_EDGES, 1), []);
    assert!(fleet.left("edge-7", at(2)).is_some());
    assert_eq!(
        fleet
            .heard(record("new", &digest(0)), Agreement::Agrees, at(3))
            .len(),
        1
    );
    assert_eq!(fleet.edges().count(), MAX_EDGES);
    assert!(!fleet.edges().any(|edge| edge.record.edge_id == "edge-7"));
    fleet.look(true, at(100));
    fleet.look(true, at(24 * 3600 + 100));
    assert_eq!(fleet.edges().count(), 0, "forgotten after a day");
}

#[test]
fn an_edge_says_how_far_its_clock_is_off_and_of_one_that_does_not_its_records_tell() {
    let mut fleet = Fleet::default();
    let ahead_of = |fleet: &Fleet| fleet.edges().next().map(|edge| edge.clock_ahead_ms);
    let older = Presence {
        at_ms: NOW + 600_000,
        ..record("edge-1", &digest(0))
    };
    fleet.heard(older.clone(), Agreement::Agrees, at(0));
    assert_eq!(ahead_of(&fleet), Some(600_000));
    let clock = Some(ClockOffset {
        ahead_ms: -7,
        error_ms: 1,
    });
    fleet.heard(Presence { clock, ..older }, Agreement::Agrees, at(5));
    assert_eq!(ahead_of(&fleet), Some(-7));
}
