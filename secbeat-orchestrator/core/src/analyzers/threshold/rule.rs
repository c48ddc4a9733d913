//! Rules over a source.

use std::{fmt, time::Duration};

use secbeat_common::{
    rules::{Exclusion, Match, Target, is_aborted, is_error},
    wire::{Asked, Labels, MatchedSignature, Reason, RuleName, ServiceClass},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::Display;

use super::{Request, ServiceFilter, Threshold, WafFilter};

/// The class of signatures that go by the name of a program.
const SCANNER_AGENT: &str = "scanner-agent";

/// A rule by its name: one of those that SecBeat ships, or one of the operator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    ErrorFlood,
    RequestFlood,
    WafFlood,
    PathScan,
    LoginBruteforce,
    ProtocolAbuse,
    Probe,
    Attack,
    Scanner,
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
            Self::ProtocolAbuse => "protocol-abuse",
            Self::Probe => "probe",
            Self::Attack => "attack",
            Self::Scanner => "scanner",
            Self::Own(name) => name.as_str(),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RuleName::deserialize(deserializer).map(Self::from)
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
            Reason::ProtocolAbuse => Self::ProtocolAbuse,
            Reason::Probe => Self::Probe,
            Reason::Attack => Self::Attack,
            Reason::Scanner => Self::Scanner,
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
            Rule::ProtocolAbuse => Self::ProtocolAbuse,
            Rule::Probe => Self::Probe,
            Rule::Attack => Self::Attack,
            Rule::Scanner => Self::Scanner,
            Rule::Own(name) => Self::Rule(name),
        }
    }
}

/// A rule: what it counts, how much of it is too much, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleConfig {
    pub rule: Rule,
    pub counts: Counts,
    /// Only what it holds counts. Events of web application firewalls have a host and a path alone.
    pub filter: Match,
    /// Requests that count as well, whatever `counts` and `filter` say of them.
    pub also: Vec<Match>,
    /// Requests that do not count.
    pub excluded: Vec<Exclusion>,
    /// `None`: every event counts.
    pub distinct: Option<Distinct>,
    pub threshold: Threshold,
    /// Length of a first ban, if not the [ledger](crate::ledger)'s.
    pub ban: Option<Duration>,
    /// Its bans are for edges with all of these labels; for all edges if there are none.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    pub action: Action,
}

/// Unit that a rule counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counts {
    /// [Errors](is_error), if the upstream-error guard blames the client for them.
    Errors,
    /// Requests of any outcome. Where the filter names statuses, the upstream-error guard watches over errors here, too.
    Requests,
    /// Requests that the client [gave up](is_aborted), if the upstream-error guard blames it for them.
    Aborted,
    /// [Errors](is_error) without a request that could be understood, such as a head that was too slow, and those of limits.
    ProtocolErrors,
    /// Transactions in which the rules of a web application firewall matched.
    WafEvents(WafFilter),
    /// What logs of services tell of.
    ServiceEvents(ServiceFilter),
    /// Requests that match one of these signatures. The upstream-error guard does not watch over them: what a server answers does not matter.
    Signatures(SignatureFilter),
}

/// Which signatures count: all lists that are not empty must have a word of the signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFilter {
    pub classes: Vec<String>,
    pub severities: Vec<String>,
    pub ids: Vec<String>,
    /// Ids of signatures that do not count.
    pub excluded_ids: Vec<String>,
}

impl SignatureFilter {
    /// Whether `matched` counts.
    #[must_use]
    pub fn holds(&self, matched: &MatchedSignature) -> bool {
        let has = |list: &[String], word: &String| list.is_empty() || list.contains(word);
        has(&self.classes, &matched.class)
            && has(&self.severities, &matched.severity)
            && has(&self.ids, &matched.id)
            && !self.excluded_ids.contains(&matched.id)
    }
}

