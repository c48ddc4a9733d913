//! What a source can be found guilty of.

use std::{fmt, num::NonZeroU32, time::Duration};

use secbeat_common::{
    rules::{Match, Statuses},
    wire::{self, Reason, RuleName},
};
use strum::Display;

use super::{Threshold, WafFilter};

/// A rule by its name: one of those that SecBeat ships, or one of the operator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    ErrorFlood,
    RequestFlood,
    WafFlood,
    PathScan,
    LoginBruteforce,
    Own(RuleName),
}

impl Rule {
    /// The name that users meet.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ErrorFlood => "error-flood",
            Self::RequestFlood => "request-flood",
            Self::WafFlood => "waf-flood",
            Self::PathScan => "path-scan",
            Self::LoginBruteforce => "login-bruteforce",
            Self::Own(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<RuleName> for Rule {
    fn from(name: RuleName) -> Self {
        match Reason::from(name) {
            Reason::ErrorFlood => Self::ErrorFlood,
            Reason::RequestFlood => Self::RequestFlood,
            Reason::WafFlood => Self::WafFlood,
            Reason::PathScan => Self::PathScan,
            Reason::LoginBruteforce => Self::LoginBruteforce,
            // The parser of names refuses `manual`.
            Reason::Manual | Reason::Rule(_) => Self::Own(name),
        }
    }
}

impl From<Rule> for Reason {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::ErrorFlood => Self::ErrorFlood,
            Rule::RequestFlood => Self::RequestFlood,
            Rule::WafFlood => Self::WafFlood,
            Rule::PathScan => Self::PathScan,
            Rule::LoginBruteforce => Self::LoginBruteforce,
            Rule::Own(name) => Self::Rule(name),
        }
    }
}

/// A rule: what it counts, how much of it is too much, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleConfig {
    pub rule: Rule,
    pub counts: Counts,
    /// Only what it holds counts. Events of web application firewalls have a host and a path alone.
    pub filter: Match,
    /// `None`: every event counts.
    pub distinct: Option<Distinct>,
    pub threshold: Threshold,
    /// Length of a first ban, if not the [ledger](crate::ledger)'s.
    pub ban: Option<Duration>,
    pub action: Action,
}

/// What a rule counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Answers with a status of 400–599, a 5xx only if the outage guard blames the client for it.
    Errors {
        /// Statuses that do not count.
        excluded: Vec<u16>,
    },
    /// Requests of any outcome. Where the filter names statuses, the outage guard watches over 5xx here, too.
    Requests,
    /// Transactions in which the rules of a web application firewall matched.
    WafEvents(WafFilter),
}

/// What is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// Events of one path ([`secbeat_common::rules::canonical_path`]).
    Paths,
}

/// What follows a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The source is banned.
    Ban,
    /// Only a record of the ban that would have been.
    Observe,
}

/// The unit that a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "lowercase")]
pub enum Counted {
    Errors,
    Requests,
    #[strum(serialize = "WAF events")]
    WafEvents,
    #[strum(serialize = "distinct paths")]
    Paths,
}

/// Paths under which common software signs people in.
const LOGIN_PATHS: [&str; 18] = [
    "/login",
    "/login.php",
    "/signin",
    "/sign-in",
    "/session",
    "/sessions",
    "/auth",
    "/oauth",
    "/account/login",
    "/accounts/login",
    "/admin/login",
    "/api/auth",
    "/api/login",
    "/user/login",
    "/users/sign_in",
    "/wp-login.php",
    "/xmlrpc.php",
    "/administrator",
];

