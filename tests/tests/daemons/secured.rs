//! A fleet whose bus lets in members alone and whose commands are signed.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use secbeat_common::{
    prefix::Prefix,
    sign::{SecretKey, Signer},
    subjects::{self, AuditPart},
    wire::{Action, BlockCommand, Layer, NO_LEASE, Reason, Scope},
};
use secbeat_daemon::{credentials::Role, time::now_ms};
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    intruder::Intruder,
    wait::wait_until,
};
use serde_json::Value;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);
const VICTIM: &str = "192.0.2.66";

fn fleet() -> Fleet {
    let rule = "[[rule]]\nname = \"login-flood\"\ncounts = \"requests\"\nmethods = [\"POST\"]\nthreshold = 20\nwindow = \"60s\"\n";
    Fleet::start(&Options {
        secured: true,
        ban: "1h",
        more_orchestrator_config: rule.to_owned(),
        ..Options::default()
    })
}

fn credentials(fleet: &Fleet, name: &str) -> PathBuf {
    fleet
        .nats
        .fleet()
        .join("credentials")
        .join(format!("{name}.toml"))
}

#[track_caller]
fn orchestrator(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.cli("orchestrator", arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn is_banned(fleet: &Fleet, address: &str) -> bool {
    fleet.ban_of(address.parse().unwrap()).is_some()
}

#[track_caller]
fn await_refused(fleet: &Fleet, reason: &str, count: u64) {
    wait_until(
        &format!("{count} commands are refused as {reason}"),
        PATIENCE,
        || {
            fleet
                .edge_stats()
                .is_some_and(|stats| stats["refused_commands"][reason] == count)
        },
    );
}

fn assert_no_violation(fleet: &Fleet) {
    for log in [fleet.edge_log(), fleet.orchestrator.log(), fleet.nats.log()] {
        assert!(!log.contains("Violation"), "{log}");
    }
}

#[test]
fn each_member_may_do_what_its_daemon_does() {
    let mut fleet = fleet();
    fleet
        .edge
        .wait_for_log("read telemetry filters filters=1", PATIENCE);
    for family in Family::BOTH {
        fleet.make_errors(family, 50);
        fleet.await_ban(family.attacker());
    }
    let lifted = Family::V4.attacker().to_string();
    orchestrator(&fleet, &["unban", &lifted]);
    wait_until("the ban is lifted", PATIENCE, || !is_banned(&fleet, &lifted));
    orchestrator(
        &fleet,
        &["allowlist", "add", "203.0.113.0/24", "--comment", "office"],
    );
    orchestrator(&fleet, &["allowlist", "remove", "203.0.113.0/24"]);
    let up = |fleet: &Fleet| orchestrator(fleet, &["edges", "-o", "json"]).contains("\"up\"");
    wait_until("the edge is there", PATIENCE, || up(&fleet));
    fleet.nats.restart();
    fleet.bounce_orchestrator();
    fleet.kill_edge();
    fleet.start_edge();
    fleet.await_edge();
    let kept = Family::V6.attacker().to_string();
    assert!(is_banned(&fleet, &kept) && !is_banned(&fleet, &lifted));
    wait_until("a ban is taken", PATIENCE, || {
        fleet.cli("orchestrator", &["ban", VICTIM]).status.success()
    });
    wait_until("it is enforced", PATIENCE, || is_banned(&fleet, VICTIM));
    wait_until("its way is told", PATIENCE, || {
        let told: Value =
            serde_json::from_str(&orchestrator(&fleet, &["propagation", "-o", "json"])).unwrap();
        told["edges"][0]["count"].as_u64() >= Some(1)
    });
    let why = orchestrator(&fleet, &["why", &kept]);
    assert!(why.contains("error-flood"), "{why}");
    assert!(fleet.edge.terminate(PATIENCE).success());
    assert!(fleet.orchestrator.terminate(PATIENCE).success());
    assert_no_violation(&fleet);
}

#[test]
fn an_edges_credentials_neither_ban_nor_read_telemetry_nor_purge() {
    let mut fleet = fleet();
    let path = fleet.nats.enroll("edge-2");
    orchestrator(&fleet, &["ban", VICTIM]);
    wait_until("it is enforced", PATIENCE, || is_banned(&fleet, VICTIM));
    let target: Prefix = "192.0.2.77".parse().unwrap();
    let writes = [
        subjects::ban(&VICTIM.parse().unwrap()),
        subjects::ban(&target),
        subjects::allow(&target),
        subjects::telemetry("edge-1", 3),
        subjects::waf_events("edge-1"),
        subjects::acks("edge-1"),
        subjects::presence("edge-1"),
        AuditPart::Orders.record("ban", &target.key()),
        AuditPart::Bans.record("ban", &target.key()),
        subjects::lease("partition.3"),
        format!("$KV.{}.{}", subjects::RULES_BUCKET, subjects::SOURCES_KEY),
        "$JS.API.STREAM.PURGE.KV_secbeat_bans".to_owned(),
        "$JS.API.STREAM.PURGE.KV_secbeat_edges".to_owned(),
        "$JS.API.STREAM.DELETE.KV_secbeat_bans".to_owned(),
        "$JS.API.STREAM.UPDATE.KV_secbeat_bans".to_owned(),
        "$JS.API.STREAM.MSG.DELETE.KV_secbeat_bans".to_owned(),
        "$JS.API.STREAM.MSG.GET.SECBEAT_TELEMETRY".to_owned(),
        "$JS.API.CONSUMER.CREATE.SECBEAT_TELEMETRY".to_owned(),
        "$JS.API.CONSUMER.CREATE.SECBEAT_TELEMETRY.x.secbeat.telemetry.edge-1.3".to_owned(),
        "$JS.API.CONSUMER.CREATE.SECBEAT_AUDIT".to_owned(),
        "$JS.API.DIRECT.GET.SECBEAT_AUDIT".to_owned(),
        "$JS.API.STREAM.CREATE.MINE".to_owned(),
        "$JS.API.INFO".to_owned(),
    ];
    let reads = [
        "secbeat.>".to_owned(),
        subjects::telemetry("edge-1", 3),
        "secbeat.telemetry.>".to_owned(),
        format!("{}.>", subjects::inbox("edge-1")),
        format!("{}.>", subjects::inbox("orchestrator-1")),
        "_INBOX.>".to_owned(),
        ">".to_owned(),
    ];
    Intruder::with(&fleet.host, &path, Role::Edge, async |intruder| {
        for subject in &writes {
            intruder
                .client
                .publish(subject.clone(), "x".into())
                .await
                .unwrap();
            intruder.await_refusal(subject).await;
        }
        for subject in &reads {
            let subscription = intruder.client.subscribe(subject.clone()).await;
            intruder.await_refusal(subject).await;
            drop(subscription);
        }
        // Its own key it may write; with this header that would delete all others.
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Rollup", "all");
        let own = subjects::presence("edge-2");
        let answer = intruder
            .client
            .request_with_headers(own, headers, "x".into())
            .await;
        let answer: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
        assert!(answer["error"]["code"].as_u64() >= Some(400), "{answer}");
    });
    assert!(is_banned(&fleet, VICTIM) && !is_banned(&fleet, "192.0.2.77"));
    let edges = orchestrator(&fleet, &["edges", "-o", "json"]);
    assert!(edges.contains("edge-1") && edges.contains("\"up\""), "{edges}");
    assert_eq!(fleet.edge_stats().unwrap()["garbage"], 0);
}

#[test]
fn an_expelled_member_is_let_in_no_more() {
    let mut fleet = fleet();
    let path = fleet.nats.enroll("edge-2");
    // `expel` deletes the file; whoever was expelled has a copy.
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    assert!(Intruder::is_let_in(&fleet.host, &copy, Role::Edge));
    fleet.nats.expel("edge-2");
    assert!(!Intruder::is_let_in(&fleet.host, &copy, Role::Edge));
}

fn command(target: &str, expires_at_ms: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::now_v7(),
        action: Action::Block,
        list: None,
        target: target.parse().unwrap(),
        reason: Reason::Manual,
        note: String::new(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: now_ms(),
        expires_at_ms,
        issuer: "somebody".to_owned(),
        layer: Layer::Kernel,
        epoch: NO_LEASE,
    }
}

#[test]
fn commands_that_no_orchestrator_gave_are_refused_and_counted() {
    let fleet = fleet();
    let ours: SecretKey = fs::read_to_string(fleet.nats.fleet().join("signing.key"))
        .unwrap()
        .parse()
        .unwrap();
    let theirs = SecretKey::generate().unwrap();
    let (ours, theirs): (Signer, Signer) = (Some(ours).into(), Some(theirs).into());
    let soon = now_ms() + 3_600_000;
    let target = |n: u8| format!("192.0.2.{n}");
    let key = |n: u8| subjects::ban(&target(n).parse().unwrap());
    let mut bent = ours.seal(&command(&target(3), soon), 0).unwrap();
    // The last byte is the number of parts, and not signed.
    let signed = bent.len() - 2;
    bent[signed] ^= 1;
    let forged = [
        (
            key(1),
            Signer::default().seal(&command(&target(1), soon), 0).unwrap(),
        ),
        (key(2), theirs.seal(&command(&target(2), soon), 0).unwrap()),
        (key(3), bent),
        (key(4), ours.seal(&command(&target(5), soon), 0).unwrap()),
        (
            key(6),
            ours.seal(&command(&target(6), now_ms() - 600_000), 0).unwrap(),
        ),
        (key(7), b"nonsense".to_vec()),
        (key(8), ours.seal(&command(&target(8), soon), 0).unwrap()),
    ];
    // Whoever has an orchestrator's access to NATS, but not its signing key.
    let path = credentials(&fleet, "orchestrator-1");
    Intruder::with(&fleet.host, &path, Role::Orchestrator, async |intruder| {
        for (subject, bytes) in forged {
            let answer = intruder.client.request(subject, bytes.into()).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert!(answer["seq"].as_u64().is_some(), "{answer}");
        }
    });
    wait_until("the one that is good counts", PATIENCE, || {
        is_banned(&fleet, &target(8))
    });
    for n in 1..8 {
        assert!(!is_banned(&fleet, &target(n)), "{}", target(n));
    }
    for reason in [
        "unsigned",
        "unknown_key",
        "forged",
        "readdressed",
        "expired",
        "malformed",
    ] {
        await_refused(&fleet, reason, 1);
    }
    let listed = orchestrator(&fleet, &["bans", "-o", "json"]);
    for n in 1..8 {
        assert!(!listed.contains(&format!("\"{}/32\"", target(n))), "{listed}");
    }
}

#[test]
fn what_was_lifted_does_not_come_back_and_what_holds_cannot_be_taken_away() {
    let fleet = fleet();
    let (lifted, kept) = ("192.0.2.1", "192.0.2.2");
    let key = |address: &str| subjects::ban(&address.parse().unwrap());
    orchestrator(&fleet, &["ban", lifted]);
    orchestrator(&fleet, &["ban", kept]);
    wait_until("both are enforced", PATIENCE, || {
        is_banned(&fleet, lifted) && is_banned(&fleet, kept)
    });
    let path = credentials(&fleet, "orchestrator-1");
    let stream = subjects::BANS_STREAM;
    let stored = |address: &str| {
        let subject = format!("$JS.API.DIRECT.GET.{stream}.{}", key(address));
        Intruder::with(&fleet.host, &path, Role::Orchestrator, async |intruder| {
            let answer = intruder.client.request(subject, Bytes::new()).await.unwrap();
            answer.payload
        })
    };
    let ban = stored(lifted);
    orchestrator(&fleet, &["unban", lifted]);
    wait_until("it is lifted", PATIENCE, || !is_banned(&fleet, lifted));
    let lift = stored(lifted);
    Intruder::with(&fleet.host, &path, Role::Orchestrator, async |intruder| {
        // The ban that was lifted, once more.
        intruder.client.request(key(lifted), ban).await.unwrap();
    });
    await_refused(&fleet, "replayed", 1);
    // Its end in the place of another's, and one that nobody signed. A key has one entry: each is awaited before the next.
    for (payload, reason) in [(lift, "readdressed"), (Bytes::new(), "unsigned")] {
        Intruder::with(&fleet.host, &path, Role::Orchestrator, async |intruder| {
            let mut headers = HeaderMap::new();
            headers.insert("KV-Operation", "PURGE");
            headers.insert("Nats-Rollup", "sub");
            intruder
                .client
                .request_with_headers(key(kept), headers, payload)
                .await
                .unwrap();
        });
        await_refused(&fleet, reason, 1);
    }
    assert!(!is_banned(&fleet, lifted) && is_banned(&fleet, kept));
    let spoiled = "unauthorized write to the bans bucket: restoring the signed ban";
    wait_until("the orchestrator has written the ban again", PATIENCE, || {
        fleet.orchestrator.log().contains(spoiled)
    });
    let is_back = || {
        let bytes = stored(kept);
        !bytes.is_empty() && bytes.windows(8).any(|window| window == kept_bytes(kept))
    };
    wait_until("the bucket has it again", PATIENCE, is_back);
    assert!(is_banned(&fleet, kept));
}

#[test]
fn an_edge_that_redirects_what_it_may_read_bans_and_unbans_nobody() {
    let mut fleet = fleet();
    let path = fleet.nats.enroll("edge-2");
    let (lifted, kept, innocent) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
    let key = |address: &str| subjects::ban(&address.parse().unwrap());
    orchestrator(&fleet, &["ban", lifted]);
    orchestrator(&fleet, &["ban", kept]);
    wait_until("both are enforced", PATIENCE, || {
        is_banned(&fleet, lifted) && is_banned(&fleet, kept)
    });
    orchestrator(&fleet, &["unban", lifted]);
    wait_until("it is lifted", PATIENCE, || !is_banned(&fleet, lifted));
    let stream = subjects::BANS_STREAM;
    Intruder::with(&fleet.host, &path, Role::Edge, async |intruder| {
        for (from, to) in [(kept, innocent), (lifted, kept)] {
            // The server answers with what it stores, wherever the answer is wanted.
            let request = format!("$JS.API.DIRECT.GET.{stream}.{}", key(from));
            let asked = intruder.client.publish_with_reply(request, key(to), Bytes::new());
            asked.await.unwrap();
        }
        intruder.client.flush().await.unwrap();
    });
    // The server itself refuses the second: what is stored names the revision that it was written over.
    await_refused(&fleet, "readdressed", 1);
    orchestrator(&fleet, &["ban", VICTIM]);
    wait_until("the next ban is enforced", PATIENCE, || is_banned(&fleet, VICTIM));
    assert!(is_banned(&fleet, kept) && !is_banned(&fleet, innocent) && !is_banned(&fleet, lifted));
}

/// What a command against `address` contains: the end of its IPv4-mapped form.
fn kept_bytes(address: &str) -> [u8; 8] {
    let IpAddr::V4(v4) = address.parse().unwrap() else {
        panic!("{address}")
    };
    let octets = v4.to_ipv6_mapped().octets();
    octets[8..].try_into().unwrap()
}
