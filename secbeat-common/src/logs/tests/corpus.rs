//! The fuzzers' corpora of log lines.

use crate::{
    corpus::replay,
    logs::{check, check_pattern},
};

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
