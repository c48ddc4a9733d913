//! What the orchestrator knows of its edges: who has enforced a ban and when, who is there, and who drifts.

use std::{
    net::IpAddr,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use secbeat_common::{
    prefix::Prefix,
    sign::Signer,
    subjects,
    wire::{Action, BlockCommand, Layer, Reason, Scope},
};
use secbeat_daemon::time::now_ms;
use secbeat_edge::kernel::{BanMaps, Pins};
use secbeat_tests::lab::{
    fleet::{Fleet, Options},
    further_edge::FurtherEdge,
    wait::wait_until,
};
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);
/// A ban counts in digests 10 to 20 s after its issue, and edges say what they hold every 5 s.
const SETTLING: Duration = Duration::from_secs(40);

fn start(more: &str) -> Fleet {
    Fleet::start(&Options {
        ban: "1h",
        more_orchestrator_config: more.to_owned(),
        ..Options::default()
    })
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn ask(fleet: &Fleet, what: &str) -> Value {
    serde_json::from_str(&done(&fleet.cli("orchestrator", &[what, "-o", "json"]))).unwrap()
}

fn edge(fleet: &Fleet, id: &str) -> Option<Value> {
    let edges = ask(fleet, "edges");
    let found = edges
        .as_array()
        .unwrap()
        .iter()
        .find(|edge| edge["edge_id"] == id);
    found.cloned()
}

fn await_state(fleet: &Fleet, id: &str, state: &str) -> Value {
    wait_until(&format!("{id} is {state}"), PATIENCE, || {
        edge(fleet, id).filter(|edge| edge["state"] == state)
    })
}

/// Waits until `id`'s digest is of `bans` bans and agrees with the ledger's.
fn await_agreement(fleet: &Fleet, id: &str, bans: u64) -> Value {
    wait_until(&format!("{id} agrees on {bans} bans"), SETTLING, || {
        edge(fleet, id).filter(|edge| {
            edge["agreement"]["verdict"] == "agrees" && edge["record"]["bans"]["fleet"]["bans"] == bans
        })
    })
}

fn await_commands(fleet: &Fleet, what: &str, settled: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, PATIENCE, || {
        let view = ask(fleet, "propagation");
        settled(&view["commands"]).then_some(view)
    })
}

fn maps(folder: &Path) -> BanMaps {
    BanMaps::open(&Pins::at(folder)).unwrap()
}

