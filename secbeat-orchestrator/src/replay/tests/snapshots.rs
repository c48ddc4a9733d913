//! What is found in every log of `fixtures`, with the defaults and with a config that bans for little.

use std::{fs, path::Path};

use super::*;

fn replayed(log: &str, detect: &DetectConfig) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../secbeat-common/logs/fixtures")
        .join(log);
    let log = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (found, summary) = replay(&[&log], detect, Format::Table);
    let json = serde_json::to_string_pretty(&summary).unwrap();
    format!("{found}{summary}\n{json}")
}

#[test]
fn findings_in_real_logs() {
    for log in [
        "apache.log",
        "apache-http-probing.log",
        "caddy.log",
        "elastic-apache.log",
        "envoy.log",
        "haproxy.log",
        "http-dos-random-uri.log",
        "nextcloud.log",
        "nginx.log",
        "traefik-clf.log",
        "traefik-json.log",
    ] {
        let with = [DetectConfig::default(), errors(3)].map(|detect| replayed(log, &detect));
        insta::assert_snapshot!(log, with.join("\n\n3 errors in 60 s:\n\n"));
    }
}
