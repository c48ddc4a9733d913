//! Effects that a config would have had lately, for the operator who is about to take it.

use std::{collections::BTreeMap, io::Read};

use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use secbeat_common::{prefix::Prefix, wire::ServiceEvent};
use secbeat_logs::FormatChoice;

use super::{Input, ReadAs, Record, Replay, Trial, output::Outcome};
use crate::config::Config;

/// Past traffic that a rehearsal evaluates.
pub struct Past {
    /// Access logs by name, from any line on.
    pub logs: Vec<(String, Box<dyn Read + Send>)>,
    /// Events of services' logs, in the order of time.
    pub events: Vec<ServiceEvent>,
    /// Start of the time in which requests count, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Networks that are never banned, beside those of the config.
    pub protected: Vec<Prefix>,
}

/// What would have happened.
#[derive(Debug, Default)]
pub struct Rehearsed {
    pub requests: u64,
    /// Distinct sources of these requests.
    pub sources: usize,
    /// Whom it would have banned, the earliest first.
    pub bans: Vec<WouldBan>,
}

/// A source that would have been banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldBan {
    pub target: Prefix,
    /// That found it first.
    pub rule: String,
    /// Then; milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub times: u32,
}

/// Tries `config` on what happened.
///
/// # Errors
///
/// Returns an error if a log cannot be read, or has no format that is known.
pub fn rehearse(config: &Config, past: Past) -> anyhow::Result<Rehearsed> {
    let read = ReadAs {
        format: FormatChoice::Auto,
        time_zone: TimeZone::system(),
        trusted_proxies: config.trusted_proxies.clone(),
        edge: None,
    };
    let detector = config.detector();
    let reads_user_agents = detector.reads_user_agents();
    let configured = config.protect.entries().into_iter().map(|entry| entry.network);
    let protected = configured.chain(past.protected).collect();
    let trial = Trial::new(detector, config.ledger(protected));
    let mut trials = [trial.with_providers(config.read_providers())];
    let logs = past.logs.into_iter();
    let logs = logs.map(|(name, log)| (name, Input::Stream(log))).collect();
    let mut bans = Bans::default();
    Replay::of(logs, &read, reads_user_agents, ProgressBar::hidden())?
        .since(past.since_ms)
        .run(&mut trials, |_, record| {
            bans.take(&record);
            Ok(())
        })?;
    let [mut trial] = trials;
    for event in &past.events {
        if let Some(record) = trial.observe_service(event) {
            bans.take(&record);
        }
    }
    let requests = trial.requests();
    let mut banned: Vec<_> = bans.0.into_values().collect();
    banned.sort_by_key(|ban| (ban.at_ms, ban.target));
    Ok(Rehearsed {
        requests,
        sources: trial.finish().sources,
        bans: banned,
    })
}

#[derive(Default)]
struct Bans(BTreeMap<Prefix, WouldBan>);

impl Bans {
    fn take(&mut self, record: &Record) {
        if record.outcome() != Outcome::Banned {
            return;
        }
        let (target, at_ms) = (record.target(), record.starts_ms());
        let ban = self.0.entry(target).or_insert_with(|| WouldBan {
            target,
            rule: record.rule().to_owned(),
            at_ms,
            times: 0,
        });
        ban.times += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use secbeat_common::wire::{LearnedFrom, ServiceClass};

    use super::*;

    /// 60 errors of one client within a minute, at this hour of 2026-11-20.
    fn errors(client: &str, hour: u32) -> String {
        let line = |n| {
            format!(
                "{client} - - [20/Nov/2026:{hour:02}:00:{n:02} +0000] \"GET /{n} HTTP/1.1\" 404 5 \"-\" \"x\"\n"
            )
        };
        (0..60).map(line).collect()
    }

    fn past(log: String, events: Vec<ServiceEvent>) -> Past {
        Past {
            logs: vec![(
                "access.log".to_owned(),
                Box::new(Cursor::new(log)) as Box<dyn Read + Send>,
            )],
            events,
            since_ms: 1_795_158_000_000, // 2026-11-20T07:00:00Z
            protected: vec!["192.0.2.3/32".parse().unwrap()],
        }
    }

    #[test]
    fn whoever_would_have_been_banned_since_then_is_told() {
        let log = errors("192.0.2.1", 6) + &errors("192.0.2.2", 8) + &errors("192.0.2.3", 9);
        let rehearsed = rehearse(&Config::default(), past(log, Vec::new())).unwrap();
        assert_eq!((rehearsed.requests, rehearsed.sources), (120, 2));
        let banned: Vec<_> = rehearsed.bans.iter().map(|ban| ban.target.to_string()).collect();
        assert_eq!(
            banned,
            ["192.0.2.2/32"],
            "the first is too old, the last protected"
        );
        assert_eq!(
            (rehearsed.bans[0].rule.as_str(), rehearsed.bans[0].times),
            ("error-flood", 1)
        );
    }

    #[test]
    fn failed_logins_count_by_the_rules_of_the_config() {
        let event = |n: i64| ServiceEvent {
            client: "192.0.2.9".parse().unwrap(),
            at_ms: 1_795_161_600_000 + 1000 * n,
            learned_from: LearnedFrom::Peer,
            class: ServiceClass::AuthFailure,
            service: "sshd".to_owned(),
            kind: "failed-password".to_owned(),
            user: String::new(),
        };
        let events: Vec<_> = (0..6).map(event).collect();
        let without = rehearse(&Config::default(), past(String::new(), events.clone())).unwrap();
        assert_eq!(without.bans, []);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orchestrator.toml");
        std::fs::write(&path, "[[rule]]\nname = \"ssh-bruteforce\"\n").unwrap();
        let config = Config::load(&path).unwrap();
        let with = rehearse(&config, past(String::new(), events)).unwrap();
        assert_eq!(with.bans.len(), 1);
        assert_eq!(with.bans[0].rule, "ssh-bruteforce");
    }
}