/// Unit that is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distinct {
    /// Events of one path ([`secbeat_common::rules::canonical_path`]).
    Paths,
    /// Signatures, by their ids.
    Signatures,
    /// Clients of one provider (AS).
    Clients,
}

/// Consequence of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    #[strum(serialize = "aborted requests")]
    Aborted,
    #[strum(serialize = "protocol errors")]
    ProtocolErrors,
    #[strum(serialize = "WAF events")]
    WafEvents,
    #[strum(serialize = "auth failures")]
    AuthFailures,
    Abuse,
    Scans,
    #[strum(serialize = "distinct paths")]
    Paths,
    #[strum(serialize = "requests with signatures")]
    Signatures,
    #[strum(serialize = "distinct signatures")]
    DistinctSignatures,
    #[strum(serialize = "clients of one provider")]
    Clients,
}

impl Counted {
    /// Its name behind `count`.
    pub(crate) fn named(self, count: u32) -> String {
        let many = self.to_string();
        if count != 1 {
            return many;
        }
        // The word that is counted comes last, but for requests with something.
        match many.strip_suffix('s') {
            _ if self == Self::Signatures => many.replacen("requests", "request", 1),
            Some(one) => one.to_owned(),
            None => many,
        }
    }
}

impl RuleConfig {
    /// Whether it counts all requests, so that sums of them will do.
    #[must_use]
    pub fn counts_all_requests(&self) -> bool {
        self.counts == Counts::Requests
            && self.distinct.is_none()
            && self.filter.is_any()
            && self.excluded.is_empty()
    }

    /// Whether no good answer can count.
    #[must_use]
    pub(super) fn counts_failures_alone(&self) -> bool {
        let of_failures = matches!(
            self.counts,
            Counts::Errors | Counts::Aborted | Counts::ProtocolErrors
        );
        of_failures && self.also.is_empty()
    }

    /// Whether it goes by events of services.
    #[must_use]
    pub const fn counts_services(&self) -> bool {
        matches!(self.counts, Counts::ServiceEvents(_))
    }

    /// Whether it counts clients of one provider.
    #[must_use]
    pub fn counts_clients(&self) -> bool {
        self.distinct == Some(Distinct::Clients)
    }

    /// The single requests that it has to be told of.
    pub fn asked(&self) -> impl Iterator<Item = Asked> {
        let goes_by_requests = match self.counts {
            Counts::Requests => !self.counts_all_requests(),
            Counts::Aborted => true,
            Counts::Errors
            | Counts::ProtocolErrors
            | Counts::WafEvents(_)
            | Counts::ServiceEvents(_)
            | Counts::Signatures(_) => false,
        };
        let own = goes_by_requests.then_some(&self.filter).into_iter();
        let own = own.map(|filter| (filter, self.counts == Counts::Aborted));
        let also = self.also.iter().map(|filter| (filter, false));
        own.chain(also).map(|(filter, aborted)| Asked {
            filter: filter.clone(),
            aborted,
            excluded: self.excluded.clone(),
        })
    }

    /// Returns what its findings count.
    #[must_use]
    pub const fn counted(&self) -> Counted {
        match (self.distinct, &self.counts) {
            (Some(Distinct::Paths), _) => Counted::Paths,
            (Some(Distinct::Signatures), _) => Counted::DistinctSignatures,
            (Some(Distinct::Clients), _) => Counted::Clients,
            (None, Counts::Signatures(_)) => Counted::Signatures,
            (None, Counts::Errors) => Counted::Errors,
            (None, Counts::Requests) => Counted::Requests,
            (None, Counts::Aborted) => Counted::Aborted,
            (None, Counts::ProtocolErrors) => Counted::ProtocolErrors,
            (None, Counts::WafEvents(_)) => Counted::WafEvents,
            (None, Counts::ServiceEvents(filter)) => match filter.class {
                ServiceClass::AuthFailure => Counted::AuthFailures,
                ServiceClass::Scan => Counted::Scans,
                ServiceClass::Abuse | ServiceClass::Unknown => Counted::Abuse,
            },
        }
    }

