//! A fleet of several releases: made-up older and newer edges beside one of this release.

use std::{net::IpAddr, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    sign::{Command, Opened, Trust},
    subjects::{self, PARTITIONS},
    wire::{self, Action, Kind, Layer, Message, Reason, Scope, SourceCount},
};
use secbeat_daemon::time::now_ms;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

/// Telemetry of a release that reports no user agents.
#[derive(Serialize, Deserialize)]
struct OlderBatch {
    edge_id: String,
    boot_id: Uuid,
    sequence: u64,
    sent_at_ms: i64,
    dropped_before: u64,
    upstreams: Vec<String>,
    events: Vec<OlderEvent>,
    counts: Vec<SourceCount>,
}

#[derive(Clone, Serialize, Deserialize)]
struct OlderEvent {
    client: IpAddr,
    at_ms: i64,
    status: u16,
    upstream: u16,
    /// The number of the variant.
    learned_from: u8,
    method: String,
    path: String,
    host: String,
}

/// A ban as a release reads it that knows no evidence.
#[derive(Serialize, Deserialize)]
struct OlderBan {
    id: Uuid,
    action: Action,
    target: Prefix,
    reason: Reason,
    note: String,
    scope: Scope,
    strikes: u32,
    issued_at_ms: i64,
    expires_at_ms: i64,
    issuer: String,
    layer: Layer,
    epoch: u64,
}

impl Message for OlderBatch {
    const KIND: Kind = Kind::Telemetry;
}

impl Message for OlderBan {
    const KIND: Kind = Kind::Ban;
}

impl Command for OlderBan {}

/// 50 errors of `client`, whose address was learned in the way with this number.
fn errors(edge_id: &str, client: IpAddr, learned_from: u8) -> OlderBatch {
    let error = OlderEvent {
        client,
        at_ms: now_ms(),
        status: 404,
        upstream: 0,
        learned_from,
        method: "GET".to_owned(),
        path: "/missing".to_owned(),
        host: "example.org".to_owned(),
    };
    OlderBatch {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::now_v7(),
        sequence: 0,
        sent_at_ms: now_ms(),
        dropped_before: 0,
        upstreams: vec!["site".to_owned()],
        events: vec![error; 50],
        counts: Vec::new(),
    }
}

fn publish(fleet: &Fleet, edge_id: &str, client: IpAddr, telemetry: &[u8]) {
    let partition = Prefix::single(client).partition(PARTITIONS);
    let subject = subjects::telemetry(edge_id, partition);
    fleet.nats.publish(&subject, telemetry);
}

/// What the bucket says of `client`, as the older release reads it.
fn read_ban(fleet: &Fleet, client: IpAddr) -> Opened<OlderBan> {
    let key = Prefix::single(client).key();
    let value = fleet.host.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let client = async_nats::connect(fleet.nats.url()).await.unwrap();
            let context = async_nats::jetstream::new(client);
            let bucket = context.get_key_value(subjects::BANS_BUCKET).await.unwrap();
            bucket.get(key).await.unwrap()
        })
    });
    Trust::default().open(&value.unwrap()).unwrap()
}

/// Publishes what the edge of this release says of itself as another edge's, which says of what it reads `speaks`.
fn say(fleet: &Fleet, id: &str, speaks: Option<&Value>) {
    let mut record = edge(fleet, "edge-1").unwrap()["record"].clone();
    record["edge_id"] = json!(id);
    match speaks {
        Some(speaks) => record["speaks"] = speaks.clone(),
        None => drop(record.as_object_mut().unwrap().remove("speaks")),
    }
    fleet
        .nats
        .publish(&subjects::presence(id), record.to_string().as_bytes());
}

