//! An edge that was taken over: what it says bans nobody on other edges, where edges do not trust each other.

use std::{net::IpAddr, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    subjects::{self, PARTITIONS},
    wire::{self, LearnedFrom, TelemetryBatch, TelemetryEvent},
};
use secbeat_daemon::{credentials::Role, time::now_ms};
use secbeat_tests::lab::{
    client::Client,
    fleet::{Family, Fleet, Options},
    intruder::Intruder,
    wait::wait_until,
};
use serde_json::Value;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);

fn fleet(agreeing_edges: u32) -> Fleet {
    Fleet::start(&Options {
        secured: true,
        ban: "1h",
        more_orchestrator_config: format!(
            "max_per_minute_per_edge = 3\n[detect]\nagreeing_edges = {agreeing_edges}\n"
        ),
        ..Options::default()
    })
}

/// 50 errors of `client` that never were, as the edge `liar` reports them.
fn lies(client: IpAddr, sequence: u64) -> TelemetryBatch {
    let error = TelemetryEvent {
        client,
        at_ms: now_ms(),
        status: 404,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        method: "GET".to_owned(),
        path: "/missing".to_owned(),
        host: "example.org".to_owned(),
        user_agent: "liar".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    };
    TelemetryBatch {
        edge_id: "liar".to_owned(),
        boot_id: Uuid::from_u128(1),
        sequence,
        sent_at_ms: now_ms(),
        dropped_before: 0,
        upstreams: vec!["site".to_owned()],
        events: vec![error; 50],
        counts: Vec::new(),
    }
}

/// Reports lies about these clients, the first as the batch `sequence`, with the credentials of the edge `liar`.
fn lie(fleet: &mut Fleet, clients: &[IpAddr], sequence: u64) {
    let path = fleet.nats.fleet().join("credentials/liar.toml");
    if !path.exists() {
        assert_eq!(fleet.nats.enroll("liar"), path);
    }
    Intruder::with(&fleet.host, &path, Role::Edge, async |intruder| {
        for (client, sequence) in clients.iter().zip(sequence..) {
            let partition = Prefix::host(*client).partition(PARTITIONS);
            let batch = wire::encode(&lies(*client, sequence)).unwrap();
            let subject = subjects::telemetry("liar", partition);
            intruder.client.publish(subject, batch.into()).await.unwrap();
        }
        intruder.client.flush().await.unwrap();
    });
}

/// The bans in the ledger: targets, and the edges that enforce each, if not all.
fn bans(fleet: &Fleet) -> Vec<(String, Option<Vec<String>>)> {
    let output = fleet.cli("orchestrator", &["bans", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let bans: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let edges = |ban: &Value| serde_json::from_value(ban["edges"].clone()).unwrap();
    bans.iter()
        .map(|ban| (ban["target"].as_str().unwrap().to_owned(), edges(ban)))
        .collect()
}

fn await_ban(fleet: &Fleet, address: IpAddr, edges: Option<&[&str]>) {
    let wanted = (
        Prefix::host(address).to_string(),
        edges.map(|edges| edges.iter().map(ToString::to_string).collect()),
    );
    wait_until(&format!("the ban {wanted:?}"), PATIENCE, || {
        bans(fleet).contains(&wanted)
    });
}

#[test]
fn a_compromised_edge_bans_no_visitor_of_the_others() {
    let mut fleet = fleet(2);
    let visitor = Family::V4.visitor();
    let attacker = Family::V4.attacker();
    // One that has followed a dead link, too.
    let mut browser = Client::new(&fleet.visitor);
    let site = format!("http://{}", Family::V4.edge_for_visitor());
    assert_eq!(browser.get(&format!("{site}/missing")).unwrap(), 404);
    lie(&mut fleet, &[visitor], 0);
    await_ban(&fleet, visitor, Some(&["liar"]));
    assert_eq!(browser.get(&site).unwrap(), 200);
    assert!(fleet.ban_of(visitor).is_none());

    // What the other edge has seen itself it need not be told.
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(attacker);
    await_ban(&fleet, attacker, Some(&["edge-1"]));
    let why = fleet.cli("orchestrator", &["why", &attacker.to_string()]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("only on edge-1"), "{why}");
    // Two that agree.
    lie(&mut fleet, &[attacker], 1);
    await_ban(&fleet, attacker, None);

    // An operator's word is enough.
    let output = fleet.cli("orchestrator", &["ban", &visitor.to_string()]);
    assert!(output.status.success(), "{output:?}");
    await_ban(&fleet, visitor, None);
    fleet.await_ban(visitor);
}

#[test]
fn an_edges_reports_ban_only_so_many_a_minute() {
    let mut fleet = fleet(1);
    let victims: Vec<IpAddr> = (1..=5).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    lie(&mut fleet, &victims, 0);
    wait_until("all that it said was judged", PATIENCE, || {
        fleet
            .orchestrator_stats()
            .is_some_and(|stats| stats["engine"]["findings"] == 5 || stats["findings"] == 5)
    });
    assert_eq!(bans(&fleet).len(), 3);
    let attacker = Family::V4.attacker();
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(attacker);
    assert_eq!(bans(&fleet).len(), 4, "another edge's reports count as before");
}
