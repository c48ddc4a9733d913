//! What is understood of every log in `fixtures`.

use std::{collections::BTreeMap, fs, path::Path};

use super::{Format, named, understood};
use crate::{Detection, Lines, Piece};

pub(super) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn lines(log: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Lines::new(log);
    let mut all = Vec::new();
    while let Some(piece) = lines.next_piece().unwrap() {
        let Piece::Line(text) = piece else {
            panic!("a fixture's line is too long")
        };
        all.push(text.to_vec());
    }
    all
}

/// The format that is detected, and each line as that and the `other` format understand it.
fn explained(log: &str, other: Option<&str>) -> String {
    let lines = lines(&fixture(log));
    let mut detection = Detection::default();
    lines.iter().for_each(|line| detection.see(line));
    let chosen = detection.chosen().unwrap();
    let other: Option<Format> = other.map(named);
    let explain = |line: &Vec<u8>| match (chosen.parse(line), &other) {
        (Err(_), Some(other)) if other.parse(line).is_ok() => {
            format!("({other}) {}", understood(other, line))
        }
        _ => understood(chosen, line),
    };
    let all: Vec<String> = lines.iter().map(explain).collect();
    format!("{chosen}\n{}", all.join("\n"))
}

#[test]
fn small_logs_are_understood_line_by_line() {
    for (log, other) in [
        ("apache.log", Some("vhost-combined")),
        ("caddy.log", None),
        ("envoy.log", Some("envoy")),
        ("haproxy.log", None),
        ("nextcloud.log", None),
        ("nginx.log", Some("vhost-combined")),
        ("traefik-clf.log", None),
        ("traefik-json.log", None),
        ("apache-http-probing.log", None),
        ("http-dos-random-uri.log", None),
    ] {
        insta::assert_snapshot!(log, explained(log, other));
    }
}

#[test]
fn the_log_of_a_public_site_is_understood() {
    let lines = lines(&fixture("elastic-apache.log"));
    let first: Vec<String> = lines
        .iter()
        .step_by(500)
        .map(|line| understood(&Format::COMBINED, line))
        .collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        let parsed = Format::COMBINED.parse(line);
        let what = parsed.map_or_else(
            |error| error.to_string(),
            |line| format!("{} {}", line.method.escape_ascii(), line.status),
        );
        *counts.entry(what).or_default() += 1;
    }
    insta::assert_snapshot!("elastic-apache.log", format!("{counts:#?}\n{}", first.join("\n")));
}
