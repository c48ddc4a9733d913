//! The audit has every ban exactly once, also when whoever issued it dies.

use std::time::Duration;

use secbeat_common::{
    sign::Signer,
    subjects::{self, AuditPart},
    wire::{Action, BlockCommand, Evidence, Layer, Reason, Scope},
};
use secbeat_daemon::time::now_ms;
use secbeat_tests::lab::{
    fleet::{Fleet, Options},
    wait::wait_until,
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);

/// Records of bans and unbans.
fn audited(fleet: &Fleet) -> [u64; 2] {
    ["ban", "unban"].map(|kind| {
        let parts = AuditPart::ALL.into_iter().filter(|part| part.holds(kind));
        parts
            .map(|part| fleet.nats.messages(part.stream(), &part.record(kind, ">")))
            .sum()
    })
}

#[test]
fn what_was_acknowledged_is_in_the_audit_even_if_the_orchestrator_dies_at_once() {
    let mut fleet = Fleet::start(&Options::default());
    for round in 1..=5 {
        let order = |method: &str, path: &str, body: &str| {
            let path = format!("/api/v1/bans{path}");
            let answer = fleet.order(3030, method, &path, body).unwrap();
            assert!((200..300).contains(&answer.status), "{answer:?}");
        };
        let target = format!("192.0.2.{round}");
        order("POST", "", &format!(r#"{{"target":"{target}","duration":"1h"}}"#));
        order("DELETE", &format!("/{target}"), "");
        fleet.orchestrator.kill9();
        assert_eq!(audited(&fleet), [round; 2]);
        fleet.start_orchestrator();
        fleet.await_orchestrator();
    }
}

#[test]
fn a_ban_whose_record_died_with_its_issuer_is_audited_by_the_next_orchestrator_once() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.orchestrator.kill9();
    // As one that died between the ban and its record left it.
    let command = BlockCommand {
        id: Uuid::now_v7(),
        action: Action::Block,
        list: None,
        target: "192.0.2.66".parse().unwrap(),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: Some(Evidence {
            count: 50,
            window_ms: 60_000,
            at_ms: now_ms(),
        }),
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: now_ms(),
        expires_at_ms: now_ms() + 3_600_000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 1,
    };
    let bytes = Signer::default().seal(&command, 0).unwrap();
    fleet.nats.publish(&subjects::ban(&command.target), &bytes);
    fleet.start_orchestrator();
    wait_until("the ban is audited", PATIENCE, || audited(&fleet) == [1, 0]);
    fleet.bounce_orchestrator();
    wait_until("the ban is in the ledger", PATIENCE, || {
        fleet
            .orchestrator_stats()
            .is_some_and(|stats| stats["active_bans"] == 1)
    });
    assert_eq!(audited(&fleet), [1, 0], "audited again");
    let answer = fleet.order(3030, "GET", "/api/v1/audit", "").unwrap();
    let records: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (
            &records[0]["command_id"],
            &records[0]["actor"],
            &records[0]["evidence"]["count"]
        ),
        (
            &command.id.to_string().into(),
            &"secbeat-orchestrator".into(),
            &50.into()
        )
    );
}
