//! Crawlers of search engines: who says to be one is looked up when it is banned, and is let go if it is one.
//!
//! A ban does not wait for that: an attacker whose name servers are slow, or who says to be a crawler, would win the time. A crawler's
//! packets are dropped for as long as its name takes, once, and TCP sends them again.

use std::{collections::HashMap, net::IpAddr};

use secbeat_common::{
    prefix::Prefix,
    wire::{Reason, SeenWhat},
};
use tracing::info;

use super::{Decider, Turn, order::Unban};
use crate::{
    analyzers::{Counted, Finding, Rule, RuleConfig, Why},
    evidence::Journal,
    ledger::Suppression,
};

/// Who lifts a crawler's ban.
const ACTOR: &str = "secbeat-orchestrator (verified crawler)";
/// Events of a client among which its agent is looked for, the latest.
const LOOK_BACK: usize = 64;
/// Clients of which it is remembered whether they are crawlers.
const MAX_CHECKED: usize = 10_000;

/// What counts as a crawler, and for which rules that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrawlerConfig {
    pub crawlers: Vec<Crawler>,
    /// Rules that ban no verified crawler; `None`: all over errors, requests, aborted requests and paths.
    pub rules: Option<Vec<Rule>>,
}

/// A crawler by what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crawler {
    /// As people know it.
    pub name: String,
    /// Parts of its user agents, in lower case.
    pub agents: Vec<String>,
}

/// A client that may be a crawler, to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The banned source.
    pub source: Prefix,
    pub address: IpAddr,
    /// The crawler that it says to be; `None` if no request of it was reported one by one.
    pub claims: Option<String>,
}

/// Outcome of looking a client up. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub suspect: Suspect,
    pub identity: Identity,
    pub at_ms: i64,
    /// It holds until then.
    pub until_ms: i64,
}

/// Identity of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// This crawler: the name of its address is one of the crawler's, and leads back to the address.
    Verified { crawler: String, host: String },
    /// None that is known, or nobody can say.
    NotVerified { why: String },
}

/// Known crawlers.
#[derive(Debug)]
pub(super) struct Crawlers {
    config: CrawlerConfig,
    checked: HashMap<Prefix, Checked>,
}

impl CrawlerConfig {
    /// Whether `rule`, whose findings are of `counted`, bans no verified crawler.
    fn exempts(&self, rule: Rule, counted: Counted) -> bool {
        match &self.rules {
            Some(rules) => rules.contains(&rule),
            None => matches!(
                counted,
                Counted::Errors | Counted::Requests | Counted::Aborted | Counted::Paths
            ),
        }
    }

    /// The crawler that a user agent names.
    fn named(&self, agent: &str) -> Option<&str> {
        let agent = agent.to_ascii_lowercase();
        let is_named = |crawler: &&Crawler| crawler.agents.iter().any(|part| agent.contains(part));
        let crawler = self.crawlers.iter().find(is_named)?;
        Some(&crawler.name)
    }
}

impl Crawlers {
    pub(super) fn new(config: CrawlerConfig) -> Self {
        Self {
            config,
            checked: HashMap::new(),
        }
    }

    /// Returns why `finding` bans nobody, if it found a verified crawler.
    pub(super) fn exemption(&self, finding: &Finding, now_ms: i64) -> Option<Suppression> {
        let Why::Threshold { counted, .. } = finding.why;
        let checked = self.of(&finding.source, now_ms)?;
        match &checked.identity {
            Identity::Verified { crawler, host } if self.config.exempts(finding.rule, counted) => {
                Some(Suppression::Crawler {
                    crawler: crawler.clone(),
                    host: host.clone(),
                })
            }
            _ => None,
        }
    }

    /// Returns who is to be looked up, since `finding` may have found a crawler.
    pub(super) fn suspect(&self, finding: &Finding, journal: &Journal, now_ms: i64) -> Option<Suspect> {
        let Why::Threshold { counted, .. } = finding.why;
        let source = finding.source;
        // What one client of a wider network is, others in it are not.
        if self.config.crawlers.is_empty()
            || !source.is_single()
            || !self.config.exempts(finding.rule, counted)
            || self.of(&source, now_ms).is_some()
        {
            return None;
        }
        let mut has_agent = false;
        for event in journal.of(&source).take(LOOK_BACK) {
            let SeenWhat::Answer { user_agent, .. } = &event.what else {
                continue;
            };
            has_agent |= !user_agent.is_empty();
            if let Some(name) = self.config.named(user_agent) {
                return Some(Suspect {
                    source,
                    address: event.client,
                    claims: Some(name.to_owned()),
                });
            }
        }
        // Of requests that were only counted, nobody knows the agent, nor the address within a /64.
        (!has_agent && source.addr().is_ipv4()).then(|| Suspect {
            source,
            address: source.addr(),
            claims: None,
        })
    }

    /// Returns what is known of `source` at `now_ms`.
    pub(super) fn of(&self, source: &Prefix, now_ms: i64) -> Option<&Checked> {
        self.checked
            .get(source)
            .filter(|checked| now_ms < checked.until_ms)
    }

    fn note(&mut self, checked: Checked, now_ms: i64) {
        if self.checked.len() >= MAX_CHECKED {
            self.checked.retain(|_, checked| now_ms < checked.until_ms);
        }
        // Past it, crawlers are remembered before those that only said to be one.
        if self.checked.len() >= MAX_CHECKED {
            self.checked
                .retain(|_, checked| matches!(checked.identity, Identity::Verified { .. }));
        }
        if self.checked.len() < MAX_CHECKED {
            self.checked.insert(checked.suspect.source, checked);
        }
    }
}

impl Decider {
    /// A client was looked up: a crawler is let go.
    pub(super) fn crawler_checked(&mut self, checked: Checked, turn: &mut Turn<'_>) {
        let source = checked.suspect.source;
        let address = checked.suspect.address;
        match &checked.identity {
            Identity::Verified { crawler, host } => {
                info!(target: "audit", target = %source, %address, crawler, host, "a verified crawler");
                if self.may_let_go(&source) {
                    let unban = Unban {
                        target: source,
                        actor: ACTOR.to_owned(),
                        note: format!("a verified crawler: {crawler}, {host}"),
                        list: None,
                    };
                    // While the ledger is being read, nobody was banned by this process.
                    let _ = self.lift(unban, Vec::new(), turn);
                }
            }
            Identity::NotVerified { why } => {
                let claims = checked.suspect.claims.as_deref();
                info!(target: "audit", target = %source, %address, claims, "no verified crawler: {why}");
            }
        }
        self.crawlers.note(checked, turn.now.wall_ms);
    }

    /// Whether the ban of `source` in force is of a rule that bans no crawler, not of an operator.
    fn may_let_go(&self, source: &Prefix) -> bool {
        let Some(ban) = self.ledger.get(source) else {
            return false;
        };
        let is_of = |rule: &&RuleConfig| Reason::from(rule.rule) == ban.command.reason;
        let rule = self.rules.iter().find(is_of);
        rule.is_some_and(|rule| self.crawlers.config.exempts(rule.rule, rule.counted()))
    }
}