#[test]
fn a_ban_is_acknowledged_by_every_edge_and_its_way_is_measured() {
    let fleet = start("");
    let further = FurtherEdge::start(&fleet, "edge-2", 4096, "");
    further.await_synced();
    for id in ["edge-1", "edge-2"] {
        await_state(&fleet, id, "up");
    }
    let target: IpAddr = "192.0.2.77".parse().unwrap();
    done(&fleet.cli("orchestrator", &["ban", "192.0.2.77", "--duration", "1h"]));
    let view = await_commands(&fleet, "both edges enforce it", |commands| {
        commands[0]["enforced"]
            .as_array()
            .is_some_and(|edges| edges.len() == 2)
    });
    assert!(fleet.ban_of(target).is_some() && further.ban_of(target).is_some());
    let command = &view["commands"][0];
    assert_eq!(
        (
            &command["target"],
            &command["pending"],
            &command["refused"],
            &command["failed"]
        ),
        (&json!("192.0.2.77/32"), &json!([]), &json!([]), &json!([]))
    );
    for (edge, answered) in view["edges"]
        .as_array()
        .unwrap()
        .iter()
        .zip(command["enforced"].as_array().unwrap())
    {
        assert_eq!(
            (&edge["edge_id"], &edge["count"]),
            (&answered["edge_id"], &json!(1))
        );
        let after = answered["after_ms"].as_u64().unwrap();
        assert!(after < 1_000, "on this very machine it took {after} ms");
        for figure in ["p50_ms", "p95_ms", "p99_ms", "max_ms", "last_ms"] {
            assert_eq!(edge[figure], after, "{figure} of one time");
        }
        assert_eq!(edge["clock_off"], 0, "all daemons share a clock");
    }
    let table = done(&fleet.cli("orchestrator", &["propagation"]));
    assert!(
        table.contains("192.0.2.77/32") && table.contains("edge-2"),
        "{table}"
    );

    // A connection brings every ban again, but nobody waits to hear of them again.
    done(&fleet.cli("orchestrator", &["ban", "192.0.2.78", "--duration", "1h"]));
    let view = await_commands(&fleet, "the next ban is enforced", |commands| {
        commands[0]["target"] == "192.0.2.78/32" && commands[0]["pending"] == json!([])
    });
    let counts: Vec<_> = view["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| &edge["count"])
        .collect();
    assert_eq!(counts, [2, 2]);
}

#[test]
fn after_an_outage_of_nats_only_new_bans_are_acknowledged() {
    let mut fleet = start("");
    await_state(&fleet, "edge-1", "up");
    for n in 0..50 {
        done(&fleet.cli(
            "orchestrator",
            &["ban", &format!("192.0.2.{n}"), "--duration", "1h"],
        ));
    }
    await_commands(&fleet, "all are enforced", |commands| {
        let commands = commands.as_array().unwrap();
        commands.len() == 50 && commands.iter().all(|command| command["pending"] == json!([]))
    });
    fleet.nats.restart();
    wait_until("the edge has read the bans again", PATIENCE, || {
        fleet.edge_log().matches("read the bans in force").count() == 2
    });
    // An acknowledgement is lost if the orchestrator does not listen again yet when it is sent.
    let mut new = 99..120_u8;
    let view = wait_until("a new ban is acknowledged", PATIENCE, || {
        let target = format!("192.0.2.{}", new.next().unwrap());
        let banned = fleet.cli("orchestrator", &["ban", &target, "--duration", "1h"]);
        let is_acknowledged = |view: &Value| {
            let command = &view["commands"][0];
            command["target"] == format!("{target}/32") && command["pending"] == json!([])
        };
        let mut asked = (0..20).map(|_| ask(&fleet, "propagation"));
        banned
            .status
            .success()
            .then(|| asked.find(is_acknowledged))
            .flatten()
    });
    let acknowledged = view["edges"][0]["count"].as_u64().unwrap();
    let banned = 50 + u64::from(new.start - 99);
    assert!((51..=banned).contains(&acknowledged), "{view:#}");
}

#[test]
fn a_kernel_map_that_was_emptied_by_hand_is_full_again_and_no_drift_lasts() {
    let fleet = start("[edges]\ndrift_grace = \"1s\"");
    await_state(&fleet, "edge-1", "up");
    let targets: Vec<Prefix> = (0..20).map(|n| format!("192.0.2.{n}").parse().unwrap()).collect();
    for target in &targets {
        done(&fleet.cli("orchestrator", &["ban", &target.to_string(), "--duration", "1h"]));
    }
    let mut maps = maps(fleet.pin_folder());
    let all_held = |maps: &BanMaps| targets.iter().all(|target| maps.get(target).unwrap().is_some());
    wait_until("all are banned", PATIENCE, || all_held(&maps));
    await_agreement(&fleet, "edge-1", 20);
    for target in &targets {
        maps.remove(target).unwrap();
    }
    let emptied = Instant::now();
    wait_until("all are banned again", PATIENCE, || all_held(&maps));
    assert!(
        emptied.elapsed() < Duration::from_secs(5),
        "reconciliation comes every second"
    );
    let seen = edge(&fleet, "edge-1").unwrap()["record"]["at_ms"]
        .as_i64()
        .unwrap();
    let edge = wait_until("the edge says what it holds once more", PATIENCE, || {
        edge(&fleet, "edge-1").filter(|edge| edge["record"]["at_ms"].as_i64().unwrap() > seen)
    });
    assert_eq!(
        (
            &edge["agreement"]["verdict"],
            &edge["drifting_since"],
            &edge["record"]["bans"]["unwritten"]
        ),
        (&json!("agrees"), &Value::Null, &json!(0)),
        "{edge:#}"
    );
}

#[test]
fn a_ban_for_labels_is_enforced_and_awaited_where_edges_have_them() {
    let fleet = start("");
    let web = FurtherEdge::start(&fleet, "edge-2", 4096, "[labels]\nrole = \"web\"");
    web.await_synced();
    for id in ["edge-1", "edge-2"] {
        await_state(&fleet, id, "up");
    }
    let order = ["ban", "192.0.2.77", "--label", "role=web"];
    assert_eq!(
        done(&fleet.cli("orchestrator", &order)),
        "banned 192.0.2.77/32 for 4h on edges with role=web: edge-2\n"
    );
    let view = await_commands(&fleet, "the edge with the label enforces it", |commands| {
        commands[0]["enforced"][0]["edge_id"] == "edge-2"
    });
    assert_eq!(view["commands"][0]["pending"], json!([]));
    let target: IpAddr = "192.0.2.77".parse().unwrap();
    assert!(fleet.ban_of(target).is_none() && web.ban_of(target).is_some());
    assert_eq!(ask(&fleet, "bans")[0]["labels"], json!([{ "role": "web" }]));
    for (edge, expected) in [("edge-1", 0), ("edge-2", 1)] {
        let listed = done(&fleet.cli("orchestrator", &["bans", "--edge", edge, "-o", "json"]));
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), expected, "{edge}");
    }
    let why = done(&fleet.cli("orchestrator", &["why", "192.0.2.77"]));
    assert!(why.contains(" left, only on edges role=web; "), "{why}");
    for (label, edges) in [("role=web", 1), ("role=db", 0)] {
        let of_label = |command: &str| -> Value {
            let told = fleet.cli("orchestrator", &[command, "--label", label, "-o", "json"]);
            serde_json::from_str(&done(&told)).unwrap()
        };
        let (status, audit) = (of_label("status"), of_label("audit"));
        assert_eq!(status["fleet"].as_array().map(Vec::len), Some(edges), "{status}");
        assert_eq!(audit.as_array().map(Vec::len), Some(edges), "{audit}");
    }
}

