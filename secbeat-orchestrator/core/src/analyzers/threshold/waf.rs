//! Events of web application firewalls that count.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use secbeat_common::wire::{Severity, WafEvent, WafOutcome};
use serde::{Deserialize, Serialize};

/// Filter of the firewall's events that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WafFilter {
    /// Least severity of a matched rule for the event to count.
    pub severity: Severity,
    /// Rules whose matches do not count.
    pub excluded_rules: Vec<RuleIds>,
}

impl Default for WafFilter {
    /// Severity `critical`. The Core Rule Set's rules about answers (950000 to 959999) are excluded: an application that
    /// leaks its errors is not its visitors' fault.
    fn default() -> Self {
        Self {
            severity: Severity::Critical,
            excluded_rules: vec![RuleIds(950_000..=959_999)],
        }
    }
}

impl WafFilter {
    /// Whether `event` counts: one of its rules that is not excluded is severe enough, or none of these states a severity
    /// (as one's own rules often do) and the transaction was blocked.
    #[must_use]
    pub fn counts(&self, event: &WafEvent) -> bool {
        let is_excluded = |id| {
            self.excluded_rules
                .iter()
                .any(|excluded| excluded.0.contains(&id))
        };
        let mut severities = event
            .rules
            .iter()
            .filter(|rule| !is_excluded(rule.id))
            .map(|rule| rule.severity)
            .peekable();
        if severities.peek().is_none() {
            return false;
        }
        match severities.flatten().min() {
            Some(most_severe) => most_severe <= self.severity,
            None => event.outcome == WafOutcome::Blocked,
        }
    }
}

/// Ids of rules: one, or all from one to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleIds(RangeInclusive<u32>);

impl fmt::Display for RuleIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// Text that is not a [`RuleIds`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither the id of a rule, as 920350, nor a range, as 950000-959999")]
pub struct NoRuleIds(String);

impl FromStr for RuleIds {
    type Err = NoRuleIds;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(NoRuleIds(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{LearnedFrom, WafRule};

    use super::*;

    type Rules = [(u32, Option<Severity>)];

    fn event(outcome: WafOutcome, rules: &Rules) -> WafEvent {
        WafEvent {
            client: "192.0.2.7".parse().unwrap(),
            at_ms: 0,
            learned_from: LearnedFrom::Peer,
            outcome,
            rules: rules
                .iter()
                .map(|&(id, severity)| WafRule { id, severity })
                .collect(),
            anomaly_score: None,
            message: String::new(),
            uri: String::new(),
            host: String::new(),
        }
    }

    #[test]
    fn what_counts() {
        use Severity::{Alert, Critical, Warning};
        use WafOutcome::{Blocked, Detected};
        let filter = WafFilter::default();
        let cases: [(WafOutcome, &Rules, bool); 12] = [
            (Detected, &[(942_100, Some(Critical))], true),
            (Detected, &[(942_100, Some(Alert))], true),
            (
                Blocked,
                &[(920_350, Some(Warning)), (949_110, Some(Critical))],
                true,
            ),
            (Detected, &[(920_350, Some(Warning))], false),
            (Blocked, &[(920_350, Some(Warning))], false),
            (Blocked, &[(1000, None)], true),
            (Detected, &[(1000, None)], false),
            (Blocked, &[(1000, None), (920_350, Some(Warning))], false),
            (
                Blocked,
                &[(951_120, Some(Critical)), (959_100, Some(Critical))],
                false,
            ),
            (
                Blocked,
                &[(951_120, Some(Critical)), (920_350, Some(Warning))],
                false,
            ),
            (
                Detected,
                &[(951_120, Some(Critical)), (942_100, Some(Critical))],
                true,
            ),
            (Blocked, &[], false),
        ];
        for (outcome, rules, expected) in cases {
            assert_eq!(
                filter.counts(&event(outcome, rules)),
                expected,
                "{outcome:?} {rules:?}"
            );
        }
        let stricter = WafFilter {
            severity: Warning,
            excluded_rules: vec!["920350".parse().unwrap()],
        };
        assert!(stricter.counts(&event(Detected, &[(951_120, Some(Warning))])));
        assert!(!stricter.counts(&event(Detected, &[(920_350, Some(Warning))])));
    }

    #[test]
    fn ranges_of_rules_are_read_and_shown() {
        for text in ["1", "920350", "950000-959999", "0-4294967295"] {
            assert_eq!(text.parse::<RuleIds>().unwrap().to_string(), text);
        }
        for text in ["", "-", "x", "2-1", "1-", "-1", "1-2-3", "4294967296"] {
            assert_eq!(text.parse::<RuleIds>(), Err(NoRuleIds(text.to_owned())));
        }
    }
}
