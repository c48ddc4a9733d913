//! What is understood of entries that the firewalls themselves wrote.

use secbeat_common::wire::{MAX_TEXT, Severity};

use super::*;

/// Written by libapache2-mod-security2 2.9.7 and modsecurity-crs 3.3.4 on Apache 2.4.
const APACHE: &str = include_str!("../../fixtures/waf/modsecurity-2.9.json");
/// Written by libmodsecurity 3.0.9 and modsecurity-crs 3.3.4 on nginx 1.22.
const NGINX: &str = include_str!("../../fixtures/waf/modsecurity-3.0.json");
/// Of the form that Coraza 3.3 writes, with part K of the audit log and without.
const CORAZA: &str = include_str!("../../fixtures/waf/coraza-3.json");

/// 2026-11-21T11:07:04Z.
const BEGAN: i64 = 1_795_259_224_000;
const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";
const CRITICAL: Option<Severity> = Some(Severity::Critical);
const SQLI: &str = "SQL Injection Attack Detected via libinjection";

fn parse(format: WafFormat, line: &str) -> Result<Option<WafEvent>, WafError> {
    format.parse(line.as_bytes(), LearnedFrom::Peer, &TimeZone::UTC)
}

fn events(format: WafFormat, log: &str) -> Vec<WafEvent> {
    log.lines()
        .map(|line| parse(format, line).unwrap().unwrap())
        .collect()
}

/// Client, blocked, rules, score, message, path: everything but the time and the host.
type Told<'a> = (
    &'a str,
    bool,
    Vec<(u32, Option<Severity>)>,
    Option<u32>,
    &'a str,
    &'a str,
);

#[track_caller]
fn assert_told(events: &[WafEvent], expected: &[Told<'_>]) {
    assert_eq!(events.len(), expected.len());
    for (event, told) in events.iter().zip(expected) {
        let rules = event.rules.iter().map(|rule| (rule.id, rule.severity));
        let client = event.client.to_string();
        let blocked = event.outcome == WafOutcome::Blocked;
        let (message, uri) = (event.message.as_str(), event.uri.as_str());
        let got: Told<'_> = (
            &client,
            blocked,
            rules.collect(),
            event.anomaly_score,
            message,
            uri,
        );
        assert_eq!(&got, told);
        assert_eq!(event.host, "www.example.org");
    }
}

#[test]
fn apaches_entries_are_understood() {
    let events = events(WafFormat::Modsecurity, APACHE);
    let sqli = |client, blocked| {
        let rules = vec![(942_100, CRITICAL), (949_110, CRITICAL), (980_130, None)];
        (client, blocked, rules, Some(5), SQLI, "/")
    };
    let emergency = Some(Severity::Emergency);
    assert_told(
        &events,
        &[
            sqli(V4, true),
            (
                V4,
                true,
                vec![(1000, None)],
                None,
                "Own rule without severity",
                "/secret",
            ),
            (
                V4,
                false,
                vec![(1001, None)],
                None,
                "Warning. String match \"/odd\" at REQUEST_URI.",
                "/odd",
            ),
            (
                V4,
                true,
                vec![(1002, emergency)],
                None,
                "Own rule with \"quotes\" and ] in it",
                "/alarm",
            ),
            sqli(V6, true),
            sqli(V4, false),
        ],
    );
    assert_eq!(events[1].at_ms, BEGAN + 632);
}

#[test]
fn nginxs_entries_are_understood() {
    let events = events(WafFormat::Modsecurity, NGINX);
    let sqli = |client, blocked| {
        let rules = vec![(942_100, CRITICAL), (949_110, CRITICAL)];
        (client, blocked, rules, Some(5), SQLI, "/")
    };
    let traversal = [930_100, 930_110, 930_120, 932_160, 949_110];
    assert_told(
        &events,
        &[
            sqli(V4, true),
            (
                V4,
                true,
                vec![(1000, None)],
                None,
                "Own rule without severity",
                "/secret",
            ),
            (
                V4,
                false,
                vec![(1001, None)],
                None,
                "Matched \"Operator `BeginsWith' with parameter `/odd' against variable `REQUEST_URI' (Value: `/odd' )",
                "/odd",
            ),
            // Blocked with 404: the log does not show it.
            (
                V4,
                false,
                vec![(1002, None)],
                None,
                "Own rule with \\\"quotes\\\" and ] in it",
                "/alarm",
            ),
            (
                V4,
                true,
                traversal.map(|rule| (rule, CRITICAL)).to_vec(),
                Some(40),
                "Path Traversal Attack (/../)",
                "/%c3%a9",
            ),
            sqli(V6, true),
            sqli(V4, false),
        ],
    );
    assert_eq!(events[0].at_ms, BEGAN);
}

