//! Rules.

use secbeat_daemon::config::HumanDuration;
use secbeat_orchestrator_core::analyzers::RuleConfig;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Config, RuleAction};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    pub name: String,
    /// What counts: `errors`, `requests`, `WAF events`, `auth failures`, `abuse`, `scans`, `distinct paths`, `requests with
    /// signatures` or `distinct signatures`.
    pub counts: String,
    /// So many of them are too many …
    pub threshold: u32,
    /// … within this time, as `1m`.
    pub window: String,
    /// How long a first ban lasts.
    pub ban: String,
    /// Whether it bans, or only says that it would.
    pub action: RuleAction,
}

impl RuleView {
    /// The rules of `config`.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Self> {
        let rule = |rule: &RuleConfig| Self {
            name: rule.rule.to_string(),
            counts: rule.counted().to_string(),
            threshold: rule.threshold.count.get(),
            window: HumanDuration(rule.threshold.window).to_string(),
            ban: rule.ban.map_or(config.ban.duration, HumanDuration).to_string(),
            action: rule.action.into(),
        };
        config.rules.0.iter().map(rule).collect()
    }
}
