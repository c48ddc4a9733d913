//! The ways of bans, as a collector of traces sees them.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use secbeat_common::prefix::Prefix;
use secbeat_tests::lab::{
    collector::{self, Collector, Received, attribute},
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(10);
/// Protected on the edge alone.
const TRUSTED: &str = "192.0.2.77/32";

fn fleet(environment: &[(&'static str, &'static str)]) -> Fleet {
    Fleet::start(&Options {
        environment: environment.to_vec(),
        more_config: format!("[protect]\nnetworks = [\"{TRUSTED}\"]\n"),
        ..Options::default()
    })
}

/// The id of the ban of `target`.
fn id_of(fleet: &Fleet, target: &str) -> Uuid {
    let output = fleet.cli("orchestrator", &["bans", "-o", "json"]);
    let bans: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let ban = bans.iter().find(|ban| ban["target"] == target).unwrap();
    ban["command_id"].as_str().unwrap().parse().unwrap()
}

fn ban(fleet: &Fleet, target: &str) {
    let output = fleet.cli("orchestrator", &["ban", target]);
    assert!(output.status.success(), "{output:?}");
}

/// The spans of the ban `id`, once there are so many.
fn await_trace(collector: &Collector, id: Uuid, spans: usize) -> Vec<Received> {
    wait_until("the collector has the whole trace", SOON, || {
        let trace = collector.trace(id.as_bytes());
        (trace.len() >= spans).then_some(trace)
    })
}

fn names(trace: &[Received]) -> Vec<(&str, &str)> {
    let names = trace
        .iter()
        .map(|received| (&*received.service, &*received.span.name));
    names.collect()
}

/// That the first span spans what the orchestrator did, and all others are its parts.
fn assert_one_whole(trace: &[Received]) {
    let whole = &trace[0].span;
    assert!(whole.parent_span_id.is_empty(), "{whole:?}");
    for Received { span, service } in &trace[1..] {
        assert_eq!(span.parent_span_id, whole.span_id, "{span:?}");
        assert!(
            span.start_time_unix_nano >= whole.start_time_unix_nano,
            "{span:?}"
        );
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        if service == "secbeat-orchestrator" {
            assert!(span.end_time_unix_nano <= whole.end_time_unix_nano, "{span:?}");
        }
    }
}

#[test]
fn a_bans_way_is_one_trace_from_the_last_request_to_the_kernel() {
    let fleet = fleet(&[collector::ENDPOINT, collector::SOON]);
    let collector = Collector::start(&fleet.host);
    let family = Family::V4;
    fleet.make_errors(family, 50);
    fleet.await_ban(family.attacker());
    let target = Prefix::host(family.attacker()).to_string();
    let trace = await_trace(&collector, id_of(&fleet, &target), 5);
    assert_eq!(
        names(&trace),
        [
            ("secbeat-orchestrator", "ban"),
            ("secbeat-orchestrator", "report"),
            ("secbeat-orchestrator", "detect"),
            ("secbeat-orchestrator", "publish"),
            ("secbeat-edge", "enforce"),
        ]
    );
    assert_one_whole(&trace);
    let of_ban = |key| attribute(&trace[0].span.attributes, key).unwrap();
    assert_eq!(of_ban("secbeat.target"), target);
    assert_eq!(of_ban("secbeat.reason"), "error-flood");
    assert_eq!(of_ban("secbeat.note"), "50 errors in 60s");
    // Each begins where the one before ends, and the edge hears of what is being published.
    for (before, after) in [(1, 2), (2, 3)] {
        let (before, after) = (&trace[before].span, &trace[after].span);
        assert_eq!(before.end_time_unix_nano, after.start_time_unix_nano);
    }
    assert!(
        trace
            .iter()
            .all(|received| received.span.status.as_ref().unwrap().code() == StatusCode::Unset)
    );
}

#[test]
fn a_ban_that_an_edge_refuses_says_so_in_its_trace() {
    let fleet = fleet(&[collector::ENDPOINT, collector::SOON]);
    let collector = Collector::start(&fleet.host);
    ban(&fleet, TRUSTED);
    let trace = await_trace(&collector, id_of(&fleet, TRUSTED), 3);
    assert_eq!(
        names(&trace),
        [
            ("secbeat-orchestrator", "ban"),
            ("secbeat-orchestrator", "publish"),
            ("secbeat-edge", "enforce"),
        ]
    );
    assert_one_whole(&trace);
    let status = trace[2].span.status.as_ref().unwrap();
    assert_eq!(status.code(), StatusCode::Error);
    assert!(status.message.contains("allowlisted"), "{status:?}");
    assert_eq!(fleet.ban_of([192, 0, 2, 77].into()), None);
}

#[test]
fn what_is_not_sent_yet_is_sent_at_a_daemons_end() {
    let mut fleet = fleet(&[collector::ENDPOINT]);
    let collector = Collector::start(&fleet.host);
    let attacker = Family::V4.attacker();
    ban(&fleet, &attacker.to_string());
    fleet.await_ban(attacker);
    let id = id_of(&fleet, &Prefix::host(attacker).to_string());
    fleet.stop();
    assert_eq!(await_trace(&collector, id, 3).len(), 3);
}

#[test]
fn bans_wait_for_no_collector() {
    for environment in [
        // Nobody listens.
        vec![collector::ENDPOINT, collector::SOON],
        // No URL.
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318")],
        vec![
            collector::ENDPOINT,
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/there/is/none"),
        ],
    ] {
        let fleet = fleet(&environment);
        fleet.make_errors(Family::V4, 50);
        fleet.await_ban(Family::V4.attacker());
    }
    // One that takes what it is sent, and does not answer.
    let mut fleet = fleet(&[collector::ENDPOINT, collector::SOON]);
    let _silent = collector::silent(&fleet.host);
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    fleet.stop();
}