#[test]
fn corazas_entries_are_understood() {
    let events = events(WafFormat::Coraza, CORAZA);
    assert_told(
        &events,
        &[
            (
                V4,
                true,
                vec![(942_100, CRITICAL), (949_110, CRITICAL)],
                Some(5),
                SQLI,
                "/",
            ),
            (
                V6,
                false,
                vec![(1000, None)],
                None,
                "Own rule without severity",
                "/secret",
            ),
        ],
    );
    assert_eq!([events[0].at_ms, events[1].at_ms], [BEGAN + 632, BEGAN + 1100]);
}

#[test]
fn a_time_of_day_is_settled_by_the_transactions_id_or_the_time_zone() {
    let line = NGINX.lines().next().unwrap();
    let zone = TimeZone::fixed(jiff::tz::offset(-5));
    let at = |line: &str| {
        let parsed = WafFormat::Modsecurity.parse(line.as_bytes(), LearnedFrom::Peer, &zone);
        parsed.unwrap().unwrap().at_ms
    };
    // The server's process is five and three quarter hours ahead of UTC; the edge's, five behind.
    let nepal = line.replace("Nov 21 11:07:04", "Nov 21 16:52:04");
    assert!(nepal.contains("16:52:04"));
    assert_eq!(at(&nepal), BEGAN, "the id begins with the second");
    let id = "\"unique_id\":\"";
    let own = line.replace(id, "\"unique_id\":\"req-");
    let digits = line.replace(id, "\"unique_id\":\"1000000007");
    for other in [own, digits] {
        assert_eq!(at(&other), BEGAN + 5 * 3_600_000, "{other}");
    }
    assert_eq!(
        time::of_day("Sun Nov  1 00:00:00 2026", "", &TimeZone::UTC),
        Some(1_793_491_200_000)
    );
}

#[test]
fn where_the_address_was_learned_is_passed_on() {
    let line = APACHE.lines().next().unwrap().as_bytes();
    for learned_from in [LearnedFrom::Peer, LearnedFrom::Header, LearnedFrom::ProxyProtocol] {
        let event = WafFormat::Modsecurity.parse(line, learned_from, &TimeZone::UTC);
        assert_eq!(event.unwrap().unwrap().learned_from, learned_from);
    }
}

#[test]
fn what_a_request_smuggles_into_a_message_is_not_read_as_its_fields() {
    let line = "Warning. Pattern match \"x\" at ARGS_NAMES:a[file \"b\"] [id \"1\"] [severity \"DEBUG\"]. \
        [file \"/r.conf\"] [line \"4\"] [id \"942100\"] [msg \"SQLi\"] \
        [data \"Matched Data: \\\"] [severity \\\"DEBUG\\\"] [file \\\"x\\\"] [id \\\"2\\\"]\"] \
        [severity \"CRITICAL\"] [tag \"attack-sqli\"]";
    let expected = Match {
        rule: 942_100,
        severity: CRITICAL,
        text: "SQLi".into(),
    };
    assert_eq!(Match::from_line(line.into()), Some(expected));
}

#[test]
fn messages_of_no_rule_are_no_matches() {
    for line in [
        "",
        "[id \"\"]",
        "[id \"x\"]",
        "[id \"-1\"]",
        "[id \"4294967296\"]",
        "[id \"12",
        "[file \"a",
        "Rule processing failed",
    ] {
        assert_eq!(Match::from_line(line.into()), None, "{line}");
    }
    assert_eq!(
        Match::from_line("[id \"12\"]".into()).map(|found| found.rule),
        Some(12)
    );
}

#[test]
fn an_entry_without_a_match_is_no_event() {
    let v2 = r#"{"transaction":{"time":"21/Nov/2026:11:07:04 +0100","remote_address":"192.0.2.7"},"audit_data":{}}"#;
    let v3 =
        r#"{"transaction":{"client_ip":"192.0.2.7","time_stamp":"Sat Nov 21 11:07:04 2026","messages":[]}}"#;
    let coraza = r#"{"transaction":{"client_ip":"192.0.2.7","unix_timestamp":1}}"#;
    for (format, line) in [
        (WafFormat::Modsecurity, v2),
        (WafFormat::Modsecurity, v3),
        (WafFormat::Coraza, coraza),
    ] {
        assert_eq!(parse(format, line), Ok(None), "{line}");
    }
}

