//! The fuzzers' corpora of log lines.

use std::path::PathBuf;

use secbeat_common::corpus;

use crate::{check, check_attack, check_json, check_pattern, check_wrapped, waf};

/// The folder of all corpora.
fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
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
        corpus::replay(&corpora(), target, |line| check(format, line));
    }
}

#[test]
fn the_corpus_of_patterns_keeps_what_is_checked() {
    corpus::replay(&corpora(), "pattern", check_pattern);
}

#[test]
fn the_corpus_of_attacks_keeps_what_is_checked() {
    corpus::replay(&corpora(), "attack", check_attack);
}

#[test]
fn the_corpora_of_key_maps_and_wrappers_keep_what_is_checked() {
    corpus::replay(&corpora(), "json", check_json);
    corpus::replay(&corpora(), "wrapped", check_wrapped);
}

#[test]
fn the_corpus_of_firewalls_lines_keeps_what_is_checked() {
    corpus::replay(&corpora(), "waf", waf::check);
}
