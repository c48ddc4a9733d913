//! The log of decisions.

use secbeat_common::{
    subjects::AuditPart,
    wire::{AuditRecord, Audited, Decision, Layer, List, ListRecord, ListUse, Reason, SeenEvent},
};
use uuid::Uuid;

use super::*;
use crate::{AuditLog, AuditQuery};

fn decision(n: u8, at_ms: i64, actor: &str, decision: Decision) -> AuditRecord {
    AuditRecord {
        at_ms,
        target: network(n),
        actor: actor.to_owned(),
        decision,
    }
}

fn unban(id: u128) -> Decision {
    Decision::Unban {
        list: None,
        command_id: Uuid::from_u128(id),
        strikes: 0,
        note: String::new(),
    }
}

fn observed(events: Vec<SeenEvent>) -> Decision {
    Decision::Observed {
        reason: Reason::ErrorFlood,
        note: String::new(),
        expires_at_ms: NOW_MS,
        strikes: 0,
        evidence: None,
        layer: Layer::Kernel,
        events,
    }
}

async fn append(audit: &AuditLog, mut records: Vec<AuditRecord>) {
    audit.append(&mut records).await.expect("appending audit records");
    assert_eq!(records, []);
}

pub async fn audit_records_are_written_once(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let record = |n| decision(1, NOW_MS, "alice", unban(n));
    append(&audit, vec![record(1), record(2)]).await;
    // A batch of which one is there already, and one by itself.
    append(&audit, vec![record(2), record(3), record(4)]).await;
    append(&audit, vec![record(4)]).await;
    let query = AuditQuery {
        limit: 100,
        ..AuditQuery::default()
    };
    assert_eq!(
        audit.query(&query).await,
        Ok([1, 2, 3, 4].map(|n| Audited::Decision(record(n))).to_vec())
    );
}

pub async fn the_latest_audit_records_come_first_of_all(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let record = |n: i64| decision(1, NOW_MS + n, "alice", Decision::Disallow);
    let by_bob = |n: i64| decision(1, NOW_MS + n, "bob", Decision::Disallow);
    let mut records: Vec<_> = (0..200).map(record).collect();
    records[3] = by_bob(3);
    records[150] = by_bob(150);
    append(&audit, records).await;
    let query = |limit, actor: Option<&str>| AuditQuery {
        limit,
        actor: actor.map(str::to_owned),
        ..AuditQuery::default()
    };
    assert_eq!(
        audit.query(&query(3, None)).await,
        Ok([197, 198, 199].map(|n| Audited::Decision(record(n))).to_vec())
    );
    assert_eq!(
        audit.query(&query(1, Some("bob"))).await,
        Ok(vec![Audited::Decision(by_bob(150))])
    );
    // Found in stretches that grow from the end backwards.
    assert_eq!(
        audit.query(&query(2, Some("bob"))).await,
        Ok([3, 150].map(|n| Audited::Decision(by_bob(n))).to_vec())
    );
    assert_eq!(
        audit.query(&query(9, Some("bob"))).await,
        Ok([3, 150].map(|n| Audited::Decision(by_bob(n))).to_vec())
    );
    assert_eq!(audit.query(&query(0, None)).await, Ok(Vec::new()));
    // One that is recorded late does not end the search.
    append(&audit, vec![decision(1, 1, "alice", Decision::Disallow)]).await;
    let since = AuditQuery {
        since_ms: 2,
        ..query(9, Some("bob"))
    };
    assert_eq!(
        audit.query(&since).await,
        Ok([3, 150].map(|n| Audited::Decision(by_bob(n))).to_vec())
    );
}

pub async fn audit_records_are_found_by_target_kind_actor_and_time(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let records = vec![
        decision(1, NOW_MS, "alice", unban(1)),
        decision(2, NOW_MS + 1, "bob", unban(2)),
        decision(2, NOW_MS + 2, "alice", Decision::Disallow),
        decision(3, NOW_MS + 3, "alice", Decision::Disallow),
    ];
    append(&audit, records.clone()).await;
    let find = async |query: AuditQuery| {
        let query = AuditQuery { limit: 100, ..query };
        let found = audit.query(&query).await.expect("a query");
        found
            .into_iter()
            .map(|record| record.at_ms() - NOW_MS)
            .collect::<Vec<_>>()
    };
    let all = AuditQuery::default;
    assert_eq!(
        find(AuditQuery {
            targets: vec![network(2)],
            ..all()
        })
        .await,
        [1, 2]
    );
    assert_eq!(
        find(AuditQuery {
            targets: vec![network(3), network(1)],
            ..all()
        })
        .await,
        [0, 3]
    );
    for (since_ms, expected) in [(NOW_MS / 2, &[1_i64, 2][..]), (NOW_MS + 86_400_000, &[][..])] {
        let query = AuditQuery {
            targets: vec![network(2)],
            since_ms,
            ..all()
        };
        assert_eq!(find(query).await, expected, "since {since_ms}");
    }
    assert_eq!(
        find(AuditQuery {
            targets: vec![network(9)],
            ..all()
        })
        .await,
        [0_i64; 0]
    );
    assert_eq!(
        find(AuditQuery {
            kind: Some("disallow".to_owned()),
            ..all()
        })
        .await,
        [2, 3]
    );
    assert_eq!(
        find(AuditQuery {
            actor: Some("bob".to_owned()),
            ..all()
        })
        .await,
        [1]
    );
    assert_eq!(
        find(AuditQuery {
            since_ms: NOW_MS + 2,
            ..all()
        })
        .await,
        [2, 3]
    );
}

