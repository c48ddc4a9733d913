//! Replays of real logs; see `secbeat-common/logs/fixtures/README.md`.

mod compressed;
mod diff;
mod merged;
mod providers;
mod rules;
mod scenarios;
mod snapshots;

use std::{io::Cursor, num::NonZeroU32, time::Duration};

use jiff::tz::TimeZone;
use secbeat_logs::FormatChoice;
use secbeat_orchestrator_core::{
    analyzers::{DetectConfig, threshold::Threshold},
    ledger::LedgerConfig,
};

use super::*;

const FLOOD: &[u8] = include_bytes!("../../../secbeat-common/logs/fixtures/http-dos-random-uri.log");
const PROBING: &[u8] = include_bytes!("../../../secbeat-common/logs/fixtures/apache-http-probing.log");
const SITE: &[u8] = include_bytes!("../../../secbeat-common/logs/fixtures/elastic-apache.log");

/// The first 500 lines of a mostly benign log.
fn benign() -> &'static [u8] {
    let (end, _) = SITE
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(499)
        .unwrap();
    &SITE[..=end]
}

fn inputs(logs: &[&[u8]]) -> Vec<(String, Input)> {
    let stream = |log: &&[u8]| Input::Stream(Box::new(Cursor::new(log.to_vec())));
    let named = |(n, log)| (format!("log-{n}"), stream(log));
    logs.iter().enumerate().map(named).collect()
}

fn try_replay(
    logs: Vec<(String, Input)>,
    detect: &DetectConfig,
    format: Format,
    read: &ReadAs,
) -> Result<(String, Summary), ReplayError> {
    let mut trials = [Trial::new(detect.clone(), LedgerConfig::default())];
    let mut output = Output::new(Vec::new(), format);
    let reading = Replay::of(logs, read, detect.reads_user_agents(), ProgressBar::hidden())?
        .run(&mut trials, |_, record| output.write(&record))?;
    let [trial] = trials;
    let verdicts = trial.finish();
    Ok((
        String::from_utf8(output.into_inner()).unwrap(),
        Summary { reading, verdicts },
    ))
}

fn replay(logs: &[&[u8]], detect: &DetectConfig, format: Format) -> (String, Summary) {
    try_replay(inputs(logs), detect, format, &ReadAs::default()).unwrap()
}

/// So many lines, all of them requests.
fn reading(lines: u64) -> Reading {
    Reading {
        read: lines,
        parsed: lines,
        ..Reading::default()
    }
}

fn errors(count: u32) -> DetectConfig {
    let mut config = DetectConfig::default();
    config.rules[0].threshold = Threshold {
        count: NonZeroU32::new(count).unwrap(),
        window: Duration::from_secs(60),
    };
    config
}

#[test]
fn a_probing_scan_is_banned_once() {
    let (found, summary) = replay(&[PROBING], &DetectConfig::default(), Format::Json);
    assert_eq!(
        found,
        "{\"at\":\"2021-09-29T12:37:05.000Z\",\"target\":\"172.17.0.1/32\",\"rule\":\"error-flood\",\"count\":50,\
         \"expires_at\":\"2021-09-29T12:42:05.000Z\",\"strikes\":0}\n"
    );
    assert_eq!(summary.reading, reading(77));
    assert_eq!(
        summary.verdicts.to_string(),
        "  error-flood: 1 finding of 1 source, 1 ban, 0 observed, 0 suppressed\n1 source, 1 finding, 0 of them suppressed"
    );
}

#[test]
fn a_flood_from_loopback_is_found_and_suppressed() {
    let (found, summary) = replay(&[FLOOD], &DetectConfig::default(), Format::Json);
    assert_eq!(
        found,
        "{\"at\":\"2023-10-10T09:06:56.000Z\",\"target\":\"127.0.0.1/32\",\"rule\":\"error-flood\",\"count\":50,\
         \"expires_at\":null,\"strikes\":0,\"suppressed\":\"protected: loopback\"}\n"
    );
    assert_eq!(summary.reading, reading(66));
    assert_eq!(
        summary.verdicts.to_string(),
        "  error-flood: 1 finding of 1 source, 0 bans, 0 observed, 1 suppressed\n1 source, 1 finding, 1 of them suppressed"
    );
}

