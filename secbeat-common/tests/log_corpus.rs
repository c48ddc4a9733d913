//! What the fuzzers found out about the parsers of log lines, replayed: `secbeat-common/fuzz`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test with helpers: a failure here is the failure to report"
)]

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is the fuzzers' library, too")]
mod fuzz;

/// Inputs of a target's corpus.
fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut replayed = 0;
    for entry in entries {
        check(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 1, "{} holds {replayed} inputs", folder.display());
}

#[test]
fn every_corpus_of_a_named_format_is_parsed_as_it_must_be() {
    for (target, format) in [
        ("combined", "combined"),
        ("haproxy", "haproxy"),
        ("envoy", "envoy"),
        ("nginx_json", "nginx-json"),
        ("caddy_json", "caddy-json"),
        ("traefik_json", "traefik-json"),
        ("envoy_json", "envoy-json"),
    ] {
        replay(target, |line| fuzz::check(format, line));
    }
}

#[test]
fn the_corpus_of_patterns_is_parsed_as_it_must_be() {
    replay("pattern", fuzz::check_pattern);
}