    /// Ids of the signatures in `request` that count. Names of scanners stand back where there is another, since they would be in all
    /// requests.
    pub(super) fn signatures<'a>(&self, request: &Request<'a>) -> impl Iterator<Item = &'a str> {
        let counts = |matched: &&MatchedSignature| match &self.counts {
            Counts::Signatures(filter) => filter.holds(matched),
            _ => true,
        };
        let counted = request.signatures.iter().filter(counts);
        let has_other = counted.clone().any(|matched| matched.class != SCANNER_AGENT);
        counted
            .filter(move |matched| !has_other || matched.class != SCANNER_AGENT)
            .map(|matched| matched.id.as_str())
    }

    /// Whether a single answer counts; `blames` asks the upstream-error guard about what a server or many clients may be to blame for.
    pub(super) fn counts_answer(
        &self,
        request: &Request<'_>,
        target: &Target<'_>,
        blames: impl FnOnce() -> bool,
    ) -> bool {
        let Request {
            status,
            method,
            host,
            user_agent,
            ..
        } = *request;
        let is_of_kind = match &self.counts {
            Counts::Errors => is_error(status),
            Counts::Requests => true,
            Counts::Aborted => is_aborted(status),
            Counts::ProtocolErrors => method.is_empty() && is_error(status),
            Counts::Signatures(filter) => request.signatures.iter().any(|matched| filter.holds(matched)),
            Counts::WafEvents(_) | Counts::ServiceEvents(_) => return false,
        };
        let is_guarded_kind = !matches!(self.counts, Counts::Requests | Counts::Signatures(_));
        let matches = |filter: &Match| filter.matches_target(status, method, target, host);
        let goes_by_status = match is_of_kind && matches(&self.filter) {
            true => is_guarded_kind || !self.filter.statuses.is_empty(),
            false if self.also.iter().any(matches) => true,
            false => return false,
        };
        let excludes = |exclusion: &Exclusion| exclusion.matches(status, method, target, host, user_agent);
        let is_guarded = goes_by_status && (is_error(status) || is_aborted(status));
        !self.excluded.iter().any(excludes) && (!is_guarded || blames())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESETS: [Rule; 9] = [
        Rule::ErrorFlood,
        Rule::RequestFlood,
        Rule::WafFlood,
        Rule::PathScan,
        Rule::LoginBruteforce,
        Rule::ProtocolAbuse,
        Rule::Probe,
        Rule::Attack,
        Rule::Scanner,
    ];

    #[test]
    fn units_are_words() {
        let units = [
            Counted::Errors,
            Counted::Requests,
            Counted::Aborted,
            Counted::ProtocolErrors,
            Counted::WafEvents,
            Counted::AuthFailures,
            Counted::Abuse,
            Counted::Scans,
            Counted::Paths,
            Counted::Signatures,
            Counted::DistinctSignatures,
            Counted::Clients,
        ];
        assert_eq!(
            units.map(|unit| unit.to_string()),
            [
                "errors",
                "requests",
                "aborted requests",
                "protocol errors",
                "WAF events",
                "auth failures",
                "abuse",
                "scans",
                "distinct paths",
                "requests with signatures",
                "distinct signatures",
                "clients of one provider"
            ]
        );
        let one = [
            Counted::Errors,
            Counted::Signatures,
            Counted::Abuse,
            Counted::Paths,
        ];
        assert_eq!(
            one.map(|unit| unit.named(1)),
            ["error", "request with signatures", "abuse", "distinct path"]
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
            (10, "protocol errors"),
            (3, "distinct signatures"),
            (1, "requests with signatures"),
            (1, "requests with signatures"),
        ];
        assert_eq!(
            facts,
            expected.map(|(count, counted)| (count, counted.to_owned()))
        );
    }
}
