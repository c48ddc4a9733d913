use std::net::IpAddr;

use secbeat_bus::{make_all, memory::MemoryServer, samples};
use secbeat_common::wire::{AuditRecord, Layer, LearnedFrom, MatchedSignature, SeenEvent, SeenWhat};
use secbeat_orchestrator_core::{ledger::WriteState, signatures::Tally};

use super::*;

const CLIENT: &str = "198.51.100.7";

/// An orchestrator whose engine has counted so much.
async fn counts(server: &MemoryServer, counted: &'static [(&str, u64, u64)]) -> Counts {
    let bus = server.join().bus();
    make_all(&bus, Duration::from_secs(60)).await.unwrap();
    let (inputs, mut asked) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(input) = asked.recv().await {
            let Input::Tallies { reply } = input else {
                panic!("{input:?}");
            };
            let tallies = counted.iter();
            let tallies = tallies.map(|(id, hits, bans)| {
                let (hits, bans) = (*hits, *bans);
                ((*id).to_owned(), Tally { hits, bans })
            });
            reply.send(tallies.collect()).unwrap();
        }
    });
    Counts::new(&bus, AuditLog::new(&bus), inputs)
}

fn count(hits: u64, bans: u64, lifted: u64) -> Count {
    Count { hits, bans, lifted }
}

/// A ban by the rule `probe`, and its record, for which `ids` had been recognised.
fn ban(n: u128, ids: &[&str]) -> (ActiveBan, AuditRecord) {
    let target: Prefix = CLIENT.parse().unwrap();
    let command = BlockCommand {
        reason: Reason::Probe,
        ..samples::ban(target, Uuid::from_u128(n), 1_000, 60_000)
    };
    let event = |id: &&str| SeenEvent {
        at_ms: 1,
        edge: "edge-1".to_owned(),
        client: CLIENT.parse::<IpAddr>().unwrap(),
        learned_from: LearnedFrom::Peer,
        what: SeenWhat::Answer {
            status: 404,
            method: "GET".to_owned(),
            user_agent: String::new(),
        },
        path: "/".to_owned(),
        host: String::new(),
        signatures: vec![MatchedSignature {
            id: (*id).to_owned(),
            class: "other".to_owned(),
            severity: "low".to_owned(),
        }],
        cross_site: false,
    };
    let record = AuditRecord {
        at_ms: 1_000,
        target,
        actor: "secbeat-orchestrator".to_owned(),
        decision: Decision::Ban {
            command_id: command.id,
            reason: command.reason,
            note: String::new(),
            expires_at_ms: command.expires_at_ms,
            strikes: 0,
            evidence: None,
            layer: Layer::Kernel,
            list: None,
            edges: None,
            labels: Vec::new(),
            events: ids.iter().map(event).collect(),
        },
    };
    let write = WriteState::Acknowledged;
    (ActiveBan { command, write }, record)
}

#[tokio::test]
async fn counts_of_all_orchestrators_add_up_and_outlast_them() {
    let server = MemoryServer::new(0);
    let one = counts(&server, &[("env-file", 5, 1)]).await;
    let other = counts(&server, &[("env-file", 2, 0), ("git-config", 1, 1)]).await;
    for _ in 0..3 {
        one.keep().await.unwrap();
        other.keep().await.unwrap();
    }
    drop((one, other));
    let restarted = counts(&server, &[("env-file", 1, 0)]).await;
    let now = restarted.now().await;
    assert_eq!(now["env-file"], count(8, 1, 0));
    assert_eq!(now["git-config"], count(1, 1, 0));
}

#[tokio::test]
async fn a_lifted_ban_counts_once_for_each_signature_among_its_evidence() {
    let server = MemoryServer::new(0);
    let counts = counts(&server, &[("env-file", 5, 2)]).await;
    let (first, one) = ban(1, &["env-file", "env-file", "git-config"]);
    let (second, other) = ban(2, &["env-file"]);
    let by_hand = ActiveBan {
        command: BlockCommand {
            reason: Reason::Manual,
            ..first.command.clone()
        },
        ..first.clone()
    };
    counts.audit.append(&mut vec![one, other]).await.unwrap();
    counts.lifted(vec![by_hand]).await;
    assert_eq!(counts.last_known().await["env-file"], count(5, 2, 0));
    // Unbanned, and allowlisted a moment later.
    counts.lifted(vec![first.clone()]).await;
    counts.lifted(vec![first, second]).await;
    let now = counts.now().await;
    assert_eq!(now["env-file"], count(5, 2, 2));
    assert_eq!(now["git-config"], count(0, 0, 1));
}

#[test]
fn what_is_kept_is_bounded_and_what_matters_stays() {
    let mut stored = Stored::default();
    for n in 0..MAX_TALLIES as u64 + 10 {
        stored.signatures.insert(format!("id-{n}"), count(1, 0, 0));
    }
    stored.signatures.insert("env-file".to_owned(), count(0, 0, 1));
    for n in 0..REMEMBERED as u128 + 10 {
        stored.lift(&Lifted {
            ban: Uuid::from_u128(n),
            ids: Vec::new(),
        });
    }
    stored.bound();
    assert_eq!(stored.signatures.len(), MAX_TALLIES);
    assert_eq!(stored.signatures["env-file"].lifted, 1);
    assert_eq!(stored.lifted.len(), REMEMBERED);
    assert!(!stored.lifted.contains(&Uuid::from_u128(9)));
    let largest = serde_json::to_vec(&stored).unwrap().len() + MAX_TALLIES * 60;
    assert!(largest < secbeat_common::wire::MAX_MESSAGE, "{largest}");
}