#[test]
fn lines_that_are_no_entries_are_refused() {
    let no_json = ["", "{", "[]", "null", "--a1b2c3d4-A--", "{\"transaction\":7}"];
    for (format, line) in no_json
        .iter()
        .flat_map(|line| WafFormat::VARIANTS.iter().map(move |format| (*format, line)))
    {
        assert!(
            matches!(parse(format, line), Err(WafError::Json { .. })),
            "{format}: {line}"
        );
    }
    for (format, line, error) in [
        (WafFormat::Modsecurity, r#"{"transaction":{}}"#, WafError::Client),
        (
            WafFormat::Modsecurity,
            r#"{"transaction":{"remote_address":"unix:"}}"#,
            WafError::Client,
        ),
        (
            WafFormat::Coraza,
            r#"{"transaction":{"client_ip":"x","unix_timestamp":1}}"#,
            WafError::Client,
        ),
        (
            WafFormat::Modsecurity,
            r#"{"transaction":{"remote_address":"::1","time":"now"}}"#,
            WafError::Time,
        ),
        (
            WafFormat::Modsecurity,
            r#"{"transaction":{"client_ip":"::1","time_stamp":"now"}}"#,
            WafError::Time,
        ),
        (
            WafFormat::Coraza,
            r#"{"transaction":{"client_ip":"::1","unix_timestamp":0}}"#,
            WafError::Time,
        ),
    ] {
        assert_eq!(parse(format, line), Err(error), "{line}");
    }
}

#[test]
fn errors_quote_nothing_of_the_line() {
    for (line, error) in [
        (
            r#"{"transaction":"secret"}"#,
            "no JSON object of an audit log: a value or key of another kind at byte 23",
        ),
        ("secret", "no JSON object of an audit log: no JSON at byte 1"),
        (
            r#"{"transaction":{"client_ip":"secret","unix_timestamp":1}}"#,
            "the client is not an address",
        ),
    ] {
        let told = parse(WafFormat::Coraza, line).unwrap_err();
        assert_eq!(told.to_string(), error, "{line}");
    }
}

#[test]
fn rules_count_once_and_texts_are_cut() {
    let message = |id: usize, severity| {
        format!(
            r#"{{"message":"{}","details":{{"ruleId":"{id}","severity":"{severity}"}}}}"#,
            "é".repeat(MAX_TEXT)
        )
    };
    let messages: Vec<_> = [message(7, 5), message(7, 3), message(7, 4)]
        .into_iter()
        .chain((100..200).map(|id| message(id, 2)))
        .collect();
    let line = format!(
        r#"{{"transaction":{{"client_ip":"::ffff:192.0.2.7","time_stamp":"Sat Nov 21 11:07:04 2026","request":{{"uri":"/{}","headers":{{"HOST":"h"}}}},"messages":[{}]}}}}"#,
        "x".repeat(2 * MAX_TEXT),
        messages.join(",")
    );
    let event = parse(WafFormat::Modsecurity, &line).unwrap().unwrap();
    assert_eq!(event.client.to_string(), V4);
    assert_eq!(event.rules.len(), MAX_WAF_RULES);
    let first = WafRule {
        id: 7,
        severity: Some(Severity::Error),
    };
    assert_eq!(event.rules[0], first, "the most severe of its matches");
    assert_eq!((event.message.len(), event.uri.len()), (MAX_TEXT, MAX_TEXT));
    assert_eq!(event.host, "h");
}

#[test]
fn bytes_that_are_no_utf_8_are_replaced() {
    let line = APACHE.lines().nth(1).unwrap().replace("/secret", "/\u{1}");
    let bytes: Vec<u8> = line.bytes().map(|b| if b == 1 { 0xff } else { b }).collect();
    let event = WafFormat::Modsecurity.parse(&bytes, LearnedFrom::Peer, &TimeZone::UTC);
    assert_eq!(event.unwrap().unwrap().uri, "/\u{fffd}");
}

#[test]
fn formats_have_names() {
    for (format, name) in [
        (WafFormat::Modsecurity, "modsecurity-json"),
        (WafFormat::Coraza, "coraza-json"),
    ] {
        assert_eq!(format.to_string(), name);
        assert_eq!(name.parse(), Ok(format));
    }
    let error = "modsecurity".parse::<WafFormat>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid format of a WAF audit log `modsecurity`: expected modsecurity-json or coraza-json"
    );
}

#[test]
fn entries_cut_short_or_with_a_byte_changed_keep_what_the_fuzzer_checks() {
    for line in [APACHE, NGINX, CORAZA].into_iter().flat_map(str::lines) {
        for at in (0..line.len()).step_by(7) {
            check(&line.as_bytes()[..at]);
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] ^= 0x81;
            check(&bytes);
        }
    }
}