/// Writes a ban to the bucket as another orchestrator would, issued a minute ago.
fn ban_elsewhere(fleet: &Fleet, target: &str) {
    let command = BlockCommand {
        id: Uuid::now_v7(),
        action: Action::Block,
        list: None,
        target: target.parse().unwrap(),
        reason: Reason::Manual,
        note: "put there by hand".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: now_ms() - 60_000,
        expires_at_ms: now_ms() + 3_600_000,
        issuer: "somebody".to_owned(),
        layer: Layer::Kernel,
        epoch: 0,
    };
    let bytes = Signer::default().seal(&command, 0).unwrap();
    fleet.nats.publish(&subjects::ban(&command.target), &bytes);
}

/// Publishes what an edge says of itself as `id`'s.
fn say(fleet: &Fleet, id: &str, mut record: Value) {
    record["edge_id"] = json!(id);
    let subject = format!("$KV.{}.{id}", subjects::EDGES_BUCKET);
    fleet.nats.publish(&subject, record.to_string().as_bytes());
}

#[test]
fn a_ban_that_somebody_else_wrote_becomes_the_ledgers_and_is_no_drift() {
    let fleet = start("[edges]\ndrift_grace = \"1s\"");
    await_state(&fleet, "edge-1", "up");
    ban_elsewhere(&fleet, "192.0.2.66");
    let edge = await_agreement(&fleet, "edge-1", 1);
    assert_eq!(edge["drifting_since"], Value::Null);
    let bans = ask(&fleet, "bans");
    assert_eq!(
        (&bans[0]["target"], &bans[0]["issuer"]),
        (&json!("192.0.2.66/32"), &json!("somebody"))
    );
}

