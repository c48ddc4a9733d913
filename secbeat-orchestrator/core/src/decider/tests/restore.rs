//! What the bus remembers from before this process.

use super::*;

/// A decider that owns all partitions and has restored nothing yet.
fn starting() -> Rig {
    let mut rig = Rig::new();
    rig.handle(Event::Allowlist(Vec::new()));
    rig.own_all(1);
    rig
}

#[test]
fn an_active_ban_of_the_bucket_is_in_force_and_not_decided_again() {
    let mut rig = starting();
    let command = theirs(CLIENT, 9);
    rig.restore(vec![bucket(&command, 7)], vec![ban_record(&command)]);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    assert_eq!(rig.decider.stats(rig.now).findings, 0, "what it does is paid for");
    rig.pass(300_000);
    rig.tick();
    assert_eq!(rig.found(CLIENT).strikes, 1);
}

#[test]
fn an_expired_ban_of_the_bucket_is_not_in_force() {
    let mut rig = starting();
    rig.pass(300_000);
    rig.restore(vec![bucket(&theirs(CLIENT, 9), 7)], Vec::new());
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn an_ended_ban_of_the_audit_counts_as_a_strike() {
    let mut rig = starting();
    let command = BlockCommand {
        strikes: 1,
        ..theirs(CLIENT, 9)
    };
    rig.pass(300_000);
    rig.restore(Vec::new(), vec![ban_record(&command)]);
    assert_eq!(rig.strikes(CLIENT), 2);
    assert_eq!(
        rig.found(CLIENT).expires_at_ms - rig.now.wall_ms,
        1_200_000,
        "four times as long as the first"
    );
}

#[test]
fn an_active_ban_of_the_audit_that_the_bucket_lacks_is_not_in_force() {
    let mut rig = starting();
    rig.restore(Vec::new(), vec![ban_record(&theirs(CLIENT, 9))]);
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
}

#[test]
fn an_unban_of_the_audit_leaves_no_strike_and_what_came_before_it_does_not_count() {
    let mut rig = starting();
    let command = theirs(CLIENT, 9);
    let records = vec![ban_record(&command), unban_record(&command, NOW + 1_000)];
    rig.pass(2_000);
    rig.restore(Vec::new(), records);
    assert_eq!(rig.strikes(CLIENT), 0);
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW + 1_000); 50]);
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW + 1_001); 50]);
    assert_eq!(written(&rig.telemetry(CLIENT, batch)).len(), 1);
}

#[test]
fn bans_that_the_audit_lacks_are_recorded() {
    let mut rig = starting();
    let recorded = theirs("203.0.113.1", 1);
    let lost = theirs("203.0.113.2", 2);
    let by_hand = BlockCommand {
        reason: Reason::Manual,
        issuer: "alice".to_owned(),
        ..theirs("203.0.113.3", 3)
    };
    let bans = [&recorded, &lost, &by_hand].map(|command| bucket(command, 7));
    let effects = rig.handle(Event::Restore {
        bans: bans.to_vec(),
        audit: vec![ban_record(&recorded)],
        since_ms: NOW - 60_000,
    });
    let by_alice = AuditRecord {
        actor: "alice".to_owned(),
        ..ban_record(&by_hand)
    };
    let audit = |record| Effect::Audit {
        record,
        urgency: Urgency::Bulk,
    };
    assert_eq!(effects, [audit(ban_record(&lost)), audit(by_alice)]);
}

#[test]
fn bans_from_before_the_audit_begins_are_not_recorded_again() {
    let mut rig = starting();
    let effects = rig.handle(Event::Restore {
        bans: vec![bucket(&theirs(CLIENT, 9), 7)],
        audit: Vec::new(),
        since_ms: NOW - 59_999,
    });
    assert_eq!(effects, [], "its clock may be a minute behind");
}

#[test]
fn a_decider_is_restored_once_it_has_read_the_bans_and_the_allowlist() {
    for bans_first in [true, false] {
        let mut rig = Rig::new();
        let mut steps = [true, false];
        if !bans_first {
            steps.reverse();
        }
        for is_bans in steps {
            assert!(!rig.decider.stats(rig.now).restored);
            match is_bans {
                true => rig.restore(Vec::new(), Vec::new()),
                false => rig.handle(Event::Allowlist(Vec::new())),
            };
        }
        assert!(rig.decider.stats(rig.now).restored);
    }
}

#[test]
fn no_order_is_carried_out_before_all_is_restored() {
    let mut rig = Rig::new();
    rig.own_all(1);
    rig.restore(Vec::new(), Vec::new());
    assert_eq!(
        rig.order(1, CLIENT, 60),
        [reply_not_banned(1, OrderError::Restoring)]
    );
    assert_eq!(
        rig.unban(2, CLIENT),
        [reply(2, Reply::Unbanned(Err(OrderError::Restoring)))]
    );
    let import = Import {
        bans: Vec::new(),
        nets_before: 0,
        mode: ImportMode::DryRun,
        actor: "alice".to_owned(),
    };
    let effects = rig.handle(Event::Order {
        ticket: Ticket(3),
        order: Order::Import(import),
    });
    assert_eq!(effects, [reply(3, Reply::Imported(Err(OrderError::Restoring)))]);
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn a_restored_ban_on_some_edges_keeps_what_those_report_from_counting() {
    let mut rig = Rig::with(|config| config.agreeing_edges = NonZeroU32::new(2).unwrap());
    rig.handle(Event::Allowlist(Vec::new()));
    rig.own_all(1);
    let command = BlockCommand {
        scope: Scope::of_edges(vec!["edge-1".to_owned()]),
        ..theirs(CLIENT, 9)
    };
    rig.restore(vec![bucket(&command, 7)], vec![ban_record(&command)]);
    assert_eq!(rig.errors("edge-1", CLIENT, 49), []);
    assert_eq!(rig.counted(CLIENT), 0);
    assert_eq!(rig.errors("edge-2", CLIENT, 49), []);
    assert_eq!(rig.counted(CLIENT), 49);
}
