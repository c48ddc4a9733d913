//! What a later process of the edge knows of an earlier one.

use super::*;

#[test]
fn a_restart_forgets_neither_what_was_counted_nor_what_is_to_be_handed_over() {
    let mut rig = Rig::ready();
    rig.lose_the_fleet();
    let errors = rig.errors(50);
    let first = rig.bans(errors);
    assert_eq!(first.len(), 1);
    // Of another client, not enough.
    let other = "198.51.100.8";
    let errors = |rig: &mut Rig, n| {
        let Event::Seen(Seen::Telemetry { payload, .. }) = rig.errors(n) else {
            unreachable!()
        };
        let mut batch: TelemetryBatch = wire::decode(&payload).unwrap();
        for event in &mut batch.events {
            event.client = other.parse().unwrap();
        }
        Event::Seen(Seen::Telemetry {
            partition: other.parse::<Prefix>().unwrap().partition(PARTITIONS),
            payload: encode(&batch).unwrap().into(),
        })
    };
    let seen = errors(&mut rig, 30);
    assert_eq!(rig.bans(seen), []);

    let (waiting, (reports, bytes)) = (rig.core.waiting(), rig.core.reports());
    assert_eq!((waiting.len(), waiting[0].told, reports.len()), (1, 0, 2));
    assert!(bytes > 0);
    let mut again = Rig::ready();
    again.now = rig.now;
    again.pass(1_000);
    again.sequence = 100;
    assert_eq!(again.handle(Event::Recalled { waiting, reports }), []);
    // Who is banned already is found again; the kernel still has that ban.
    let effects = again.lose_the_fleet();
    let found: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ban(command) => Some(command),
            _ => None,
        })
        .collect();
    assert_eq!((found.len(), found[0].target), (1, target()));
    let id = found[0].id;
    again.handle(Event::Settled { id, banned: false });
    let seen = errors(&mut again, 20);
    let bans = again.bans(seen);
    assert_eq!(bans.len(), 1, "30 errors before the restart, 20 after it");
    assert_eq!(bans[0].target, other.parse().unwrap());

    again.handle(Event::Fleet(None));
    let told = told(&again.handle(Event::Tick));
    let targets: Vec<_> = told.iter().map(|ban| ban.target).collect();
    assert_eq!(targets, [target(), other.parse().unwrap()]);
    let before = again.core.changes().waiting;
    again.handle(Event::TakenOver(target()));
    assert!(again.core.changes().waiting > before);
    assert_eq!(again.core.waiting().len(), 1);
}

#[test]
fn of_a_restart_later_than_the_longest_window_only_bans_are_left() {
    let mut rig = Rig::ready();
    let seen = rig.errors(49);
    rig.handle(seen);
    let (reports, _) = rig.core.reports();
    let mut again = Rig::ready();
    again.now = rig.now;
    again.pass(3_600_000);
    again.handle(Event::Recalled {
        waiting: Vec::new(),
        reports,
    });
    let seen = again.errors(1);
    again.handle(seen);
    assert_eq!(again.core.reports().0.len(), 1);
}
