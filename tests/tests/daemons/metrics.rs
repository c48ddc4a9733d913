//! What both daemons tell Prometheus, and the rules that ship with SecBeat.

use std::{collections::BTreeSet, time::Duration};

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    prometheus::{Prometheus, promtool},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const PORTS: [u16; 2] = [8080, 3030];

fn scraped(fleet: &Fleet, port: u16) -> String {
    let answer = fleet.api(port, "/metrics").unwrap();
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

/// The names of metrics in a scrape.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next())
}

/// The names in the tables of docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `secbeat_"));
    let names = rows.filter_map(|row| row.split('`').nth(1));
    names
        .map(|name| name.split('{').next().unwrap().to_owned())
        .collect()
}

#[test]
fn what_ships_for_prometheus_is_right_and_each_alert_fires_when_it_should() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
}

/// The queries of the dashboard that ships.
fn dashboard_queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(include_str!("../../../packaging/grafana/secbeat.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn both_daemons_are_scraped_and_every_metric_is_documented() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    let prometheus = Prometheus::start(&fleet.host);
    let value = |expression: &str| prometheus.query(expression).first().map(|(_, value)| *value);
    wait_until("both are scraped", PATIENCE, || value("sum(up)") == Some(2.0));
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    let _ = fleet
        .attacking(Family::V4)
        .with_timeout(Duration::from_millis(300))
        .get("http://198.51.100.1:8443/");
    for expression in [
        "secbeat_orchestrator_bans == 1",
        "secbeat_edge_bans == 1",
        "secbeat_orchestrator_findings_total{rule=\"error-flood\",outcome=\"banned\"} == 1",
        "secbeat_orchestrator_edge_up{edge=\"edge-1\"} == 1",
        "secbeat_orchestrator_acknowledgements_total{edge=\"edge-1\",outcome=\"enforced\"} == 1",
        "secbeat_orchestrator_enforcement_seconds{edge=\"edge-1\",percentile=\"99\"} < 5",
        "secbeat_orchestrator_edge_requests_total{edge=\"edge-1\"} >= 50",
        "secbeat_orchestrator_partitions_owned == 16",
        "secbeat_edge_packets_total{verdict=\"banned\"} > 0",
        "secbeat_edge_xdp_attached{mode=\"native\"} == 1",
    ] {
        wait_until(expression, PATIENCE, || value(expression).is_some());
    }
    let documented = documented();
    let queries = dashboard_queries();
    assert!(queries.len() > 20, "{queries:?}");
    for query in queries {
        // Prometheus refuses what is no query; that a metric exists it does not know.
        let _ = prometheus.query(&query);
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("secbeat_")) {
            assert!(
                documented.contains(name),
                "the dashboard shows {name}, which nobody tells"
            );
        }
    }
    assert_eq!(
        prometheus.query("ALERTS{alertstate=\"firing\"}"),
        [],
        "all is well"
    );
    for port in PORTS {
        let text = scraped(&fleet, port);
        promtool(&["check", "metrics"], &text);
        let told: BTreeSet<_> = names(&text).map(str::to_owned).collect();
        assert!(told.len() > 20, "{text}");
        let missing: Vec<_> = told.difference(&documented).collect();
        assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    }
}
