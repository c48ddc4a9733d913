//! A made-up release before this one: it knows no user agents in telemetry and no evidence in bans.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{growing, *},
    bytes, hex, samples,
};
use crate::prefix::Prefix;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
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

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OlderEvent {
    client: IpAddr,
    at_ms: i64,
    status: u16,
    upstream: u16,
    #[serde(with = "growing")]
    learned_from: LearnedFrom,
    method: String,
    path: String,
    host: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
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

fn older_batch() -> OlderBatch {
    OlderBatch {
        edge_id: "e".to_owned(),
        boot_id: Uuid::from_u128(7),
        sequence: 9,
        sent_at_ms: 2,
        dropped_before: 1,
        upstreams: vec!["u".to_owned()],
        events: vec![OlderEvent {
            client: "2001:db8::1".parse().unwrap(),
            at_ms: 1,
            status: 404,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            method: "GET".to_owned(),
            path: "/x".to_owned(),
            host: "h".to_owned(),
        }],
        counts: samples::telemetry().counts,
    }
}

fn older_ban() -> OlderBan {
    OlderBan {
        id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        action: Action::Block,
        target: "198.51.100.7".parse().unwrap(),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        scope: Scope::Fleet,
        strikes: 1,
        issued_at_ms: 1_000,
        expires_at_ms: 301_000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 3,
    }
}

const BATCH: &str = "02 01 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 00 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 00 03 01 00 00";
const BAN: &str = "02 06 10 01920000000070008000000000000001 00 00000000000000000000ffffc6336407 80 0b 6572726f722d666c6f6f64 10 3530206572726f727320696e20363073 00 01 fbd007 fc902f0900 0c 6f7263686573747261746f72 00 03 00";

#[test]
fn its_messages_are_read_without_what_it_does_not_say() {
    assert_eq!(hex(&encode(&older_batch()).unwrap()), hex(&bytes(BATCH)));
    assert_eq!(hex(&encode(&older_ban()).unwrap()), hex(&bytes(BAN)));
    let mut batch = samples::telemetry();
    batch.events[0].user_agent.clear();
    assert_eq!(decode(&bytes(BATCH)), Ok(batch));
    let ban = BlockCommand {
        evidence: None,
        ..samples::ban()
    };
    assert_eq!(decode(&bytes(BAN)), Ok(ban));
}

#[test]
fn it_reads_what_this_release_writes_and_counts_what_it_skips() {
    let mut batch = samples::telemetry();
    for skipped in [1, 2] {
        let read = Decoded {
            message: older_batch(),
            skipped,
        };
        assert_eq!(decode_counted(&encode(&batch).unwrap()), Ok(read));
        batch.events[0].signatures.push(MatchedSignature::default());
    }
    let ban = encode(&samples::ban()).unwrap();
    let read = Decoded {
        message: older_ban(),
        skipped: 1,
    };
    assert_eq!(decode_counted(&ban), Ok(read));
}

/// A ban for edges with the label `role=web`.
const LABELLED: &str = "02 06 10 01920000000070008000000000000001 00 00000000000000000000ffffc6336407 80 0b 6572726f722d666c6f6f64 10 3530206572726f727320696e20363073 01 00 01 fbd007 fc902f0900 0c 6f7263686573747261746f72 00 03 01 0700 0b000000 01 01 04 726f6c65 03 776562";

#[test]
fn it_enforces_a_ban_for_labels_nowhere() {
    let ban = BlockCommand {
        evidence: None,
        scope: Scope::of_labels(parse_labels("role=web").unwrap()),
        ..samples::ban()
    };
    assert_eq!(hex(&encode(&ban).unwrap()), hex(&bytes(LABELLED)));
    assert_eq!(decode(&bytes(LABELLED)), Ok(ban));
    let Decoded { message, skipped } = decode_counted::<OlderBan>(&bytes(LABELLED)).unwrap();
    assert_eq!(skipped, 1);
    assert_eq!(message.scope.edges(), Some(&[][..]));
}
