//! Logs that were read wrong once: who is blamed for each line.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::tz::TimeZone;

use super::{Format, named, understood};
use crate::{Detection, LogError};

const TIME: &str = "[21/Nov/2026:11:06:56 +0100]";
const REQUEST: &str = r#""GET /x HTTP/1.1" 404 12 "-" "curl""#;

fn line(begin: &str) -> String {
    format!("{begin} {TIME} {REQUEST}")
}

/// The clients that `auto` reads of lines that begin so; a conflict or a reason where it reads none.
fn blamed(begins: &[&str]) -> BTreeSet<String> {
    let lines: Vec<String> = begins.iter().map(|begin| line(begin)).collect();
    let mut detection = Detection::default();
    lines.iter().for_each(|line| detection.see(line.as_bytes()));
    let Some(format) = detection.chosen() else {
        let conflict = detection.conflict().map(|conflict| conflict.to_string());
        return BTreeSet::from([conflict.unwrap_or_else(|| "nobody".to_owned())]);
    };
    let parsed = lines.iter().map(|line| format.parse(line.as_bytes()));
    parsed
        .map(|line| {
            line.map_or_else(
                |error| error.to_string().split(':').next().unwrap().to_owned(),
                |line| line.client.to_string(),
            )
        })
        .collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn of_two_addresses_the_layout_says_which_is_the_client() {
    let by_name = "203.0.113.7 www.example.org -";
    assert_eq!(
        blamed(&[by_name, "203.0.113.7 198.51.100.66 -"]),
        set(&["203.0.113.7"])
    );
    assert_eq!(
        blamed(&["198.51.100.66:443 203.0.113.7:42918 - -"]),
        set(&["203.0.113.7"])
    );
    for begins in [
        &["203.0.113.7 198.51.100.66 - -"][..],
        &["203.0.113.90 10.0.0.9 - -", "203.0.113.91 10.0.0.9 - -"],
    ] {
        let blamed = blamed(begins);
        let conflict = blamed.first().unwrap();
        assert!(
            conflict.starts_with("the log may be vhost-combined or lighttpd: "),
            "{conflict}"
        );
    }
}

#[test]
fn a_host_in_front_of_the_client_names_nobody() {
    let forged = [
        "198.51.100.66 - 203.0.113.7 - -",
        "x, 198.51.100.67 203.0.113.7 - -",
        "198.51.100.68 x 203.0.113.7 - -",
    ];
    assert_eq!(blamed(&forged), set(&["nobody"]));
    let usual = ["example.org 203.0.113.8 - -", "192.0.2.1 203.0.113.8 - -"];
    let reasons = [
        "203.0.113.8",
        "the line does not begin as its format does, with the client's address in field 2",
    ];
    assert_eq!(blamed(&[&usual[..], &forged].concat()), set(&reasons));
}

#[test]
fn of_a_forwarded_list_the_last_is_blamed() {
    assert_eq!(blamed(&["198.51.100.66, 203.0.113.7 - -"]), set(&["203.0.113.7"]));
    assert_eq!(blamed(&["a b, 203.0.113.7 - -"]), set(&["nobody"]));
    let not_first = "the line does not begin as its format does, with the client's address in field 1";
    assert_eq!(
        blamed(&[
            "198.51.100.66, 203.0.113.7 - -",
            "198.51.100.66 x, 203.0.113.7 - -",
            "198.51.100.67 - x, 203.0.113.7 - -"
        ]),
        set(&["203.0.113.7", "two readings", not_first])
    );
    let pattern = r#"$remote_addr - $remote_user [$time_local] "$request" $status $rest"#;
    let shown = understood(
        &Format::pattern(pattern).unwrap(),
        line("198.51.100.66 x, 203.0.113.7 - -").as_bytes(),
    );
    assert_eq!(shown, format!("! {not_first}"));
}

#[test]
fn a_trusted_proxy_at_the_end_of_a_list_is_seen_through() {
    let (line, line_of_proxy) = (line("203.0.113.66, 10.0.0.5 - -"), line("10.0.0.5 - -"));
    let parsed = Format::COMBINED.parse(line.as_bytes()).unwrap();
    assert_eq!(parsed.client.to_string(), "10.0.0.5");
    let through = |trusted: &[&str]| {
        let mut line = parsed.clone();
        line.see_through(|address| trusted.contains(&&*address.to_string()))?;
        Ok(line.client.to_string())
    };
    assert_eq!(through(&["10.0.0.5"]), Ok("203.0.113.66".to_owned()));
    assert_eq!(through(&[]), Ok("10.0.0.5".to_owned()));
    assert_eq!(through(&["10.0.0.5", "203.0.113.66"]), Err(LogError::NoClient));
    let mut alone = Format::COMBINED.parse(line_of_proxy.as_bytes()).unwrap();
    let is_proxy = |address: IpAddr| address.to_string() == "10.0.0.5";
    assert_eq!(alone.see_through(is_proxy), Err(LogError::Proxy));
}

#[test]
fn the_proxys_old_log_blames_nobody_else() {
    let begins = [
        "203.0.113.9 192.0.2.12 - -",
        "203.0.113.9 - - [28/Nov/2026:08:44:00 +0000] 404 192.0.2.12 - -",
        "203.0.113.9 - - 192.0.2.12 - -",
        "203.0.113.9, 192.0.2.12 - -",
        "a, 203.0.113.9 192.0.2.12 - -",
        "x 203.0.113.9 192.0.2.12 - -",
    ];
    for format in ["combined", "vhost-combined"] {
        let format = named(format).with_doubt();
        for begin in begins {
            let line = line(begin);
            let parsed = format.parse(line.as_bytes());
            let client = parsed.map(|line| line.client.to_string());
            assert!(
                client.as_ref().map_or(true, |client| client == "192.0.2.12"),
                "{begin}: {client:?}"
            );
        }
    }
}

#[test]
fn every_time_is_read_by_combined_and_by_patterns() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for time in [
        "21/Nov/2026:11:06:56.123 +0100",
        "21/Nov/2026:11:06:56",
        "21/Nov/2026:11:06:56.123",
        "21/Nov/2026 11:06:56",
        "21/11/2026:11:06:56 +0100",
        "2026/11/21 11:06:56",
        "2026-11-21 11:06:56.805 +0100",
        "Sat Nov 21 11:06:56 2026",
        "Sat, 21 Nov 2026 10:06:56 GMT",
        "21/Nov/2026:10:06:56 UTC",
        "21/Nov/2026:11:06:56 CET",
    ] {
        let line = format!("203.0.113.7 - - [{time}] {REQUEST}");
        for name in [
            "combined",
            r#"$remote_addr - $remote_user [$time_local] "$request" $status $rest"#,
            r#"$remote_addr - $remote_user [$time_iso8601] "$request" $status $rest"#,
        ] {
            let format = named(name).with_time_zone(berlin.clone());
            let shown = understood(&format, line.as_bytes());
            assert!(
                shown.starts_with("203.0.113.7 2026-11-21T10:06:56"),
                "{time}: {shown}"
            );
        }
    }
}
