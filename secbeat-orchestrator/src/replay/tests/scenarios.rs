//! What attackers are known to ask for, by the names that a peer's public scenarios and CVEs have; the requests are ours, made from the
//! descriptions. Which of our rules finds each is in the snapshot, and in docs/signatures.md.

use std::{collections::BTreeSet, fmt::Write as _};

use super::*;
use crate::config::Config;

/// Those that are in force by default first.
const RULES: [&str; 9] = [
    "",
    "scanner",
    "repeated-attack",
    "repeated-probe",
    "path-scan",
    "login-bruteforce",
    "auth-bruteforce",
    "open-proxy",
    "page-crawl",
];

/// Requests of one client, 25 in a second.
struct Scenario {
    name: &'static str,
    /// Request, status and user agent.
    requests: Vec<(String, &'static str, &'static str)>,
}

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Those of a file: a name, and below it lines of how often it is asked for, status, request, and a user agent behind ` | `. `{}` in a
/// request is how often it was asked for before.
fn scenarios(text: &'static str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for line in text.lines() {
        let Some(request) = line.strip_prefix("    ") else {
            scenarios.push(Scenario {
                name: line,
                requests: Vec::new(),
            });
            continue;
        };
        let (request, agent) = request.split_once(" | ").unwrap_or((request, BROWSER));
        let mut parts = request.splitn(3, ' ');
        let mut next = || parts.next().unwrap();
        let (times, status, request) = (next().parse::<u32>().unwrap(), next(), next());
        let requests = (0..times).map(|n| (request.replace("{}", &n.to_string()), status, agent));
        scenarios.last_mut().unwrap().requests.extend(requests);
    }
    scenarios
}

impl Scenario {
    fn log(&self) -> String {
        let mut log = String::new();
        for (k, (request, status, agent)) in self.requests.iter().enumerate() {
            writeln!(
                log,
                "192.0.2.12 - - [27/Nov/2026:10:00:{:02} +0000] \"{request} HTTP/1.1\" {status} 512 \"-\" \"{agent}\"",
                k / 25 % 60,
            )
            .unwrap();
        }
        log
    }

    /// The rules that find it, of those that are in force by default and with the table of `rule`.
    fn found_by(&self, rule: &str) -> BTreeSet<String> {
        let table = match rule {
            "" => String::new(),
            name => format!("[[rule]]\nname = \"{name}\""),
        };
        let config: Config = toml::from_str(&table).unwrap();
        let (found, _) = replay(&[self.log().as_bytes()], &config.detector(), Format::Json);
        let rule = |line: &str| {
            let found: serde_json::Value = serde_json::from_str(line).unwrap();
            found["rule"].as_str().unwrap().to_owned()
        };
        found.lines().map(rule).collect()
    }
}

/// Which rules find each scenario of a file: those by default, and others that are shipped.
fn table(text: &'static str) -> String {
    let (mut table, mut found, mut by_default) = (String::new(), 0, 0);
    let scenarios = scenarios(text);
    for scenario in &scenarios {
        let rules: BTreeSet<_> = RULES.iter().flat_map(|rule| scenario.found_by(rule)).collect();
        let default = scenario.found_by("");
        found += usize::from(!rules.is_empty());
        by_default += usize::from(!default.is_empty());
        let others: Vec<_> = rules.difference(&default).cloned().collect();
        let default: Vec<_> = default.into_iter().collect();
        writeln!(
            table,
            "{:<34} {:<24} {}",
            scenario.name,
            default.join(" "),
            others.join(" ")
        )
        .unwrap();
    }
    writeln!(
        table,
        "of {}: {by_default} by default, {found} by a rule that is shipped",
        scenarios.len()
    )
    .unwrap();
    table
}

#[test]
fn known_scenarios_are_found() {
    let table = table(include_str!("scenarios.txt"));
    insta::assert_snapshot!("scenarios", table);
}

/// Others, of few requests as scanners send them; those that no rule finds stand without one.
#[test]
fn more_scenarios_are_found() {
    let table = table(include_str!("more_scenarios.txt"));
    insta::assert_snapshot!("more_scenarios", table);
}
