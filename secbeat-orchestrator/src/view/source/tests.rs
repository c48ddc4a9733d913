//! Stories with a fixed clock.

use secbeat_common::{
    maps::allow,
    prefix::Prefix,
    wire::{
        Action, Audited, BlockCommand, Decision, Evidence, Layer, LearnedFrom, Reason, Scope, SeenEvent,
        SeenWhat, WafOutcome,
    },
};
use secbeat_daemon::time::rfc3339;
use secbeat_orchestrator_core::{
    ProtectedNet,
    analyzers::{DetectConfig, Excused, threshold::Detector},
    evidence::{Outcome, PastFinding},
    ledger::{ActiveBan, Brake, Refusal, Suppression, WriteState},
};
use uuid::Uuid;

use super::{
    view::{End, Standing},
    *,
};

/// 2026-11-20T10:00:00Z.
const NOW: i64 = 1_795_168_800_000;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// An id made at `at_ms`.
fn id(at_ms: i64) -> Uuid {
    Uuid::from_u128((at_ms as u128) << 80 | 0x7000_8000_0000_0000_0001)
}

/// Nothing but the windows of a source that was never seen.
fn nothing(address: &str) -> SourceFacts {
    let address = address.parse().unwrap();
    let source = Prefix::single(address);
    SourceFacts {
        address,
        source,
        now_ms: NOW,
        restored: true,
        bans: Vec::new(),
        protected: Vec::new(),
        forgiven_until_ms: None,
        strikes: 0,
        crawler: None,
        windows: Detector::new(DetectConfig::default()).windows(&source, NOW),
        excused: None,
        findings: Vec::new(),
        events: Vec::new(),
    }
}

fn answer(at_ms: i64, edge: &str, status: u16, path: &str) -> SeenEvent {
    SeenEvent {
        at_ms,
        edge: edge.to_owned(),
        client: "198.51.100.7".parse().unwrap(),
        learned_from: LearnedFrom::Peer,
        what: SeenWhat::Answer {
            status,
            method: "GET".to_owned(),
            user_agent: "curl/8".to_owned(),
        },
        path: path.to_owned(),
        host: "example.org".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    }
}

fn audited(records: Vec<AuditRecord>) -> Vec<Audited> {
    records.into_iter().map(Audited::Decision).collect()
}

fn record(target: &str, at_ms: i64, actor: &str, decision: Decision) -> AuditRecord {
    AuditRecord {
        at_ms,
        target: prefix(target),
        actor: actor.to_owned(),
        decision,
    }
}

/// A ban for 5 minutes, found at `at_ms` and decided 2 ms later.
fn ban(target: &str, at_ms: i64, strikes: u32, events: Vec<SeenEvent>) -> AuditRecord {
    let decision = Decision::Ban {
        list: None,
        command_id: id(at_ms + 2),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        expires_at_ms: at_ms + 1 + 300_000,
        strikes,
        evidence: Some(Evidence {
            count: 50,
            window_ms: 60_000,
            at_ms,
        }),
        layer: Layer::Kernel,
        edges: None,
        labels: Vec::new(),
        events,
    };
    record(target, at_ms + 4, "secbeat-orchestrator", decision)
}

fn in_force(target: &str, at_ms: i64) -> ActiveBan {
    let command = BlockCommand {
        id: id(at_ms + 2),
        action: Action::Block,
        list: None,
        target: prefix(target),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 1,
        issued_at_ms: at_ms + 1,
        expires_at_ms: at_ms + 1 + 300_000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 0,
    };
    let write = WriteState::Acknowledged;
    ActiveBan { command, write }
}

fn finding(at_ms: i64, outcome: Outcome, times: u32) -> PastFinding {
    PastFinding {
        at_ms,
        source: prefix("198.51.100.7"),
        rule: Reason::ErrorFlood,
        count: 50,
        window_ms: 60_000,
        outcome,
        times,
    }
}

#[test]
fn what_counted_against_nobody_is_said() {
    let says = |count, status| {
        let excused = Excused {
            count,
            status,
            at_ms: NOW - 5_000,
        };
        let facts = SourceFacts {
            excused: Some(excused),
            ..nothing("198.51.100.7")
        };
        tell(
            &facts,
            Ok(Vec::new()),
            Ok(Vec::new()),
            &Catalogue::default(),
            &Geo::default(),
        )
        .sentences
        .pop()
        .unwrap()
    };
    let at = rfc3339(NOW - 5_000);
    let because = "because most other clients of the upstream got the same.";
    assert_eq!(
        says(1, 404),
        format!("1 response to it did not count (404 at {at}), {because}")
    );
    assert_eq!(
        says(70, 404),
        format!("70 responses to it did not count (the last 404 at {at}), {because}")
    );
    let because = "because most other clients of the upstream got the same, or none was answered otherwise.";
    assert_eq!(
        says(2, 502),
        format!("2 responses to it did not count (the last 502 at {at}), {because}")
    );
}