#[test]
fn visitors_of_a_public_site_are_left_alone() {
    let (found, summary) = replay(&[benign()], &DetectConfig::default(), Format::Json);
    assert_eq!(found, "");
    assert_eq!(summary.reading, reading(500));
    assert_eq!(
        summary.verdicts.to_string(),
        "109 sources, 0 findings, 0 of them suppressed"
    );
}

#[test]
fn the_table_is_aligned() {
    let (found, _) = replay(&[PROBING, FLOOD], &DetectConfig::default(), Format::Table);
    assert_eq!(
        found,
        "AT                        TARGET                    RULE            COUNT  STRIKES  BANNED UNTIL\n\
         2021-09-29T12:37:05.000Z  172.17.0.1/32             error-flood        50        0  2021-09-29T12:42:05.000Z\n\
         2023-10-10T09:06:56.000Z  127.0.0.1/32              error-flood        50        0  - (protected: loopback)\n"
    );
}

#[test]
fn the_same_input_gives_the_same_output() {
    let logs = [benign(), PROBING, FLOOD, benign()];
    let first = replay(&logs, &errors(2), Format::Json);
    assert!(first.1.verdicts.findings > 2, "{first:?}");
    for _ in 0..3 {
        assert_eq!(replay(&logs, &errors(2), Format::Json), first);
    }
}

/// `client second status` each.
fn log(lines: &[(&str, u32, u16)]) -> Vec<u8> {
    let line = |(client, second, status): &(&str, u32, u16)| {
        let (minute, second) = (second / 60, second % 60);
        format!("{client} - - [20/Nov/2026:10:{minute:02}:{second:02} +0000] \"GET / HTTP/1.1\" {status} 0\n")
    };
    lines.iter().map(line).collect::<String>().into_bytes()
}

#[test]
fn late_lines_count_and_lines_during_a_ban_do_not() {
    let client = "2001:db8::7";
    let input = log(&[
        (client, 10, 404),
        (client, 90, 404),
        (client, 30, 404), // late by a window: ignored
        (client, 31, 404), // late, but in (30, 90]
        (client, 91, 404), // banned from here on
        (client, 389, 404),
        (client, 390, 404), // the ban is over
        (client, 391, 404),
    ]);
    let (found, summary) = replay(&[&input], &errors(2), Format::Json);
    assert_eq!(
        found,
        "{\"at\":\"2026-11-20T10:01:30.000Z\",\"target\":\"2001:db8::/64\",\"rule\":\"error-flood\",\"count\":2,\
         \"expires_at\":\"2026-11-20T10:06:30.000Z\",\"strikes\":0}\n\
         {\"at\":\"2026-11-20T10:06:31.000Z\",\"target\":\"2001:db8::/64\",\"rule\":\"error-flood\",\"count\":2,\
         \"expires_at\":\"2026-11-20T10:16:31.000Z\",\"strikes\":1}\n"
    );
    assert_eq!((summary.verdicts.findings, summary.verdicts.suppressed), (2, 0));
}

#[test]
fn brakes_hold_as_in_an_orchestrator_and_what_they_held_back_is_banned_later() {
    let minute = |n: u32| 10 * 60 + n;
    let mut lines: Vec<(String, u32, u16)> = (0..1200)
        .map(|n| (format!("10.{}.{}.1", n / 250, n % 250), minute(0), 200))
        .collect();
    for _ in 0..50 {
        lines.extend((0..450).map(|n| (format!("2a00:{n:x}::1"), minute(0), 404)));
    }
    let lines: Vec<(&str, u32, u16)> = lines
        .iter()
        .map(|(ip, at, status)| (&**ip, *at, *status))
        .collect();
    let (_, summary) = replay(&[&log(&lines)], &DetectConfig::default(), Format::Json);
    let verdicts = summary.verdicts;
    assert_eq!(
        (verdicts.findings, verdicts.bans, verdicts.suppressed),
        (450, 412, 38)
    );
    let later: Vec<_> = (0..1200)
        .map(|n| format!("10.{}.{}.1", n / 250, n % 250))
        .collect();
    let later = later.iter().map(|ip| (&**ip, minute(61), 200));
    let lines: Vec<_> = lines.into_iter().chain(later).collect();
    let (_, summary) = replay(&[&log(&lines)], &DetectConfig::default(), Format::Json);
    let verdicts = summary.verdicts;
    assert_eq!(
        (verdicts.findings, verdicts.bans, verdicts.suppressed),
        (450, 450, 38)
    );
}

