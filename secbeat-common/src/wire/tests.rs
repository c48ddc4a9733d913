use uuid::Uuid;

use super::*;

fn command() -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        action: Action::Block,
        target: "198.51.100.7".parse().unwrap(),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: Some(Evidence {
            count: 50,
            window_ms: 60_000,
            at_ms: 1_000,
        }),
        scope: Scope::Fleet,
        strikes: 1,
        issued_at_ms: 1_000,
        expires_at_ms: 301_000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 3,
    }
}

fn batch() -> TelemetryBatch {
    TelemetryBatch {
        edge_id: "e".to_owned(),
        boot_id: Uuid::from_u128(7),
        sequence: 9,
        sent_at_ms: 2,
        dropped_before: 1,
        upstreams: vec!["u".to_owned()],
        events: vec![TelemetryEvent {
            client: "2001:db8::1".parse().unwrap(),
            at_ms: 1,
            status: 404,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            method: "GET".to_owned(),
            path: "/x".to_owned(),
            host: "h".to_owned(),
            user_agent: "a".to_owned(),
        }],
        counts: vec![SourceCount {
            source: "2001:db8::1".parse().unwrap(),
            at_ms: 1,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            requests: 3,
            errors: 1,
            server_errors: 0,
        }],
    }
}

fn late_batch() -> LateBatch {
    LateBatch {
        age_ms: 40_000,
        batch: batch(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn encodings_are_golden() {
    assert_eq!(hex(&encode(&command()).unwrap()), GOLDEN_COMMAND);
    assert_eq!(hex(&encode(&batch()).unwrap()), GOLDEN_BATCH);
    assert_eq!(hex(&encode(&late_batch()).unwrap()), GOLDEN_LATE_BATCH);
}

const GOLDEN_COMMAND: &str = "0110019200000000700080000000000000010000000000000000000000ffffc63364078001103530206572726f727320696e203630730132fb60eafbd0070001fbd007fc902f09000c6f7263686573747261746f720003";
const GOLDEN_LATE_BATCH: &str = "01fb409c01651000000000000000000000000000000007090401010175010120010db800000000000000000000000102fb9401000003474554022f78016801610120010db800000000000000000000000040020000030100";
const GOLDEN_BATCH: &str = "0101651000000000000000000000000000000007090401010175010120010db800000000000000000000000102fb9401000003474554022f78016801610120010db800000000000000000000000040020000030100";

#[test]
fn messages_lead_back_to_themselves() {
    assert_eq!(decode(&encode(&command()).unwrap()), Ok(command()));
    assert_eq!(decode(&encode(&batch()).unwrap()), Ok(batch()));
    assert_eq!(decode(&encode(&late_batch()).unwrap()), Ok(late_batch()));
}

#[test]
fn what_is_not_exactly_one_message_is_refused() {
    let good = encode(&command()).unwrap();
    assert_eq!(decode::<BlockCommand>(&[]), Err(WireError::Empty));
    assert_eq!(decode::<BlockCommand>(&[9, 1, 2]), Err(WireError::Version(9)));
    assert_eq!(
        decode::<BlockCommand>(&[&good[..], &[0, 0]].concat()),
        Err(WireError::TrailingBytes(2))
    );
    assert_eq!(
        decode::<BlockCommand>(&vec![1; MAX_MESSAGE + 1]),
        Err(WireError::TooLarge(MAX_MESSAGE + 1))
    );
    for len in 1..good.len() {
        assert!(
            matches!(decode::<BlockCommand>(&good[..len]), Err(WireError::Malformed(_))),
            "{len} bytes"
        );
    }
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // A vector that claims 2^60 elements, where the edge id's length is read.
    let bytes = [VERSION, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x10];
    assert!(matches!(
        decode::<TelemetryBatch>(&bytes),
        Err(WireError::Malformed(_))
    ));
}

#[test]
fn text_is_cut_between_characters() {
    let text = "é".repeat(MAX_TEXT);
    assert_eq!(cut(&text).len(), MAX_TEXT);
    assert_eq!(cut("short"), "short");
    assert_eq!(cut(&format!("x{text}")).len(), MAX_TEXT - 1);
}
