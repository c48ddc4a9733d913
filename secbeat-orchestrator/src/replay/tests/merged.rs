//! Several logs whose times overlap.

use super::*;

/// Errors of one client, at these seconds of one hour.
fn at(client: &str, seconds: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let lines: Vec<_> = seconds.into_iter().map(|second| (client, second, 404)).collect();
    log(&lines)
}

#[test]
fn logs_count_as_one_in_whatever_order_they_are_named() {
    let client = "203.0.113.7";
    let whole = at(client, 0..600);
    let alternate = [at(client, (0..600).step_by(2)), at(client, (1..600).step_by(2))];
    let rotated = [at(client, 400..600), at(client, 200..400), at(client, 0..200)];
    let overlapping = [at(client, 0..150), at(client, 300..600), at(client, 150..300)];
    let expected = replay(&[&whole], &errors(50), Format::Json);
    assert_eq!(expected.1.verdicts.bans, 2, "{expected:?}");
    for logs in [&alternate[..], &rotated, &overlapping] {
        let logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
        assert_eq!(replay(&logs, &errors(50), Format::Json), expected);
    }
}

#[test]
fn lines_of_the_same_time_count_in_the_order_of_the_logs() {
    let (first, second) = (at("203.0.113.8", [1, 1]), at("203.0.113.7", [1, 1]));
    let targets = |logs: &[&[u8]]| {
        let (found, _) = replay(logs, &errors(2), Format::Table);
        let column = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        found.lines().skip(1).filter_map(column).collect::<Vec<_>>()
    };
    assert_eq!(targets(&[&first, &second]), ["203.0.113.8/32", "203.0.113.7/32"]);
    assert_eq!(targets(&[&second, &first]), ["203.0.113.7/32", "203.0.113.8/32"]);
}

#[test]
fn a_late_line_stays_where_it_is_in_its_log() {
    // 90 makes a window of (30, 90]: 31 is late but counts, and comes before the other log's 95.
    let late = at("203.0.113.7", [10, 90, 31]);
    let other = at("203.0.113.8", [60, 95, 96]);
    let (found, _) = replay(&[&other, &late], &errors(2), Format::Table);
    let ends: Vec<_> = found.lines().skip(1).map(|line| &line[..50]).collect();
    assert_eq!(
        ends,
        [
            "2026-11-20T10:01:30.000Z  203.0.113.7/32          ",
            "2026-11-20T10:01:35.000Z  203.0.113.8/32          ",
        ]
    );
}

#[test]
fn a_log_that_begins_with_junk_is_merged_by_its_first_request() {
    let client = "203.0.113.7";
    let junk = [&b"nonsense\n"[..], &at(client, [0, 2, 4])].concat();
    let (found, summary) = replay(&[&at(client, [1, 3, 5]), &junk], &errors(5), Format::Json);
    assert!(
        found.starts_with("{\"at\":\"2026-11-20T10:00:04.000Z\""),
        "{found}"
    );
    assert_eq!(
        summary.reading.to_string(),
        "7 lines read, 6 parsed, 1 rejected\n  log-1:1: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request"
    );
}

#[test]
fn lines_that_cannot_be_read_are_errors_of_their_client_and_long_ones_are_read() {
    let line = |second: u32, path: &str| {
        format!("203.0.113.7 - - [20/Nov/2026:10:00:{second:02} +0000] \"GET {path}")
    };
    let odd = "\\xFF".repeat(50_000);
    // Cut off within the request, as one client's; and whole, as the other's, in another log.
    let cut: String = (0..10)
        .map(|second| format!("{}\n", line(second, &odd)))
        .collect();
    let long: String = (0..10)
        .map(|second| {
            format!(
                "{} HTTP/1.1\" 404 1\n",
                line(second, &odd).replace("203.0.113.7", "203.0.113.8")
            )
        })
        .collect();
    let log = [cut.as_bytes(), &at("203.0.113.9", [11])].concat();
    let (found, summary) = replay(&[&log, long.as_bytes()], &errors(10), Format::Table);
    let Reading {
        read,
        parsed,
        unreadable,
        rejected,
        ..
    } = summary.reading;
    assert_eq!((read, parsed, unreadable, rejected), (21, 21, 10, 0));
    assert_eq!(summary.verdicts.bans, 2, "{found}");
    assert!(
        found.contains("203.0.113.7/32") && found.contains("203.0.113.8/32"),
        "{found}"
    );
}

#[test]
fn a_client_that_gave_up_made_no_error_beside_one_whose_lines_cannot_be_read() {
    let odd = "\\xFF".repeat(50_000);
    let log: String = (0..10)
        .map(|second| {
            let line = |client: &str, rest: &str| {
                format!("{client} - - [20/Nov/2026:10:00:{second:02} +0000] \"GET /{rest}\n")
            };
            [
                line("203.0.113.7", &odd),
                line("203.0.113.8", " HTTP/1.1\" 499 0"),
                line("203.0.113.9", " HTTP/1.1\" - -"),
            ]
            .concat()
        })
        .collect();
    let (found, summary) = replay(&[log.as_bytes()], &errors(10), Format::Table);
    assert_eq!((summary.reading.parsed, summary.reading.unreadable), (30, 10));
    assert_eq!(summary.verdicts.bans, 1, "{found}");
    assert!(found.contains("203.0.113.7/32"), "{found}");
}