#[test]
fn an_outage_in_the_log_bans_nobody() {
    let clients = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    let outage: Vec<_> = (0..300).map(|n| (clients[n as usize % 3], n / 30, 502)).collect();
    assert_eq!(
        replay(&[&log(&outage)], &DetectConfig::default(), Format::Json)
            .1
            .verdicts
            .findings,
        0
    );
}

#[test]
fn where_the_beginning_of_a_log_ends_says_nothing_of_its_lines() {
    let attack: Vec<_> = (0..80).map(|n| ("203.0.113.7", n / 4, 404)).collect();
    let others: String = (0..4000)
        .map(|n| {
            let client = format!("198.51.100.{}", 100 + n % 150);
            format!("{client} - - [20/Nov/2026:10:00:30 +0000] \"GET / HTTP/1.1\" 200 0\n")
        })
        .collect();
    assert!(others.len() > secbeat_logs::DETECTED_FROM);
    // Within the address, the user, the time and the request of a line.
    for shift in (0..others.len() / 4000).step_by(9) {
        let padding = format!(
            "192.0.2.9 - - [20/Nov/2026:10:00:00 +0000] \"GET /{} HTTP/1.1\" 200 0\n",
            "a".repeat(shift)
        );
        let input = [padding.as_bytes(), &log(&attack), others.as_bytes()].concat();
        let (_, summary) = replay(&[&input], &errors(50), Format::Json);
        assert_eq!(summary.reading, reading(4081), "{shift}");
        assert_eq!(summary.verdicts.findings, 1, "{shift}");
    }
}

#[test]
fn rejected_lines_are_counted_and_the_first_few_explained() {
    let mut input = log(&[("203.0.113.1", 0, 200)]);
    for n in 0..9 {
        input.extend_from_slice(format!("host-{n}\x1b[2J - -\n").as_bytes());
    }
    let (_, summary) = replay(&[b"\n", &input], &DetectConfig::default(), Format::Json);
    assert_eq!(
        summary.to_string(),
        "11 lines read, 1 parsed, 10 rejected\n  \
           log-0:1: the line is empty\n  \
           log-1:2: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\n  \
           log-1:3: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\n  \
           log-1:4: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\n  \
           log-1:5: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\n\
         1 source, 0 findings, 0 of them suppressed"
    );
}

#[test]
fn every_log_is_replayed_in_the_format_that_it_has() {
    let caddy: String = (0..3)
        .map(|second| {
            format!(
                "{{\"ts\":169384079{second}.5,\"msg\":\"handled request\",\"status\":404,\"request\":{{\"client_ip\":\"203.0.113.7\"}}}}\n"
            )
        })
        .collect();
    let haproxy = "203.0.113.8:1 [04/Sep/2023:17:19:51.127] f b/s 1/0/0/3/4 404 7 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"\n";
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let logs = inputs(&[caddy.as_bytes(), haproxy.repeat(3).as_bytes()]);
    let read = ReadAs {
        time_zone: berlin,
        ..ReadAs::default()
    };
    let (found, summary) = try_replay(logs, &errors(3), Format::Json, &read).unwrap();
    assert_eq!(
        found,
        "{\"at\":\"2023-09-04T15:19:51.127Z\",\"target\":\"203.0.113.8/32\",\"rule\":\"error-flood\",\"count\":3,\
         \"expires_at\":\"2023-09-04T15:24:51.127Z\",\"strikes\":0}\n\
         {\"at\":\"2023-09-04T15:19:52.500Z\",\"target\":\"203.0.113.7/32\",\"rule\":\"error-flood\",\"count\":3,\
         \"expires_at\":\"2023-09-04T15:24:52.500Z\",\"strikes\":0}\n"
    );
    assert_eq!(summary.reading, reading(6));
}

#[test]
fn a_log_of_no_known_format_is_refused_by_name() {
    let detect = DetectConfig::default();
    let refused = |log: &[u8], format: FormatChoice| {
        let logs = inputs(&[PROBING, log]);
        let read = ReadAs {
            format,
            ..ReadAs::default()
        };
        let refused = try_replay(logs, &detect, Format::Json, &read);
        refused.unwrap_err().to_string()
    };
    assert_eq!(
        refused(b"nonsense\n\nmore of it\n", FormatChoice::Auto),
        "log-1: no known format fits the first lines (2); state one with --format: a name (`secbeat-orchestrator replay --help` lists them) or a pattern"
    );
    assert_eq!(
        refused(b"nonsense\n\nmore of it\n", "combined".parse().unwrap()),
        "log-1: none of its 2 lines is a request in the format that is stated for it"
    );
    let (_, summary) = replay(&[PROBING, b"", b"\n"], &detect, Format::Json);
    assert_eq!((summary.reading.parsed, summary.reading.rejected), (77, 1));
}

