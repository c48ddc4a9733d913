//! Rules over clients of one provider.

use std::fs;

use secbeat_daemon::geo::{Mmdb, Origin};

use super::*;
use crate::config::Config;

#[test]
fn clients_of_one_provider_that_probe_together_are_banned_and_its_other_clients_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asn.mmdb");
    let provider = Origin {
        asn: Some(64500),
        ..Origin::default()
    };
    let mut mmdb = Mmdb::default();
    mmdb.insert("203.0.113.0/24".parse().unwrap(), &provider).unwrap();
    fs::write(&path, mmdb.to_bytes("Test", 0)).unwrap();
    let config: Config = toml::from_str(&format!(
        "[geo]\nasn = \"{}\"\n[[rule]]\nname = \"provider\"\ncounts = \"signatures\"\nby = \"asn\"\n\
         threshold = 5\nwindow = \"10m\"\naction = \"ban\"\n",
        path.display()
    ))
    .unwrap();
    let mut log = String::new();
    for second in 0..3 {
        let mut get = |client: &str, path: &str| {
            log += &format!(
                "{client} - - [27/Nov/2026:10:00:{second:02} +0000] \"GET {path} HTTP/1.1\" 404 5 \"-\" \"x\"\n"
            );
        };
        for n in 1..=6 {
            get(&format!("203.0.113.{n}"), "/.env");
        }
        get("203.0.113.99", "/no-such-page");
        get("198.51.100.7", "/.env");
        if second == 2 {
            get("203.0.113.88", "/.env");
        }
    }
    let mut trials = [command::trial(&config)];
    let mut found = Vec::new();
    let logs = inputs(&[log.as_bytes()]);
    let replay = Replay::of(logs, &ReadAs::default(), true, ProgressBar::hidden()).unwrap();
    replay
        .run(&mut trials, |_, record| {
            if record.outcome() == output::Outcome::Banned {
                found.push(format!("{} {}", record.target(), record.rule()));
            }
            Ok(())
        })
        .unwrap();
    let expected = (1..=6).map(|n| format!("203.0.113.{n}/32 provider"));
    assert_eq!(found, expected.collect::<Vec<_>>());
}