impl RuleConfig {
    /// The rule as SecBeat ships it; `None` for one of the operator's own.
    #[must_use]
    pub fn preset(rule: Rule) -> Option<Self> {
        let errors = || Counts::Errors { excluded: Vec::new() };
        let statuses = |statuses: &[u16]| {
            let one = |status: &u16| Statuses::new(*status, *status).ok();
            statuses.iter().filter_map(one).collect()
        };
        let (counts, count) = match rule {
            Rule::ErrorFlood => (errors(), const { NonZeroU32::new(50).unwrap() }),
            Rule::RequestFlood => (Counts::Requests, const { NonZeroU32::new(1000).unwrap() }),
            Rule::WafFlood => (
                Counts::WafEvents(WafFilter::default()),
                const { NonZeroU32::new(5).unwrap() },
            ),
            Rule::PathScan => (errors(), const { NonZeroU32::new(20).unwrap() }),
            Rule::LoginBruteforce => (errors(), const { NonZeroU32::new(10).unwrap() }),
            Rule::Own(_) => return None,
        };
        let filter = match rule {
            Rule::PathScan => Match {
                statuses: statuses(&[404]),
                ..Match::default()
            },
            Rule::LoginBruteforce => Match {
                statuses: statuses(&[401, 403]),
                paths: LOGIN_PATHS.iter().filter_map(|path| path.parse().ok()).collect(),
                ..Match::default()
            },
            _ => Match::default(),
        };
        Some(Self {
            rule,
            counts,
            filter,
            distinct: (rule == Rule::PathScan).then_some(Distinct::Paths),
            threshold: Threshold {
                count,
                window: Duration::from_secs(60),
            },
            ban: None,
            action: Action::Ban,
        })
    }

    /// The presets that are in force unless the operator says otherwise.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        [Rule::ErrorFlood, Rule::RequestFlood, Rule::WafFlood]
            .into_iter()
            .filter_map(Self::preset)
            .collect()
    }

    /// Whether it counts all requests, so that sums of them will do.
    #[must_use]
    pub fn counts_all_requests(&self) -> bool {
        self.counts == Counts::Requests && self.distinct.is_none() && self.filter.is_any()
    }

    /// What its findings count.
    #[must_use]
    pub const fn counted(&self) -> Counted {
        match (self.distinct, &self.counts) {
            (Some(Distinct::Paths), _) => Counted::Paths,
            (None, Counts::Errors { .. }) => Counted::Errors,
            (None, Counts::Requests) => Counted::Requests,
            (None, Counts::WafEvents(_)) => Counted::WafEvents,
        }
    }

    /// Whether a single answer counts; `blames` asks the outage guard about a 5xx.
    pub(super) fn counts_answer(&self, request: &super::Request<'_>, blames: impl FnOnce() -> bool) -> bool {
        let super::Request {
            status,
            method,
            path,
            host,
        } = *request;
        let guarded = match &self.counts {
            Counts::Errors { excluded } if !wire::is_error(status) || excluded.contains(&status) => {
                return false;
            }
            Counts::Errors { .. } => true,
            Counts::Requests => !self.filter.statuses.is_empty(),
            Counts::WafEvents(_) => return false,
        };
        let is_watched = guarded && (500..600).contains(&status);
        self.filter.matches(status, method, path, host) && (!is_watched || blames())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESETS: [Rule; 5] = [
        Rule::ErrorFlood,
        Rule::RequestFlood,
        Rule::WafFlood,
        Rule::PathScan,
        Rule::LoginBruteforce,
    ];

    #[test]
    fn units_are_words() {
        let units = [
            Counted::Errors,
            Counted::Requests,
            Counted::WafEvents,
            Counted::Paths,
        ];
        assert_eq!(
            units.map(|unit| unit.to_string()),
            ["errors", "requests", "WAF events", "distinct paths"]
        );
    }

    #[test]
    fn names_lead_to_rules_and_rules_to_reasons() {
        for rule in PRESETS {
            let name: RuleName = rule.name().parse().unwrap();
            assert_eq!(Rule::from(name), rule);
            assert_eq!(Reason::from(rule).name(), rule.name());
        }
        let own: RuleName = "my-rule".parse().unwrap();
        assert_eq!(Rule::from(own), Rule::Own(own));
        assert_eq!(Reason::from(Rule::Own(own)).name(), "my-rule");
    }

    #[test]
    fn presets_are_whole() {
        let presets = PRESETS.map(|rule| RuleConfig::preset(rule).unwrap());
        let facts: Vec<_> = presets
            .iter()
            .map(|preset| (preset.threshold.count.get(), preset.counted().to_string()))
            .collect();
        let expected = [
            (50, "errors"),
            (1000, "requests"),
            (5, "WAF events"),
            (20, "distinct paths"),
            (10, "errors"),
        ];
        assert_eq!(
            facts,
            expected.map(|(count, counted)| (count, counted.to_owned()))
        );
        assert_eq!(presets[3].filter.statuses.len(), 1);
        assert_eq!(presets[4].filter.statuses.len(), 2);
        assert_eq!(
            presets[4].filter.paths.len(),
            LOGIN_PATHS.len(),
            "every path is a pattern"
        );
    }
}