#[test]
fn an_edge_that_holds_other_bans_drifts_until_it_holds_the_ledgers() {
    let mut fleet = start("[edges]\ndrift_grace = \"1s\"");
    await_state(&fleet, "edge-1", "up");
    ban_elsewhere(&fleet, "192.0.2.66");
    await_agreement(&fleet, "edge-1", 1);
    let drifting = wait_until("the edge drifts", PATIENCE, || {
        let mut record = edge(&fleet, "edge-1")?["record"].clone();
        record["bans"]["fleet"]["bans"] = json!(0);
        record["bans"]["fleet"]["digest"] = json!("0".repeat(32));
        say(&fleet, "edge-9", record);
        edge(&fleet, "edge-9").filter(|edge| edge["drifting_since"].is_string())
    });
    assert_eq!(
        drifting["agreement"],
        json!({"verdict": "differs", "held": 0, "issued": 1, "unwritten": 0})
    );
    fleet
        .orchestrator
        .wait_for_log("an edge does not enforce the ledger's bans", PATIENCE);
    let stats = fleet.orchestrator_stats().unwrap();
    assert_eq!(stats["fleet"][1]["drifting_since"], drifting["drifting_since"]);
    let table = done(&fleet.cli("orchestrator", &["edges"]));
    assert!(table.contains("DRIFTS since"), "{table}");

    // For as long as the grace.
    wait_until("the edge agrees again", PATIENCE, || {
        say(&fleet, "edge-9", edge(&fleet, "edge-1")?["record"].clone());
        let edge = edge(&fleet, "edge-9")?;
        (edge["agreement"]["verdict"] == "agrees" && edge["drifting_since"].is_null()).then_some(())
    });
    fleet
        .orchestrator
        .wait_for_log("an edge enforces the ledger's bans again", PATIENCE);
}

#[test]
fn an_edge_that_is_killed_is_down_within_20_seconds_and_up_once_it_is_back() {
    let mut fleet = start("");
    let first = await_state(&fleet, "edge-1", "up");
    assert_eq!(first["record"]["interfaces"][0]["mode"], "native", "{first:#}");
    assert_eq!(
        (&first["record"]["enforcement"], &first["record"]["observe_only"]),
        (&json!("both"), &json!(false))
    );
    let (killed, killed_at) = (Instant::now(), now_ms());
    fleet.kill_edge();
    let down = await_state(&fleet, "edge-1", "down");
    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    let since: jiff::Timestamp = down["since"].as_str().unwrap().parse().unwrap();
    assert!(
        (killed_at..=now_ms()).contains(&since.as_millisecond()),
        "{since}"
    );
    assert_eq!(down["agreement"]["verdict"], "unknown");

    fleet.restart_edge();
    let back = await_state(&fleet, "edge-1", "up");
    assert_ne!(back["record"]["boot_id"], first["record"]["boot_id"]);
    fleet.edge.terminate(PATIENCE);
    await_state(&fleet, "edge-1", "stopped");
}

#[test]
fn a_ban_that_an_edge_rightly_refuses_shows_as_refused_and_is_no_drift() {
    let fleet = start("[edges]\ndrift_grace = \"1s\"");
    let further = FurtherEdge::start(&fleet, "edge-2", 4096, "[protect]\nnetworks = [\"192.0.2.0/28\"]");
    further.await_synced();
    for id in ["edge-1", "edge-2"] {
        await_state(&fleet, id, "up");
    }
    done(&fleet.cli("orchestrator", &["ban", "192.0.2.7", "--duration", "1h"]));
    let view = await_commands(&fleet, "both edges have answered", |commands| {
        commands[0]["pending"] == json!([]) && commands[0]["refused"] != json!([])
    });
    let command = &view["commands"][0];
    assert_eq!(
        command["refused"],
        json!([{"edge_id": "edge-2", "why": "192.0.2.7/32 is allowlisted on this host"}])
    );
    assert_eq!(command["enforced"][0]["edge_id"], "edge-1");
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    assert!(fleet.ban_of(address).is_some() && further.ban_of(address).is_none());
    for (id, set_aside) in [("edge-1", 0), ("edge-2", 1)] {
        let edge = await_agreement(&fleet, id, 1);
        assert_eq!(edge["record"]["bans"]["set_aside"], set_aside, "{id}");
        assert_eq!(edge["drifting_since"], Value::Null, "{id}");
    }
    assert!(
        !fleet
            .orchestrator
            .log()
            .contains("does not hold the ledger's bans")
    );
}
