//! From reports to a ban.

use super::*;

#[test]
fn the_50th_error_bans_for_five_minutes_from_its_receipt_and_the_49th_does_not() {
    let mut rig = Rig::ready();
    assert_eq!(rig.errors("edge-1", CLIENT, 49), []);
    let effects = rig.errors("edge-1", CLIENT, 1);
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
    assert_eq!((&command.scope, command.layer), (&Scope::Fleet, Layer::Kernel));
    rig.pass(1);
    assert_eq!(rig.errors("edge-1", CLIENT, 500), [], "it is banned already");
}

#[test]
fn a_finding_is_told_and_its_ban_is_written_at_once() {
    let mut rig = Rig::ready();
    let effects = rig.errors("edge-1", CLIENT, 50);
    let [
        Effect::Announce(Announcement::Finding { finding, suppressed }),
        Effect::Write(request),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((finding.count(), finding.at_ms, suppressed), (50, NOW, &None));
    assert_eq!(request.urgency, Urgency::Now);
    assert_eq!(rig.decider.stats(rig.now).unwritten, 1);
}

#[test]
fn a_ban_is_audited_with_its_evidence_once_the_bus_has_it() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.pass(20);
    let effects = rig.acknowledge(&command, 7);
    let [
        Effect::Conclude {
            record,
            urgency: Urgency::Now,
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    let expected = AuditRecord {
        at_ms: NOW + 20,
        target: target(CLIENT),
        actor: "secbeat-orchestrator".to_owned(),
        decision: Audited::Ban {
            list: None,
            command_id: command.id,
            reason: Reason::ErrorFlood,
            note: "50 errors in 60s".to_owned(),
            expires_at_ms: NOW + 300_000,
            strikes: 0,
            evidence: Some(Evidence {
                count: 50,
                window_ms: 60_000,
                at_ms: NOW,
            }),
            layer: Layer::Kernel,
            edges: None,
            labels: Vec::new(),
            events: Vec::new(),
        },
    };
    assert_eq!(record.clone().without_events(), expected);
    let Audited::Ban { events, .. } = &record.decision else {
        panic!("{record:?}");
    };
    assert_eq!((events.len(), events[0].path.as_str()), (20, "/missing"));
    assert_eq!(rig.decider.stats(rig.now).unwritten, 0);
}

#[test]
fn each_ban_of_a_client_lasts_twice_as_long_as_the_one_before() {
    let mut rig = Rig::ready();
    for (strikes, lasts_ms) in [(0, 300_000), (1, 600_000), (2, 1_200_000)] {
        let command = rig.found(CLIENT);
        assert_eq!(command.strikes, strikes);
        assert_eq!(command.expires_at_ms - rig.now.wall_ms, lasts_ms);
        rig.pass(lasts_ms);
        assert_eq!(rig.tick(), []);
        assert_eq!(rig.ban_of(CLIENT), None);
    }
}

#[test]
fn addresses_of_one_ipv6_network_are_one_client() {
    let mut rig = Rig::ready();
    assert_eq!(rig.errors("edge-1", "2001:db8::1", 49), []);
    let mut batch = rig.batch("edge-1", vec![error("2001:db8::2", NOW)]);
    batch.sequence += 1;
    let [command] = &written(&rig.telemetry("2001:db8::1", batch))[..] else {
        panic!()
    };
    assert_eq!(command.target.to_string(), "2001:db8::/64");
}

#[test]
fn a_client_behind_a_proxy_is_banned_at_l7_and_in_the_kernel_once_it_is_seen_as_a_peer() {
    let mut rig = Rig::ready();
    let behind = TelemetryEvent {
        learned_from: LearnedFrom::Header,
        ..error(CLIENT, NOW)
    };
    let batch = rig.batch("edge-1", vec![behind; 50]);
    let [first] = &written(&rig.telemetry(CLIENT, batch))[..] else {
        panic!()
    };
    assert_eq!(first.layer, Layer::L7);
    rig.pass(1_000);
    let second = rig.found(CLIENT);
    assert_eq!((second.layer, second.strikes), (Layer::Kernel, 0));
    assert_eq!(second.expires_at_ms, NOW + 301_000);
    assert_ne!(second.id, first.id);
}

#[test]
fn where_errors_and_requests_are_too_many_in_one_batch_the_errors_are_the_reason() {
    let mut rig = Rig::ready();
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 50]);
    batch.counts = vec![requests(CLIENT, NOW, 1_000), requests(OTHER_CLIENT, NOW, 1_000)];
    let commands = written(&rig.telemetry(CLIENT, batch));
    let found: Vec<_> = commands
        .iter()
        .map(|command| (command.target, command.reason, command.note.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (target(CLIENT), Reason::ErrorFlood, "50 errors in 60s"),
            (target(OTHER_CLIENT), Reason::RequestFlood, "1000 requests in 60s")
        ]
    );
}

#[test]
fn a_client_within_a_banned_network_is_banned_already() {
    let mut rig = Rig::ready();
    rig.ordered(1, "198.51.100.0/24", 3_600);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    assert_eq!(rig.decider.stats(rig.now).rules["error-flood"].already_banned, 1);
}

#[test]
fn a_rebuilt_window_whose_ban_is_over_bans_nobody_and_leaves_a_strike() {
    let mut rig = Rig::ready();
    rig.pass(300_000);
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 50]);
    batch.sent_at_ms = NOW;
    assert_eq!(rig.received(CLIENT, batch, NOW), []);
    assert_eq!(rig.tick(), []);
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 1));
    assert_eq!(rig.found(CLIENT).expires_at_ms, NOW + 300_000 + 600_000);
}

#[test]
fn a_partition_of_another_orchestrator_is_not_watched() {
    let mut rig = Rig::ready();
    rig.lose(CLIENT);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    assert_eq!(rig.decider.stats(rig.now).batches, 0);
}

#[test]
fn a_traced_ban_begins_with_its_report_and_ends_with_its_fate() {
    let mut rig = Rig::ready_with(|config| config.traced = true);
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW - 40); 50]);
    batch.sent_at_ms = NOW - 20;
    let effects = rig.telemetry(CLIENT, batch);
    let [Effect::Announce(_), Effect::TraceBegun(begun), Effect::Write(_)] = &effects[..] else {
        panic!("{effects:?}");
    };
    let report = Report {
        edge: "edge-1".to_owned(),
        at_ms: NOW - 40,
        received_ms: NOW,
    };
    assert_eq!(begun.report, Some(report));
    let ended = Effect::TraceEnded {
        id: begun.command.id,
        failure: None,
    };
    assert_eq!(rig.acknowledge(&begun.command, 7)[0], ended);
    assert_eq!(
        rig.done(&begun.command, Fate::Superseded),
        [],
        "it has ended already"
    );
}

#[test]
fn an_events_time_is_moved_where_its_edges_clock_is_wrong() {
    let mut rig = Rig::ready();
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW + 3_600_000); 50]);
    batch.sent_at_ms = NOW + 3_600_000;
    let [command] = &written(&rig.telemetry(CLIENT, batch))[..] else {
        panic!()
    };
    assert_eq!(command.expires_at_ms, NOW + 300_000);
    assert_eq!(command.evidence.unwrap().at_ms, NOW);
}