#[test]
fn the_share_of_requests_that_other_sites_embed_is_told() {
    let last = |embedded: usize| {
        let events = (0..4).map(|n: usize| SeenEvent {
            cross_site: n < embedded,
            ..answer(NOW - 1_000 + n as i64, "edge-1", 404, "/gone.png")
        });
        let facts = SourceFacts {
            events: events.collect(),
            ..nothing("198.51.100.7")
        };
        let (catalogue, geo) = (Catalogue::default(), Geo::default());
        let view = tell(&facts, Ok(Vec::new()), Ok(Vec::new()), &catalogue, &geo);
        view.sentences.last().cloned().unwrap()
    };
    assert_eq!(
        last(3),
        "3 of the 4 requests seen (75 %) say that a page of another site embeds them. Such a page can get its visitors banned, but any \
         client can say so."
    );
    assert!(!last(0).contains("another site"), "{}", last(0));
}

#[test]
fn a_banned_scanner() {
    let (first, second) = (NOW - 3_600_000, NOW - 30_000);
    let waf = SeenEvent {
        what: SeenWhat::Waf {
            rule: Some(942_100),
            outcome: WafOutcome::Blocked,
            message: "SQL \u{1b}[2Jinjection".to_owned(),
        },
        ..answer(second - 1_000, "edge-2", 0, "/login")
    };
    let events: Vec<_> = [
        answer(second - 12_500, "edge-1", 404, "/wp-login.php"),
        answer(second - 2_000, "edge-1", 404, "/.env"),
        waf,
        answer(second, "edge-2", 403, "/admin"),
        answer(second + 3, "edge-1", 404, "/backup.zip"),
    ]
    .into_iter()
    .rev()
    .collect();
    let facts = SourceFacts {
        bans: vec![in_force("198.51.100.7", second)],
        strikes: 1,
        findings: vec![finding(
            second,
            Outcome::Banned {
                command_id: id(second + 2),
            },
            1,
        )],
        events,
        ..nothing("198.51.100.7")
    };
    let lifted = Decision::Unban {
        list: None,
        command_id: id(first + 2),
        strikes: 0,
        note: "our own crawler".to_owned(),
    };
    let audit = vec![
        ban(
            "198.51.100.7",
            first,
            0,
            vec![answer(first, "edge-1", 404, "/old")],
        ),
        record("198.51.100.7", first + 60_000, "alice", lifted),
        ban("198.51.100.7", second, 1, Vec::new()),
    ];
    insta::assert_snapshot!(render(&tell(&facts, Ok(audited(audit)), Ok(Vec::new()), &Catalogue::default(), &Geo::default())), @r#"
    198.51.100.7 is banned: 198.51.100.7/32 until 2026-11-20T10:04:30.001Z, 4m 31s left; error-flood (50 errors in 60s), by orchestrator.

    Source:  198.51.100.7/32
    Strikes: 1
    Windows: error-flood 0 of 50 in 1m, request-flood 0 of 1000 in 1m, waf-flood 0 of 5 in 1m, probe 0 of 3 in 1m, attack 0 of 1 in 1m (dry run)

    Timeline (UTC)
      2026-11-20T09:00:00.000Z  1 event, reported by edge-1: 404
      2026-11-20T09:00:00.000Z  error-flood found 50 in 1m
      2026-11-20T09:00:00.002Z  secbeat-orchestrator banned 198.51.100.7/32 until 2026-11-20T09:05:00.001Z (kernel, strikes 0): error-flood (50 errors in 60s)
      2026-11-20T09:00:00.004Z  NATS had the ban
      2026-11-20T09:01:00.000Z  alice lifted the ban of 198.51.100.7/32 (our own crawler)
      2026-11-20T09:59:17.500Z  1 event, reported by edge-1: 404
      2026-11-20T09:59:28.000Z  3 events until 09:59:30.000Z, reported by edge-1, edge-2: 403, 404, WAF rule 942100
      2026-11-20T09:59:30.000Z  error-flood found 50 in 1m
      2026-11-20T09:59:30.002Z  secbeat-orchestrator banned 198.51.100.7/32 until 2026-11-20T10:04:30.001Z (kernel, strikes 1): error-flood (50 errors in 60s)
      2026-11-20T09:59:30.003Z  1 event, reported by edge-1: 404
      2026-11-20T09:59:30.004Z  NATS had the ban

    Bans
     DECIDED                   TARGET           REASON       BY                    LAYER   STRIKES  EXPIRES                   END                                          COMMAND
     2026-11-20T09:00:00.002Z  198.51.100.7/32  error-flood  secbeat-orchestrator  kernel  0        2026-11-20T09:05:00.001Z  lifted by alice at 2026-11-20T09:01:00.000Z  01a1f82f-1e82-7000-8000-000000000001
     2026-11-20T09:59:30.002Z  198.51.100.7/32  error-flood  secbeat-orchestrator  kernel  1        2026-11-20T10:04:30.001Z  in force                                     01a1f865-97d2-7000-8000-000000000001

    What was seen of it
     TIME                      EDGE    WHAT                METHOD  HOST         PATH           FROM          LEARNED  AGENT
     2026-11-20T09:00:00.000Z  edge-1  404                 GET     example.org  /old           198.51.100.7  peer     curl/8
     2026-11-20T09:59:17.500Z  edge-1  404                 GET     example.org  /wp-login.php  198.51.100.7  peer     curl/8
     2026-11-20T09:59:28.000Z  edge-1  404                 GET     example.org  /.env          198.51.100.7  peer     curl/8
     2026-11-20T09:59:29.000Z  edge-2  WAF 942100 blocked          example.org  /login         198.51.100.7  peer     SQL \u{1b}[2Jinjection
     2026-11-20T09:59:30.000Z  edge-2  403                 GET     example.org  /admin         198.51.100.7  peer     curl/8
     2026-11-20T09:59:30.003Z  edge-1  404                 GET     example.org  /backup.zip    198.51.100.7  peer     curl/8
    "#);
}

#[test]
fn a_ban_of_the_network_around_it_and_one_that_was_replaced() {
    let by_hand = |at_ms: i64, until_ms: i64| {
        let decision = Decision::Ban {
            list: None,
            command_id: id(at_ms),
            reason: Reason::Manual,
            note: String::new(),
            expires_at_ms: until_ms,
            strikes: 0,
            evidence: None,
            layer: Layer::Kernel,
            edges: None,
            labels: Vec::new(),
            events: Vec::new(),
        };
        record("198.51.100.0/24", at_ms, "alice", decision)
    };
    let audit = vec![
        ban("198.51.100.7", NOW - 7_200_000, 0, Vec::new()),
        by_hand(NOW - 10_000, NOW + 1_000),
        by_hand(NOW - 5_000, NOW + 60_000),
    ];
    let view = tell(
        &nothing("198.51.100.7"),
        Ok(audited(audit)),
        Ok(Vec::new()),
        &Catalogue::default(),
        &Geo::default(),
    );
    let ends: Vec<_> = view.history.iter().map(|ban| ban.end.clone()).collect();
    assert_eq!(
        ends,
        [End::Expired, End::Replaced { by: id(NOW - 5_000) }, End::InForce]
    );
    let ended: Vec<_> = view
        .timeline
        .iter()
        .filter(|moment| moment.kind == "ended")
        .collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].at, "2026-11-20T08:05:00.001Z");
    assert_eq!(ended[0].text, "the ban of 198.51.100.7/32 ended by itself");
}

