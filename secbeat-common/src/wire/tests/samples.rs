//! One message of each kind.

use std::fmt::Debug;

use uuid::Uuid;

use super::{
    super::{decode, decode_counted, encode, *},
    bytes, hex,
};
use crate::{
    rules::{Exclusion, Match},
    sign::{Opened, SecretKey, Signer, Trust},
    sources::SourceLengths,
};

pub(super) fn ban() -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        action: Action::Block,
        list: None,
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

pub(super) fn telemetry() -> TelemetryBatch {
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
            signatures: Vec::new(),
            cross_site: false,
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

pub(super) fn late() -> LateBatch {
    LateBatch {
        age_ms: 40_000,
        batch: telemetry(),
    }
}

pub(super) fn waf() -> WafBatch {
    let rule = |id, severity| WafRule { id, severity };
    WafBatch {
        edge_id: "e".to_owned(),
        boot_id: Uuid::from_u128(7),
        sequence: 9,
        sent_at_ms: 2,
        dropped_before: 1,
        events: vec![WafEvent {
            client: "2001:db8::1".parse().unwrap(),
            at_ms: 1,
            learned_from: LearnedFrom::Header,
            outcome: WafOutcome::Detected,
            rules: vec![rule(942_100, Some(Severity::Critical)), rule(7, None)],
            anomaly_score: Some(5),
            message: "m".to_owned(),
            uri: "/x".to_owned(),
            host: "h".to_owned(),
        }],
    }
}

pub(super) fn service() -> ServiceBatch {
    ServiceBatch {
        edge_id: "e".to_owned(),
        boot_id: Uuid::from_u128(7),
        sequence: 9,
        sent_at_ms: 2,
        dropped_before: 1,
        events: vec![ServiceEvent {
            client: "2001:db8::1".parse().unwrap(),
            at_ms: 1,
            learned_from: LearnedFrom::Header,
            class: ServiceClass::Abuse,
            service: "sshd".to_owned(),
            kind: "k".to_owned(),
            user: "u".to_owned(),
        }],
    }
}

pub(super) fn acks() -> AckBatch {
    let ack = |outcome| Ack {
        command_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        target: "198.51.100.7".parse().unwrap(),
        issued_at_ms: 1_000,
        outcome,
    };
    AckBatch {
        edge_id: "e".to_owned(),
        at_ms: 1_003,
        acks: vec![
            ack(Enforcement::Enforced),
            ack(Enforcement::Refused("r".to_owned())),
            ack(Enforcement::Failed("f".to_owned())),
        ],
        banned: Vec::new(),
    }
}

pub(super) fn lift() -> Lift {
    Lift {
        target: "198.51.100.7".parse().unwrap(),
        id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        expires_at_ms: 301_000,
    }
}

pub(super) fn allow() -> AllowEntry {
    AllowEntry {
        network: "203.0.113.0/24".parse().unwrap(),
        comment: "office".to_owned(),
        until_ms: Some(1_000),
        added_by: "api".to_owned(),
        added_at_ms: 5,
    }
}

pub(super) fn disallow() -> Disallow {
    Disallow {
        network: "203.0.113.0/24".parse().unwrap(),
        until_ms: None,
    }
}

pub(super) fn interest() -> Interest {
    Interest::of([Match {
        statuses: vec!["200-302".parse().unwrap()],
        methods: vec!["POST".parse().unwrap()],
        paths: vec!["/login".parse().unwrap()],
        hosts: vec!["*.example.org".parse().unwrap()],
    }])
}

pub(super) fn sources() -> SourceLengths {
    SourceLengths::new(24, 56).unwrap()
}

pub(super) fn signatures() -> FleetSignatures {
    FleetSignatures {
        changed_at_ms: 1_000,
        changed_by: "a".to_owned(),
        files: vec![SignatureText {
            name: "n".to_owned(),
            text: "t".to_owned(),
        }],
        disabled: vec![DisabledSignature {
            id: "id".to_owned(),
            note: "w".to_owned(),
            by: "b".to_owned(),
            at_ms: 5,
        }],
    }
}

pub(super) fn detection() -> Detection {
    Detection {
        json: "{}".to_owned(),
    }
}

pub(super) fn feed() -> FleetFeed {
    FleetFeed {
        name: "f".to_owned(),
        verdict: FeedVerdict::Ban,
        source: "s".to_owned(),
        every_ms: 1,
        ttl_ms: 2,
        asked: 3,
        changed_at_ms: 1_000,
        content: Some(FeedContent {
            digest: [7; 32],
            bytes: 9,
            settings: 3,
            slot: 1,
            networks_v4: 2,
            networks_v6: 1,
            format: "list".to_owned(),
            taken_at_ms: 1_000,
            entries: 5,
            invalid: 1,
            unusable: 2,
            added: 3,
            removed: 4,
        }),
        fresh_at_ms: 1_000,
        ends_at_ms: 1_002,
        tried_at_ms: 1_000,
        next_at_ms: 1_001,
        trouble: Some(FeedTrouble {
            why: "w".to_owned(),
            is_refused: true,
            since_ms: 5,
            attempts: 1,
        }),
        etag: Some("e".to_owned()),
        last_modified: None,
    }
}

pub(super) fn lease() -> Lease {
    Lease {
        holder: Some("a".to_owned()),
        since_ms: 1_000,
        ..Lease::default()
    }
}

/// Of no use but here.
pub(super) fn key() -> SecretKey {
    "SVAAOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBZ4JI"
        .parse()
        .unwrap()
}

/// A message in words, and the number of its parts that were skipped.
type Read = Result<(String, u32), WireError>;

/// Tags and contents.
pub(super) type Parts = Vec<(u16, Vec<u8>)>;

/// A message of some kind, and how this release reads it.
pub(super) struct Sample {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    pub(super) golden: &'static str,
    /// Reads bytes as this kind.
    pub(super) read: fn(&[u8]) -> Read,
    /// The message with further parts.
    pub(super) extended: Box<dyn Fn(Parts) -> Vec<u8>>,
}

fn sample<M: Message + Clone + Debug + 'static>(message: M, golden: &'static str) -> Sample {
    Sample {
        kind: M::KIND,
        bytes: encode(&message).unwrap(),
        golden,
        read: |bytes| {
            let Decoded { message, skipped } = decode_counted::<M>(bytes)?;
            Ok((format!("{message:?}"), skipped))
        },
        extended: Box::new(move |more| {
            let message = message.clone();
            encode(&super::Newer { message, more }).unwrap()
        }),
    }
}

