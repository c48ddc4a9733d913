//! Telemetry that is late, old, sent twice, or of firewalls.

use secbeat_common::wire::{
    RuleName, ServiceBatch, ServiceClass, ServiceEvent, Severity, WafBatch, WafEvent, WafOutcome, WafRule,
};

use super::*;
use crate::{
    analyzers::{Excused, RuleConfig},
    telemetry::EdgeTelemetry,
};

fn edge_telemetry(rig: &mut Rig) -> EdgeTelemetry {
    let edges = rig.decider.stats(rig.now).edges;
    let [(edge, telemetry)] = &edges[..] else {
        panic!("{edges:?}");
    };
    assert_eq!(edge, "edge-1");
    *telemetry
}

/// `n` answers with 503 to `client`.
fn failures(client: &str, at_ms: i64, n: usize) -> Vec<TelemetryEvent> {
    let event = TelemetryEvent {
        status: 503,
        ..error(client, at_ms)
    };
    vec![event; n]
}

#[test]
fn a_batch_that_comes_again_is_ignored() {
    let mut rig = Rig::ready();
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 49]);
    rig.telemetry(CLIENT, batch.clone());
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    assert_eq!(rig.counted(CLIENT), 49);
    let stats = rig.decider.stats(rig.now);
    assert_eq!((stats.batches, stats.events), (1, 49));
    assert_eq!(edge_telemetry(&mut rig).repeated, 1);
}

#[test]
fn what_is_older_than_the_maximum_age_does_not_count_and_is_counted() {
    let mut rig = Rig::ready();
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW - 120_000); 50]);
    batch.counts = vec![
        requests(CLIENT, NOW - 120_000, 1_000),
        requests(CLIENT, NOW - 119_999, 3),
    ];
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    assert_eq!(rig.counted(CLIENT), 0);
    let telemetry = edge_telemetry(&mut rig);
    assert_eq!((telemetry.too_old, telemetry.requests), (1_000, 1_003));
}

#[test]
fn requests_of_what_is_wider_than_a_source_do_not_count_and_are_counted() {
    let mut rig = Rig::ready();
    let mut batch = rig.batch("edge-1", Vec::new());
    batch.counts = vec![requests("198.51.100.0/24", NOW, 1_000)];
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    assert_eq!(edge_telemetry(&mut rig).too_wide, 1_000);
}

#[test]
fn what_names_no_upstream_of_its_batch_does_not_count() {
    let mut rig = Rig::ready();
    let stray = TelemetryEvent {
        upstream: 1,
        ..error(CLIENT, NOW)
    };
    let batch = rig.batch("edge-1", vec![stray; 50]);
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    assert_eq!(rig.counted(CLIENT), 0);
}

#[test]
fn late_telemetry_counts_at_its_own_time() {
    let mut rig = Rig::ready();
    rig.pass(40_000);
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW - 1_000); 50]);
    batch.sent_at_ms = NOW;
    let effects = rig.handle(Event::Batch {
        partition: 2,
        batch,
        received_ms: NOW + 40_000,
        age_ms: Some(40_000),
    });
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(command.evidence.unwrap().at_ms, NOW - 1_000);
    assert_eq!(command.issued_at_ms, NOW + 40_000);
    assert_eq!(edge_telemetry(&mut rig).late, 1);
}

#[test]
fn how_an_upstream_does_now_says_nothing_of_late_failures() {
    let mut rig = Rig::ready();
    // Others are served now, so live failures are the client's fault.
    let mut served = rig.batch("edge-1", Vec::new());
    served.counts = vec![requests(OTHER_CLIENT, NOW, 100)];
    rig.telemetry(OTHER_CLIENT, served);
    let late = rig.batch("edge-1", failures("203.0.113.16", NOW, 50));
    let effects = rig.handle(Event::Batch {
        partition: 2,
        batch: late,
        received_ms: NOW,
        age_ms: Some(0),
    });
    assert_eq!(effects, [], "nobody else was served then, as far as is known");
    assert_eq!(rig.decider.stats(rig.now).excused, 50);
    let live = rig.batch("edge-1", failures(CLIENT, NOW, 50));
    assert_eq!(written(&rig.telemetry(CLIENT, live)).len(), 1);
}

#[test]
fn a_deploy_that_lost_its_assets_bans_no_visitor_of_a_live_site_and_a_scanner_is_banned() {
    let mut rig = Rig::ready();
    let reported = |rig: &mut Rig, client: &str, paths: &[String]| {
        let at_ms = rig.now.wall_ms;
        let event = |path: &String| TelemetryEvent {
            path: path.clone(),
            ..error(client, at_ms)
        };
        let mut batch = rig.batch("edge-1", paths.iter().map(event).collect());
        let errors = u32::try_from(paths.len()).unwrap();
        batch.counts = vec![SourceCount {
            errors,
            ..requests(client, at_ms, errors + 1)
        }];
        written(&rig.telemetry(client, batch)).len()
    };
    let mut bans = (0, 0);
    for second in 0..20 {
        for visitor in 0..30 {
            let paths: Vec<_> = (0..6).map(|n| format!("/assets/{second}-{n}.js")).collect();
            bans.0 += reported(&mut rig, &format!("198.51.100.{visitor}"), &paths);
        }
        let paths: Vec<_> = (0..6).map(|n| format!("/backup-{second}-{n}.zip")).collect();
        bans.1 += reported(&mut rig, "203.0.113.99", &paths);
        rig.pass(1_000);
    }
    assert_eq!(bans, (0, 1));
    let excused = rig
        .decider
        .explain("198.51.100.7".parse().unwrap(), rig.now)
        .excused;
    let expected = Excused {
        count: 120,
        status: 404,
        at_ms: NOW + 19_000,
    };
    assert_eq!(excused, Some(expected));
}

