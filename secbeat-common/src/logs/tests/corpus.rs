//! What the fuzzers found out, replayed; grown by `cargo xtask fuzz`.

use std::{fs, path::Path};

use crate::logs::{check, check_pattern};

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let replayed = entries
        .map(|entry| check(&fs::read(entry.unwrap().path()).unwrap()))
        .count();
    assert!(replayed > 10, "only {replayed} files in {}", folder.display());
}

#[test]
fn every_corpus_of_a_named_format_keeps_what_is_checked() {
    for (target, format) in [
        ("combined", "combined"),
        ("haproxy", "haproxy"),
        ("envoy", "envoy"),
        ("nginx_json", "nginx-json"),
        ("caddy_json", "caddy-json"),
        ("traefik_json", "traefik-json"),
        ("envoy_json", "envoy-json"),
    ] {
        replay(target, |line| check(format, line));
    }
}

#[test]
fn the_corpus_of_patterns_keeps_what_is_checked() {
    replay("pattern", check_pattern);
}