/// All kinds but [`Kind::Sealed`], which takes no parts.
pub(super) fn all() -> Vec<Sample> {
    vec![
        sample(telemetry(), TELEMETRY),
        sample(late(), LATE),
        sample(waf(), WAF),
        sample(service(), SERVICE),
        sample(acks(), ACKS),
        sample(ban(), BAN),
        sample(lift(), LIFT),
        sample(allow(), ALLOW),
        sample(disallow(), DISALLOW),
        sample(interest(), INTEREST),
        sample(sources(), SOURCES),
        sample(lease(), LEASE),
        sample(signatures(), SIGNATURES),
        sample(detection(), DETECTION),
        sample(feed(), FEED),
    ]
}

// Format, kind, base, number of parts, parts.
const TELEMETRY: &str = "02 01 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 00 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 00 03 01 00 01 0100 03000000 01 0161";
/// With the signatures of its event, a part that the first release skips.
const SIGNED_TELEMETRY: &str = "02 01 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 00 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 00 03 01 00 02 0100 03000000 01 0161 0500 13000000 01 01 02 6964 04 73716c69 08 637269746963616c";
/// With what its client's browser says of the page that made it send the request, a part that the first release skips.
const CROSS_SITE_TELEMETRY: &str = "02 01 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 00 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 00 03 01 00 02 0100 03000000 01 0161 0700 02000000 01 01";
const LATE: &str = "02 02 fb409c 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 00 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 00 03 01 00 01 0100 03000000 01 0161";
const WAF: &str = "02 03 0165 10 00000000000000000000000000000007 09 04 01 01 01 20010db8000000000000000000000001 02 01 01 02 fc14600e00 01 02 07 00 01 05 016d 022f78 0168 00";
const SERVICE: &str = "02 0d 0165 10 00000000000000000000000000000007 09 04 01 01 01 20010db8000000000000000000000001 02 01 01 0473736864 016b 0175 00";
const ACKS: &str = "02 04 0165 fbd607 03 10 01920000000070008000000000000001 00000000000000000000ffffc6336407 80 fbd007 00 00 10 01920000000070008000000000000001 00000000000000000000ffffc6336407 80 fbd007 01 0172 10 01920000000070008000000000000001 00000000000000000000ffffc6336407 80 fbd007 02 0166 00";
/// With a ban of the edge's own, a part that the first release skips.
const BANNED: &str = "02 04 0165 fbd607 00 01 0100 35000000 01 10 00000000000000000000000000000007 00000000000000000000ffffc6336407 80 0b 6572726f722d666c6f6f64 00 32 3c 02 04 06";
const SEALED: &str = "02 05 09 01 ea4a6c63e29c520a 4cfdf3073f54dba888780292c99687a5f59e45a7606f21e6bfaac1508b17c0cd 37735a53a7c2a96ffa1fa9a7bf8f10e7edfa9f35be7d3e9de01d47ff1e98200e 2a 02 07 00000000000000000000ffffc6336407 80 10 01920000000070008000000000000001 fc902f0900 00 00";
const BAN: &str = "02 06 10 01920000000070008000000000000001 00 00000000000000000000ffffc6336407 80 0b 6572726f722d666c6f6f64 10 3530206572726f727320696e20363073 00 01 fbd007 fc902f0900 0c 6f7263686573747261746f72 00 03 01 0100 07000000 32 fb60ea fbd007";
const LIFT: &str =
    "02 07 00000000000000000000ffffc6336407 80 10 01920000000070008000000000000001 fc902f0900 00";