#[test]
fn logs_are_read_as_an_edges_config_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let list =
        "203.0.113.66, 198.51.100.7, 10.0.0.5 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 1\n";
    // By its usual keys, it would be another client's.
    let own =
        "{\"who\":\"203.0.113.8\",\"at\":\"2023-10-10 11:06:57\",\"code\":404,\"ip\":\"203.0.113.9\"}\n";
    let rotated = write("web.log.1", &list.repeat(3));
    let json = write("own.json", &own.repeat(3));
    let read = |client: &str, logs: &[&std::path::Path]| {
        let of = folder.path().display();
        let config = format!(
            "edge_id = \"a\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n[[access_log]]\npath = \"{of}/*.log\"\nclient = \"{client}\"\n\
             name = \"web\"\n[[access_log]]\npath = \"{of}/own.json\"\ntime_zone = \"+02:00\"\nstart = \"beginning\"\n\
             [access_log.keys]\nclient = \"who\"\ntime = \"at\"\nstatus = \"code\"\n"
        );
        let edge = EdgeConfig::load(&write("edge.toml", &config)).unwrap();
        let read = ReadAs {
            trusted_proxies: edge.trusted_proxies.clone(),
            edge: Some(edge.into()),
            ..ReadAs::default()
        };
        let input = |path: &&std::path::Path| (path.display().to_string(), Input::at(path).unwrap().0);
        let detect = errors(3);
        let inputs = || logs.iter().map(input).collect();
        let replay =
            Replay::of(inputs(), &read, false, ProgressBar::hidden()).map_err(|error| error.to_string())?;
        let found = try_replay(inputs(), &detect, Format::Json, &read).map_err(|error| error.to_string())?;
        Ok::<_, String>((replay.upstreams, found.0))
    };
    let (upstreams, found) = read("header", &[&rotated, &json]).unwrap();
    assert_eq!(upstreams, ["web".to_owned(), json.display().to_string()]);
    let targets: Vec<_> = found.lines().filter_map(|line| line.split('"').nth(7)).collect();
    assert_eq!(targets, ["198.51.100.7/32", "203.0.113.8/32"]);
    // The other end of the connection is a trusted proxy.
    let error = read("peer", &[&rotated]).unwrap_err();
    assert!(
        error.ends_with("web.log.1: none of its 3 lines is a request in the format that is stated for it"),
        "{error}"
    );
    let unknown = write("unknown", list);
    let error = read("peer", &[&unknown]).unwrap_err();
    assert!(
        error.ends_with(
            "unknown: no `[[access_log]]` of the edge's config names it; state its format with --format"
        ),
        "{error}"
    );
}

#[test]
fn a_list_of_addresses_is_read_through_the_proxies_that_are_trusted() {
    let line =
        "203.0.113.66, 198.51.100.7, 10.0.0.5 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 1\n";
    let own = "10.0.0.5 - - [10/Oct/2023:11:06:57 +0200] \"GET /health HTTP/1.1\" 404 1\n";
    let log = [line.repeat(3), own.repeat(3)].concat();
    let found = |trusted: &[&str]| {
        let read = ReadAs {
            trusted_proxies: trusted.iter().map(|proxy| proxy.parse().unwrap()).collect(),
            ..ReadAs::default()
        };
        let logs = inputs(&[log.as_bytes()]);
        let (found, summary) = try_replay(logs, &errors(3), Format::Json, &read).unwrap();
        let target = |line: &str| line.split('"').nth(7).unwrap().to_owned();
        (
            found.lines().map(target).collect::<Vec<_>>(),
            summary.reading.rejected,
        )
    };
    assert_eq!(found(&[]), (vec!["10.0.0.5/32".to_owned()], 0));
    assert_eq!(found(&["10.0.0.0/8"]), (vec!["198.51.100.7/32".to_owned()], 3));
    assert_eq!(
        found(&["10.0.0.0/8", "198.51.100.7"]),
        (vec!["203.0.113.66/32".to_owned()], 3)
    );
}