#[test]
fn an_exempt_client_of_a_banned_network_is_told_which_of_both_is_banned() {
    let exempt = |code| ProtectedNet {
        network: prefix("198.51.100.7"),
        code,
        comment: "exempt".to_owned(),
        until_ms: None,
    };
    let first = |protected| {
        let facts = SourceFacts {
            bans: vec![in_force("198.51.100.0/24", NOW - 2000)],
            protected: vec![protected],
            ..nothing("198.51.100.7")
        };
        let view = tell(
            &facts,
            Ok(Vec::new()),
            Ok(Vec::new()),
            &Catalogue::default(),
            &Geo::default(),
        );
        assert_eq!(view.standing, Standing::Banned);
        let lines = render(&view)
            .lines()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>();
        (view.is_exempt, lines)
    };
    let until =
        "until 2026-11-20T10:04:58.001Z, 4m 59s left; error-flood (50 errors in 60s), by orchestrator.";
    assert_eq!(
        first(exempt(allow::FLEET)),
        (
            true,
            vec![
                format!("198.51.100.0/24 is banned {until}"),
                "198.51.100.7/32 is allowlisted: on the fleet's allowlist (exempt), so its packets pass."
                    .to_owned()
            ]
        )
    );
    // What an orchestrator's config says, the edges do not know.
    assert_eq!(
        first(exempt(allow::CONFIGURED)),
        (
            false,
            vec![
                format!("198.51.100.7 is banned: 198.51.100.0/24 {until}"),
                "198.51.100.7/32 is allowlisted: the orchestrator's config lists it under [protect] (exempt)."
                    .to_owned()
            ]
        )
    );
}