fn ask(fleet: &Fleet, what: &str) -> Vec<Value> {
    let output = fleet.cli("orchestrator", &[what, "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn edge(fleet: &Fleet, id: &str) -> Option<Value> {
    ask(fleet, "edges").into_iter().find(|edge| edge["edge_id"] == id)
}

fn await_edge(fleet: &Fleet, id: &str) -> Value {
    wait_until(&format!("{id} is known"), PATIENCE, || edge(fleet, id))
}

fn number(fleet: &Fleet, of: &str) -> u64 {
    fleet
        .orchestrator_stats()
        .and_then(|stats| stats[of].as_u64())
        .unwrap_or(0)
}

#[test]
fn what_an_older_edge_reports_bans_and_it_reads_the_ban() {
    let fleet = Fleet::start(&Options::default());
    let attacker = Family::V4.attacker();
    let telemetry = wire::encode(&errors("older", attacker, 0)).unwrap();
    publish(&fleet, "older", attacker, &telemetry);
    fleet.await_ban(attacker);

    let Opened {
        command: ban,
        skipped,
        ..
    } = read_ban(&fleet, attacker);
    assert_eq!(ban.target, Prefix::single(attacker));
    assert_eq!((ban.reason, ban.layer), (Reason::ErrorFlood, Layer::Kernel));
    assert_eq!(skipped, 1, "the evidence");
    assert_eq!(
        (number(&fleet, "garbage"), number(&fleet, "skipped_parts")),
        (0, 0)
    );
}

#[test]
fn what_a_newer_edge_reports_bans_as_far_as_it_is_understood() {
    let fleet = Fleet::start(&Options::default());
    let (attacker, visitor) = (Family::V4.attacker(), Family::V4.visitor());
    // The last byte of what has no parts is their number.
    let with_part = |edge_id, client, learned_from, tag| {
        let mut bytes = wire::encode(&errors(edge_id, client, learned_from)).unwrap();
        *bytes.last_mut().unwrap() = 1;
        bytes.extend([tag, 0, 1, 0, 0, 0, 42]);
        bytes
    };
    publish(&fleet, "newer", visitor, &with_part("newer", visitor, 0, 4));
    wait_until(
        "what must not be used without a part is refused",
        PATIENCE,
        || number(&fleet, "garbage") == 1,
    );
    publish(&fleet, "newer", attacker, &with_part("newer", attacker, 7, 3));
    let bans = wait_until("the ban is in the ledger", PATIENCE, || {
        Some(ask(&fleet, "bans")).filter(|bans| !bans.is_empty())
    });
    let [ban] = &bans[..] else { panic!("{bans:?}") };
    assert_eq!(ban["target"], format!("{attacker}/32"));
    // The kernel may not see an address that was learned in a way that nobody here knows.
    assert_eq!(ban["layer"], "l7");
    assert_eq!(
        (number(&fleet, "garbage"), number(&fleet, "skipped_parts")),
        (1, 1)
    );
}

#[test]
fn edges_that_cannot_read_bans_are_shown() {
    let fleet = Fleet::start(&Options::default());
    let this = await_edge(&fleet, "edge-1");
    assert_eq!(this.get("cannot_read"), None, "{this}");
    let mut speaks = this["record"]["speaks"].clone();
    say(&fleet, "silent", None);
    assert_eq!(
        await_edge(&fleet, "silent")["cannot_read"],
        json!([
            "sealed",
            "ban",
            "lift",
            "allow",
            "disallow",
            "interest",
            "sources",
            "signatures",
            "detection",
            "feed"
        ])
    );
    speaks["kinds"]["ban"] = json!([]);
    speaks["kinds"]["list"] = json!([2]);
    say(&fleet, "other", Some(&speaks));
    let other = await_edge(&fleet, "other");
    assert_eq!(other.get("cannot_read"), None, "{other}");
    speaks["kinds"].as_object_mut().unwrap().remove("disallow");
    say(&fleet, "lacking", Some(&speaks));
    assert_eq!(await_edge(&fleet, "lacking")["cannot_read"], json!(["disallow"]));
    let table = fleet.cli("orchestrator", &["edges"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("CANNOT READ disallow"), "{table}");
}