fn waf_batch(client: &str, at_ms: i64, n: usize) -> WafBatch {
    let event = WafEvent {
        client: client.parse().unwrap(),
        at_ms,
        learned_from: LearnedFrom::Peer,
        outcome: WafOutcome::Blocked,
        rules: vec![WafRule {
            id: 942_100,
            severity: Some(Severity::Critical),
        }],
        anomaly_score: None,
        message: "SQL injection".to_owned(),
        uri: "/".to_owned(),
        host: "example.org".to_owned(),
    };
    WafBatch {
        edge_id: "edge-1".to_owned(),
        boot_id: Uuid::from_u128(1),
        sequence: 1,
        sent_at_ms: NOW,
        dropped_before: 0,
        events: vec![event; n],
    }
}

#[test]
fn five_events_of_a_firewall_ban() {
    let mut rig = Rig::ready();
    let waf = |n| Event::Waf {
        batch: waf_batch(CLIENT, NOW, n),
        received_ms: NOW,
    };
    assert_eq!(rig.handle(waf(4)), []);
    let [command] = &written(&rig.handle(waf(1)))[..] else {
        panic!()
    };
    assert_eq!(command.reason, Reason::WafFlood);
    assert_eq!(command.note, "5 WAF events in 60s");
    assert_eq!(rig.decider.stats(rig.now).waf_events, 5);
}

fn service_batch(class: ServiceClass, service: &str, at_ms: i64, n: usize) -> Event {
    let event = ServiceEvent {
        client: CLIENT.parse().unwrap(),
        at_ms,
        learned_from: LearnedFrom::Peer,
        class,
        service: service.to_owned(),
        kind: "failed-password".to_owned(),
        user: String::new(),
    };
    Event::Service {
        batch: ServiceBatch {
            edge_id: "edge-1".to_owned(),
            boot_id: Uuid::from_u128(1),
            sequence: 1,
            sent_at_ms: NOW,
            dropped_before: 0,
            events: vec![event; n],
        },
        received_ms: NOW,
    }
}

fn guard_services(config: &mut Config) {
    let presets = ["ssh-bruteforce", "mail-bruteforce"].map(|name| {
        let name: RuleName = name.parse().unwrap();
        RuleConfig::preset(name.into()).unwrap()
    });
    config.detect.rules.extend(presets);
}

#[test]
fn events_that_no_rule_counts_are_told_and_seen() {
    let mut rig = Rig::ready();
    assert_eq!(
        rig.handle(service_batch(ServiceClass::AuthFailure, "sshd", NOW, 50)),
        []
    );
    let stats = rig.decider.stats(rig.now);
    assert_eq!(
        (
            stats.service_events,
            stats.service_uncounted,
            stats.service_too_old
        ),
        (50, 50, 0)
    );
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!(facts.events.len(), 50);
}

#[test]
fn five_logins_that_sshd_refused_ban_and_other_services_and_events_have_rules_of_their_own() {
    let mut rig = Rig::ready_with(guard_services);
    for (class, service, n) in [
        (ServiceClass::AuthFailure, "sshd", 4),
        (ServiceClass::Scan, "sshd", 9),
        (ServiceClass::Abuse, "postfix", 9),
        (ServiceClass::AuthFailure, "vsftpd", 4),
    ] {
        assert_eq!(rig.handle(service_batch(class, service, NOW, n)), [], "{service}");
    }
    let effects = rig.handle(service_batch(ServiceClass::AuthFailure, "sshd", NOW, 1));
    let [command] = &written(&effects)[..] else {
        panic!()
    };
    assert_eq!(command.reason.name(), "ssh-bruteforce");
    assert_eq!(command.note, "5 auth failures in 600s");
    assert_eq!(rig.decider.stats(rig.now).service_events, 27);
}

#[test]
fn an_attempt_as_old_as_the_longest_window_is_ignored() {
    let mut rig = Rig::ready_with(guard_services);
    let old = service_batch(ServiceClass::AuthFailure, "sshd", NOW - 600_000, 9);
    assert_eq!(rig.handle(old), []);
    assert_eq!(rig.decider.stats(rig.now).service_too_old, 9);
    let young = service_batch(ServiceClass::AuthFailure, "sshd", NOW - 599_999, 5);
    assert_eq!(written(&rig.handle(young)).len(), 1);
}

#[test]
fn an_event_of_a_firewall_as_old_as_the_rules_window_is_ignored() {
    let mut rig = Rig::ready();
    let effects = rig.handle(Event::Waf {
        batch: waf_batch(CLIENT, NOW - 60_000, 5),
        received_ms: NOW,
    });
    assert_eq!(effects, []);
    let stats = rig.decider.stats(rig.now);
    assert_eq!((stats.waf_events, stats.waf_too_old), (5, 5));
    let effects = rig.handle(Event::Waf {
        batch: waf_batch(CLIENT, NOW - 59_999, 5),
        received_ms: NOW,
    });
    assert_eq!(written(&effects).len(), 1);
}

#[test]
fn an_event_of_a_firewall_about_another_orchestrators_client_leads_to_nothing() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::None);
    let effects = rig.handle(Event::Waf {
        batch: waf_batch(CLIENT, NOW, 5),
        received_ms: NOW,
    });
    assert_eq!(effects, []);
}

#[test]
fn quiet_clients_are_forgotten_once_an_interval() {
    let mut rig = Rig::ready();
    rig.tick();
    rig.errors("edge-1", CLIENT, 1);
    rig.pass(299_999);
    rig.tick();
    assert_eq!(rig.decider.stats(rig.now).tracked_sources, 1);
    rig.pass(1);
    rig.tick();
    assert_eq!(rig.decider.stats(rig.now).tracked_sources, 0);
}