#[test]
fn a_protected_source_is_told_what_protects_it() {
    let protected = ProtectedNet {
        network: prefix("198.51.100.0/24"),
        code: allow::TRUSTED_PROXY,
        comment: String::new(),
        until_ms: None,
    };
    let refused = Suppression::Protected(Refusal::Protected(protected.network));
    let suppressed = Decision::Suppressed {
        reason: Reason::ErrorFlood,
        why: "protected: 198.51.100.0/24".to_owned(),
        evidence: Evidence {
            count: 50,
            window_ms: 60_000,
            at_ms: NOW - 90_000,
        },
        events: vec![answer(NOW - 90_000, "edge-1", 404, "/a")],
    };
    let facts = SourceFacts {
        protected: vec![protected],
        findings: vec![finding(NOW - 10_000, Outcome::Suppressed(refused), 3)],
        ..nothing("198.51.100.7")
    };
    let audit = record("198.51.100.7", NOW - 89_998, "secbeat-orchestrator", suppressed);
    insta::assert_snapshot!(render(&tell(&facts, Ok(audited(vec![audit])), Ok(Vec::new()), &Catalogue::default(), &Geo::default())), @r#"
    198.51.100.7/32 is allowlisted, because of 198.51.100.0/24: a proxy under trusted_proxies, whose clients are banned in its place.

    Source:  198.51.100.7/32
    Strikes: 0
    Windows: error-flood 0 of 50 in 1m, request-flood 0 of 1000 in 1m, waf-flood 0 of 5 in 1m, probe 0 of 3 in 1m, attack 0 of 1 in 1m (dry run)

    Timeline (UTC)
      2026-11-20T09:58:30.000Z  1 event, reported by edge-1: 404
      2026-11-20T09:58:30.000Z  error-flood found 50 in 1m, not banned: protected: 198.51.100.0/24
      2026-11-20T09:59:50.000Z  error-flood found 50 in 1m (3 times so far): not banned: protected: 198.51.100.0/24

    What was seen of it
     TIME                      EDGE    WHAT  METHOD  HOST         PATH  FROM          LEARNED  AGENT
     2026-11-20T09:58:30.000Z  edge-1  404   GET     example.org  /a    198.51.100.7  peer     curl/8
    "#);
}

#[test]
fn who_was_found_while_the_brake_held_is_told_so() {
    let mut facts = nothing("198.51.100.7");
    facts.findings = vec![finding(
        NOW - 10_000,
        Outcome::Suppressed(Suppression::Brake(Brake::Rate)),
        1,
    )];
    facts.windows[0].count = 12;
    // As a rule by provider, whose clients are enough.
    let mut windows = facts.windows.iter_mut();
    let probe = windows.find(|window| window.rule.name() == "probe").unwrap();
    probe.count = probe.threshold.into();
    let view = tell(
        &facts,
        Ok(Vec::new()),
        Ok(Vec::new()),
        &Catalogue::default(),
        &Geo::default(),
    );
    assert_eq!(view.standing, Standing::Free);
    assert_eq!(
        view.sentences,
        [
            "198.51.100.7 is not banned.",
            "error-flood found 50 in 1m at 2026-11-20T09:59:50.000Z, and banned no client: brake: more bans within a \
             minute than configured.",
            "A ban takes 38 more in 1m (error-flood), 1000 in 1m (request-flood), 5 in 1m (waf-flood) or 1 more in 1m (probe).",
        ]
    );
    assert_eq!(view.timeline.len(), 1);
}

#[test]
fn an_address_never_seen() {
    insta::assert_snapshot!(render(&tell(&nothing("2001:db8::7"), Ok(Vec::new()), Ok(Vec::new()), &Catalogue::default(), &Geo::default())), @r#"
    2001:db8::7 is not banned, and nothing is known of it.
    A ban would take 50 in 1m (error-flood), 1000 in 1m (request-flood), 5 in 1m (waf-flood) or 3 in 1m (probe).

    Source:  2001:db8::/64
    Strikes: 0
    Windows: error-flood 0 of 50 in 1m, request-flood 0 of 1000 in 1m, waf-flood 0 of 5 in 1m, probe 0 of 3 in 1m, attack 0 of 1 in 1m (dry run)
    "#);
}

#[test]
fn what_feeds_do_with_an_address_is_said() {
    let on = |mode: &str| {
        let feed = OnFeed {
            feed: "all8".to_owned(),
            mode: mode.to_owned(),
            network: "198.0.0.0/8".to_owned(),
        };
        let facts = nothing("198.51.100.7");
        let view = tell(
            &facts,
            Ok(Vec::new()),
            Ok(vec![feed]),
            &Catalogue::default(),
            &Geo::default(),
        );
        view.sentences[..2].to_vec()
    };
    assert_eq!(
        on("ban"),
        [
            "Edges drop packets of 198.51.100.7: 198.0.0.0/8 is on the list of the feed all8 (mode ban). `allowlist add` exempts the address; `exclude` of the feed takes it off the list.",
            "No ban of 198.51.100.7 is in force that `unban` could end, and nothing else is known of it.",
        ]
    );
    assert_eq!(
        on("observe"),
        [
            "198.0.0.0/8 is on the list of the feed all8, which only counts (mode observe).",
            "198.51.100.7 is not banned, and nothing is known of it.",
        ]
    );
}

#[test]
fn what_cannot_be_known_is_said() {
    let facts = SourceFacts {
        restored: false,
        ..nothing("198.51.100.7")
    };
    let view = tell(
        &facts,
        Err("NATS does not answer".to_owned()),
        Err("NATS does not answer".to_owned()),
        &Catalogue::default(),
        &Geo::default(),
    );
    assert_eq!(view.audit_missing.as_deref(), Some("NATS does not answer"));
    assert_eq!(
        view.sentences,
        [
            "198.51.100.7 is not banned, and this process knows nothing of it.",
            "A ban would take 50 in 1m (error-flood), 1000 in 1m (request-flood), 5 in 1m (waf-flood) or 3 in 1m (probe).",
            "The ledger is still being read from NATS: bans may be missing here.",
            "The feeds could not be read, and one may have 198.51.100.7 on its list: NATS does not answer.",
            "The audit could not be read, so earlier decisions are missing here: NATS does not answer.",
        ]
    );
}

#[test]
fn whoever_is_forgiven_is_told_until_when() {
    let facts = SourceFacts {
        forgiven_until_ms: Some(NOW + 60_000),
        ..nothing("198.51.100.7")
    };
    let lifted = Decision::Unban {
        list: None,
        command_id: id(NOW),
        strikes: 0,
        note: String::new(),
    };
    let audit = vec![record("198.51.100.7", NOW, "alice", lifted)];
    let view = tell(
        &facts,
        Ok(audited(audit)),
        Ok(Vec::new()),
        &Catalogue::default(),
        &Geo::default(),
    );
    let told = "Nothing that it does before 2026-11-20T10:01:00.000Z counts.";
    assert!(view.sentences.contains(&told.to_owned()), "{:?}", view.sentences);
}

#[test]
fn why_the_last_ban_was_lifted_is_told() {
    let lifted = |note: &str| Decision::Unban {
        list: None,
        command_id: id(NOW - 3_599_998),
        strikes: 0,
        note: note.to_owned(),
    };
    for (note, told) in [("", ""), ("our own crawler", " (our own crawler)")] {
        let audit = vec![
            ban("198.51.100.7", NOW - 3_600_000, 0, Vec::new()),
            record("198.51.100.7", NOW - 3_500_000, "alice", lifted(note)),
        ];
        let view = tell(
            &nothing("198.51.100.7"),
            Ok(audited(audit)),
            Ok(Vec::new()),
            &Catalogue::default(),
            &Geo::default(),
        );
        let sentence = format!("was lifted by alice at 2026-11-20T09:01:40.000Z{told}.");
        let is_told = view.sentences.iter().any(|said| said.ends_with(&sentence));
        assert!(is_told, "{:?}", view.sentences);
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(
            json["history"][0]["end"]["note"].as_str().unwrap_or_default(),
            note
        );
    }
}

#[test]
fn the_json_leads_back() {
    let audit = vec![ban(
        "198.51.100.7",
        NOW - 7_200_000,
        0,
        vec![answer(1, "edge-1", 404, "/a")],
    )];
    let view = tell(
        &nothing("198.51.100.7"),
        Ok(audited(audit)),
        Ok(Vec::new()),
        &Catalogue::default(),
        &Geo::default(),
    );
    let json = serde_json::to_string(&view).unwrap();
    let read: SourceView = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    assert_eq!(render(&read), render(&view));
}