pub async fn decisions_are_read_without_their_events(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let event: SeenEvent = serde_json::from_str(
        r#"{"at_ms":1,"edge":"edge-1","client":"203.0.113.7","learned_from":"peer","answer":{"status":404,"method":"GET","user_agent":"curl/8"},"path":"/missing","host":"example.org"}"#,
    )
    .unwrap();
    let records = vec![
        decision(1, NOW_MS, "detector", observed(vec![event])),
        decision(1, NOW_MS + 1, "alice", Decision::Disallow),
        decision(1, NOW_MS + 2, "alice", unban(1)),
    ];
    append(&audit, records).await;
    let expected = vec![
        decision(1, NOW_MS, "detector", observed(Vec::new())),
        decision(1, NOW_MS + 2, "alice", unban(1)),
    ];
    // By the server's clock, not by that of the records.
    assert_eq!(audit.decisions_since(0).await, Ok(expected));
    assert_eq!(audit.decisions_since(NOW_MS * 2).await, Ok(Vec::new()));
}

pub async fn observed_bans_are_heard_from_now_on(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    append(
        &audit,
        vec![decision(1, NOW_MS, "detector", observed(Vec::new()))],
    )
    .await;
    let mut heard = Box::pin(audit.observed_from_now().await.unwrap());
    let later = decision(2, NOW_MS, "detector", observed(Vec::new()));
    append(
        &audit,
        vec![decision(2, NOW_MS, "alice", unban(1)), later.clone()],
    )
    .await;
    assert_eq!(next(&mut heard).await, later);
}

pub async fn a_list_is_found_beside_its_bans(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let id = Uuid::from_u128(7);
    let of_list = |n, id| {
        let lifted = Decision::Unban {
            command_id: Uuid::from_u128(u128::from(n)),
            strikes: 0,
            note: "known".to_owned(),
            list: Some(id),
        };
        decision(n, NOW_MS, "alice", lifted)
    };
    append(&audit, vec![of_list(1, id), of_list(2, id)]).await;
    let list = List {
        id,
        what: ListUse::Unban,
        digest: None,
        format: "targets".to_owned(),
        name: String::new(),
        note: "known".to_owned(),
        new: 2,
        longer: 0,
        unchanged: 0,
        left_out: 0,
        complete: true,
    };
    let list = ListRecord::new(list, "alice".to_owned(), NOW_MS + 1);
    for _ in 0..2 {
        audit.append_list(&list).await.expect("appending a list");
    }
    let query = |kind: Option<&str>, targets, lists| AuditQuery {
        kind: kind.map(str::to_owned),
        targets,
        lists,
        limit: 100,
        ..AuditQuery::default()
    };
    let first = Audited::Decision(of_list(1, id));
    let whole = Audited::List(list);
    let everything = vec![first.clone(), Audited::Decision(of_list(2, id)), whole.clone()];
    assert_eq!(
        audit.query(&query(None, Vec::new(), Vec::new())).await,
        Ok(everything)
    );
    let about = query(None, vec![network(1)], vec![id]);
    assert_eq!(audit.query(&about).await, Ok(vec![first.clone(), whole.clone()]));
    let about = query(None, vec![network(1)], Vec::new());
    assert_eq!(audit.query(&about).await, Ok(vec![first]));
    let lists = query(Some("list"), Vec::new(), Vec::new());
    assert_eq!(audit.query(&lists).await, Ok(vec![whole]));
    let fill = audit.fill().await.expect("what the audit holds");
    let full: Vec<_> = fill
        .iter()
        .filter(|fill| fill.bytes > 0)
        .map(|fill| fill.part)
        .collect();
    assert_eq!(full, [AuditPart::Orders, AuditPart::Lists]);
    assert!(
        fill.iter()
            .all(|fill| fill.max_bytes > fill.bytes && !fill.is_short(NOW_MS))
    );
}