const ALLOW: &str = "02 08 00000000000000000000ffffcb007100 78 06 6f6666696365 01 fbd007 03 617069 0a 00";
const DISALLOW: &str = "02 09 00000000000000000000ffffcb007100 78 00 00";
const INTEREST: &str =
    "02 0a 01 01 c8 fb2e01 01 04 504f5354 01 06 2f6c6f67696e 01 0d 2a2e6578616d706c652e6f7267 00";
/// Its base asks for more than its part, since the first release knows no `*` but at the ends of paths.
const EXACT_INTEREST: &str =
    "02 0a 01 00 00 01 022f2a 00 01 0100 14000000 01 00 00 01 052a2e6d6170 00 00 01 00 00 00 00 01 0178";
const SOURCES: &str = "02 0b 18 38 00";
const SIGNATURES: &str = "02 0e fbd007 0161 01 016e 0174 01 026964 0177 0162 0a 00";
const LEASE: &str = "02 0c 01 01 61 fbd007 00";
const DETECTION: &str = "02 0f 027b7d 00";
const FEED: &str = "02 10 0166 01 0173 02 04 03 fbd007 01 0707070707070707070707070707070707070707070707070707070707070707 09 03 01 02 01 046c697374 fbd007 05 01 02 03 04 fbd007 fbd407 fbd007 fbd207 01 0177 01 0a 01 01 0165 00 00";
const LEASE_OF_STUCK: &str = "02 0c 01 01 61 fbd007 01 0200 01000000 01";
const LEASE_WITH_CONFIG: &str =
    "02 0c 01 01 61 fbd007 01 0100 10000000 01 31 01 03 62616e fda315c2fda7bb41d1";

#[test]
fn each_kind_has_golden_bytes_that_lead_back() {
    let samples = all();
    let mut kinds: Vec<_> = samples.iter().map(|sample| sample.kind as u8).collect();
    kinds.push(Kind::Sealed as u8);
    kinds.sort_unstable();
    assert_eq!(kinds, Kind::ALL.map(|kind| kind as u8));
    for Sample {
        kind,
        bytes: encoded,
        golden,
        ..
    } in &samples
    {
        assert_eq!(hex(encoded), hex(&bytes(golden)), "{kind}");
    }
    assert_eq!(decode(&bytes(TELEMETRY)), Ok(telemetry()));
    assert_eq!(decode(&bytes(LATE)), Ok(late()));
    assert_eq!(decode(&bytes(WAF)), Ok(waf()));
    assert_eq!(decode(&bytes(SERVICE)), Ok(service()));
    assert_eq!(decode(&bytes(ACKS)), Ok(acks()));
    assert_eq!(decode(&bytes(BAN)), Ok(ban()));
    assert_eq!(decode(&bytes(LIFT)), Ok(lift()));
    assert_eq!(decode(&bytes(ALLOW)), Ok(allow()));
    assert_eq!(decode(&bytes(DISALLOW)), Ok(disallow()));
    assert_eq!(decode(&bytes(INTEREST)), Ok(interest()));
    assert_eq!(decode(&bytes(SOURCES)), Ok(sources()));
    assert_eq!(decode(&bytes(LEASE)), Ok(lease()));
    assert_eq!(decode(&bytes(SIGNATURES)), Ok(signatures()));
    assert_eq!(decode(&bytes(DETECTION)), Ok(detection()));
    assert_eq!(decode(&bytes(FEED)), Ok(feed()));
}

