//! Rules.

use std::{collections::BTreeMap, fmt};

use secbeat_common::wire::tell_labels;
use secbeat_daemon::config::HumanDuration;
use secbeat_orchestrator_core::{analyzers::RuleConfig, stand_in::Orders};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Config, RuleAction};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Name of the rule.
    pub name: String,
    /// Events that count: `errors`, `requests`, `WAF events`, `auth failures`, `abuse`, `scans`, `distinct paths`, `requests with
    /// signatures`, `distinct signatures` or `clients of one provider`.
    pub counts: String,
    /// The number of them that triggers the rule …
    pub threshold: u32,
    /// … within this time, such as `1m`.
    pub window: String,
    /// Time that a first ban lasts.
    pub ban: String,
    /// Labels that an edge must have to enforce its bans; none for all edges.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it bans, or only says that it would.
    pub action: RuleAction,
}

impl RuleView {
    /// The rules of `config`.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Self> {
        let rules = config.rules.0.iter();
        rules.map(|rule| Self::new(rule, config.ban.duration)).collect()
    }

    /// The rules that a fleet's detector goes by.
    #[must_use]
    pub fn of_fleet(orders: &Orders) -> Vec<Self> {
        let ban = HumanDuration(orders.ledger.ban);
        orders
            .detect
            .rules
            .iter()
            .map(|rule| Self::new(rule, ban))
            .collect()
    }

    /// `ban` is how long a first ban lasts if the rule does not say.
    fn new(rule: &RuleConfig, ban: HumanDuration) -> Self {
        Self {
            name: rule.rule.to_string(),
            counts: rule.counted().to_string(),
            threshold: rule.threshold.count.get(),
            window: HumanDuration(rule.threshold.window).to_string(),
            ban: rule.ban.map_or(ban, HumanDuration).to_string(),
            labels: rule.labels.clone(),
            action: rule.action.into(),
        }
    }
}

impl fmt::Display for RuleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.action {
            RuleAction::Ban => " ban for",
            RuleAction::Observe => ": dry run, would ban for",
        };
        let Self {
            name,
            counts,
            threshold,
            window,
            ban,
            labels,
            ..
        } = self;
        write!(f, "{name}: {threshold} {counts} in {window}{what} {ban}")?;
        match labels.is_empty() {
            true => Ok(()),
            false => write!(f, " on edges with {}", tell_labels(labels)),
        }
    }
}