#[test]
fn that_an_orchestrator_cannot_ban_is_a_golden_part() {
    let lease = Lease {
        is_stuck: true,
        ..lease()
    };
    assert_eq!(hex(&encode(&lease).unwrap()), hex(&bytes(LEASE_OF_STUCK)));
    assert_eq!(decode(&bytes(LEASE_OF_STUCK)), Ok(lease));
}

#[test]
fn what_an_orchestrator_goes_by_is_a_golden_part() {
    let lease = Lease {
        config: ConfigDigests::new("1", [("ban", "x".to_owned())]),
        ..lease()
    };
    assert_eq!(hex(&encode(&lease).unwrap()), hex(&bytes(LEASE_WITH_CONFIG)));
    assert_eq!(decode(&bytes(LEASE_WITH_CONFIG)), Ok(lease));
}

#[test]
fn what_an_edge_banned_itself_is_a_golden_part() {
    let banned = LocalBan {
        id: Uuid::from_u128(7),
        target: "198.51.100.7".parse().unwrap(),
        reason: Reason::ErrorFlood,
        layer: Layer::Kernel,
        evidence: Evidence {
            count: 50,
            window_ms: 60,
            at_ms: 1,
        },
        issued_at_ms: 2,
        expires_at_ms: 3,
    };
    let batch = AckBatch {
        acks: Vec::new(),
        banned: vec![banned],
        ..acks()
    };
    assert_eq!(hex(&encode(&batch).unwrap()), hex(&bytes(BANNED)));
    assert_eq!(decode(&bytes(BANNED)), Ok(batch));
}

#[test]
fn what_is_asked_for_exactly_is_a_golden_part() {
    let asked = Asked {
        filter: Match {
            paths: vec!["*.map".parse().unwrap()],
            ..Match::default()
        },
        aborted: false,
        excluded: vec![Exclusion {
            user_agents: vec!["x".parse().unwrap()],
            ..Exclusion::default()
        }],
    };
    let interest = Interest::of([asked]);
    assert_eq!(hex(&encode(&interest).unwrap()), hex(&bytes(EXACT_INTEREST)));
    assert_eq!(decode(&bytes(EXACT_INTEREST)), Ok(interest));
}

#[test]
fn what_a_request_matched_is_a_golden_part() {
    let mut batch = telemetry();
    batch.events[0].signatures.push(MatchedSignature {
        id: "id".to_owned(),
        class: "sqli".to_owned(),
        severity: "critical".to_owned(),
    });
    assert_eq!(hex(&encode(&batch).unwrap()), hex(&bytes(SIGNED_TELEMETRY)));
    assert_eq!(decode(&bytes(SIGNED_TELEMETRY)), Ok(batch));
}

#[test]
fn that_another_sites_page_asked_is_a_golden_part() {
    let mut batch = telemetry();
    batch.events[0].cross_site = true;
    assert_eq!(hex(&encode(&batch).unwrap()), hex(&bytes(CROSS_SITE_TELEMETRY)));
    assert_eq!(decode(&bytes(CROSS_SITE_TELEMETRY)), Ok(batch));
}

#[test]
fn a_sealed_command_is_golden() {
    // Ed25519 is deterministic (RFC 8032, section 5.1.6).
    let sealed = Signer::from(Some(key())).seal(&lift(), 9).unwrap();
    assert_eq!(hex(&sealed), hex(&bytes(SEALED)));
    let trust: Trust = [key().public()].into_iter().collect();
    let opened = Opened {
        command: lift(),
        after: 9,
        skipped: 0,
    };
    assert_eq!(trust.open(&bytes(SEALED)), Ok(opened));
}
