//! The orchestrator's config file. `packaging/orchestrator.toml` shows every key with its default.

mod rules;

use std::{num::NonZeroU32, path::Path, time::Duration};

use schemars::JsonSchema;
use secbeat_common::{prefix::Prefix, sources::SourceLengths};
use secbeat_daemon::{
    config::{self, ConfigError, HumanDuration, NatsUrl, schema},
    credentials::Nats,
    protect::{Known, Protect, sessions},
};
use secbeat_orchestrator_core::{
    ProtectedNet,
    analyzers::DetectConfig,
    decider, evidence,
    ledger::{LedgerConfig, Share},
    presence,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

pub use self::rules::{RuleAction, Rules};
use crate::{api::config::ApiConfig, bus::TELEMETRY_AGE, directives::Directives};

/// Where the config lies unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/secbeat/orchestrator.toml";

/// The whole file; every key has a default, so an empty file (or none) will do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "SecBeat orchestrator")]
pub struct Config {
    /// The REST API. Without tokens whoever is on this host may do everything, and it listens on loopback alone.
    pub api: ApiConfig,
    /// The proxies and CDNs before the edges, as `trusted_proxies` of theirs: never banned.
    #[schemars(with = "Vec<schema::Network>")]
    #[serde(deserialize_with = "config::proxies")]
    pub trusted_proxies: Vec<Prefix>,
    /// The bus.
    pub nats: Nats,
    /// The detector.
    pub detect: Detect,
    /// The rules. A source that reaches the threshold within the window is banned. `error-flood`, `request-flood` and `waf-flood`
    /// hold unless `enabled` is false; `path-scan` and `login-bruteforce` hold once they are named. What a rule of these names does
    /// not state is as it ships. A rule of any other name states `counts`, `threshold` and `window`.
    #[serde(rename = "rule")]
    pub rules: Rules,
    /// What follows a finding.
    pub ban: Ban,
    /// Who is never banned, beside those that the orchestrator finds on its own host.
    pub protect: Protect,
    /// The edges.
    pub edges: Edges,
    /// What is kept to answer questions with.
    pub evidence: Evidence,
    /// How often sources that went quiet are forgotten.
    pub cleanup_interval: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            api: ApiConfig::default(),
            trusted_proxies: Vec::new(),
            nats: Nats::default(),
            detect: Detect::default(),
            rules: Rules::default(),
            ban: Ban::default(),
            protect: Protect::default(),
            edges: Edges::default(),
            evidence: Evidence::default(),
            cleanup_interval: seconds(300),
        }
    }
}

/// The edges.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Edges {
    /// How long an edge may hold other bans than the ledger before that is an alarm.
    pub drift_grace: HumanDuration,
}

impl Default for Edges {
    fn default() -> Self {
        Self {
            drift_grace: HumanDuration(presence::DRIFT_GRACE),
        }
    }
}

/// The detector.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// Sources watched at most; past it the least recently seen are forgotten.
    pub max_sources: NonZeroU32,
    /// What counts as one source and is banned as one, as prefix lengths. Shorter ones hit whoever shares the network too, and no
    /// more than 4095 of them can be banned at a time. The same on all orchestrators; edges are told.
    pub sources: SourceLengths,
    /// How many edges have to have seen it for a ban to hold on all of them. Above 1, what one edge
    /// reports counts for at most that part of a rule's threshold, and what it has seen alone is banned there alone.
    pub agreeing_edges: NonZeroU32,
}

impl Default for Detect {
    fn default() -> Self {
        Self {
            max_sources: u32::try_from(DetectConfig::default().max_sources)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MAX),
            sources: SourceLengths::default(),
            agreeing_edges: NonZeroU32::MIN,
        }
    }
}

/// What follows a finding.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ban {
    /// Length of a first ban.
    pub duration: HumanDuration,
    /// How many times longer each further ban is.
    pub strike_factor: NonZeroU32,
    /// What no automatic ban is longer than.
    pub max_duration: HumanDuration,
    /// How long after a ban's end the next one still counts as a further one.
    pub strike_memory: HumanDuration,
    /// How long after an unban nothing counts against its target.
    #[schemars(with = "schema::Duration")]
    #[serde(
        deserialize_with = "config::duration_or_zero",
        serialize_with = "config::as_duration"
    )]
    pub unban_grace: Duration,
    /// Brake: past it findings are recorded, and nobody is banned.
    pub max_per_minute: NonZeroU32,
    /// The same for what one edge's reports lead to.
    pub max_per_minute_per_edge: NonZeroU32,
    /// The same as a share of the sources that behave: above 0, and at most 1.
    #[schemars(with = "f64", range(max = 1.0), extend("exclusiveMinimum" = 0))]
    #[serde(deserialize_with = "share")]
    pub max_share: Share,
    /// With fewer sources that behave `max_share` does not count.
    pub share_from_sources: NonZeroU32,
}

impl Default for Ban {
    fn default() -> Self {
        Self {
            duration: seconds(300),
            strike_factor: NonZeroU32::MIN.saturating_add(1),
            max_duration: seconds(24 * 3600),
            strike_memory: seconds(24 * 3600),
            unban_grace: Duration::ZERO,
            max_per_minute: NonZeroU32::MIN.saturating_add(5999),
            max_per_minute_per_edge: NonZeroU32::MIN.saturating_add(2999),
            max_share: Share::QUARTER,
            share_from_sources: NonZeroU32::MIN.saturating_add(999),
        }
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
    let part = f64::deserialize(deserializer)?;
    Share::new(part).ok_or_else(|| D::Error::custom(format!("{part} is no share: above 0 and at most 1")))
}

/// What is kept to answer questions with.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Bytes that recent error answers and WAF events may take; past it the oldest go.
    #[schemars(range(min = evidence::MIN_MEMORY))]
    #[serde(deserialize_with = "journal_memory")]
    pub memory_bytes: usize,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            memory_bytes: evidence::DEFAULT_MEMORY,
        }
    }
}

fn journal_memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        bytes if bytes >= evidence::MIN_MEMORY => Ok(bytes),
        bytes => Err(D::Error::custom(format!(
            "{bytes} bytes hold too little, the least is {}",
            evidence::MIN_MEMORY
        ))),
    }
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = config::load(path)?;
        if let Some((key, message)) = config.api.contradiction() {
            return Err(ConfigError::contradiction(path, &key, message));
        }
        if config.ban.max_duration < config.ban.duration {
            let message = format!(
                "{} is shorter than ban.duration, {}",
                config.ban.max_duration, config.ban.duration
            );
            return Err(ConfigError::contradiction(path, "ban.max_duration", message));
        }
        let too_long = |ban: &Duration| *ban > config.ban.max_duration.0;
        if let Some((rule, ban)) = config
            .rules
            .0
            .iter()
            .find_map(|rule| Some((rule.rule, rule.ban.filter(too_long)?)))
        {
            let message = format!(
                "{} is shorter than the ban of rule {rule}, {}",
                config.ban.max_duration,
                HumanDuration(ban)
            );
            return Err(ConfigError::contradiction(path, "ban.max_duration", message));
        }
        if let Err(error) = config.directives().interest.checked() {
            let message = format!("what the rules ask edges to report: {error}");
            return Err(ConfigError::contradiction(path, "rule", message));
        }
        Ok(config)
    }

    /// What edges are asked for.
    #[must_use]
    pub fn directives(&self) -> Directives {
        Directives {
            interest: self.detector().interest(),
            sources: self.detect.sources,
        }
    }

    /// What the decider goes by. `protected` is what was found on this host, and the configured networks.
    #[must_use]
    pub fn decider(&self, protected: Vec<ProtectedNet>) -> decider::Config {
        decider::Config {
            detect: self.detector(),
            agreeing_edges: self.detect.agreeing_edges,
            ledger: self.ledger(Vec::new()),
            protected,
            max_age: self.longest_window() * TELEMETRY_AGE,
            cleanup_interval: self.cleanup_interval.0,
            unban_grace: self.ban.unban_grace,
            drift_grace: self.edges.drift_grace.0,
            evidence_bytes: self.evidence.memory_bytes,
            traced: false,
            seed: Uuid::new_v4().into_bytes(),
        }
    }

    /// What the detector is told.
    #[must_use]
    pub fn detector(&self) -> DetectConfig {
        DetectConfig {
            rules: self.rules.0.clone(),
            max_sources: self.detect.max_sources.get() as usize,
            sources: self.detect.sources,
            ..DetectConfig::default()
        }
    }

    /// What the ledger is told. `protected` adds what was found on this host to the configured networks.
    #[must_use]
    pub fn ledger(&self, protected: Vec<Prefix>) -> LedgerConfig {
        LedgerConfig {
            ban: self.ban.duration.0,
            strike_factor: self.ban.strike_factor.get(),
            max_ban: self.ban.max_duration.0,
            strike_memory: self.ban.strike_memory.0,
            max_bans_per_minute: self.ban.max_per_minute.get(),
            max_bans_per_minute_per_edge: self.ban.max_per_minute_per_edge.get(),
            max_share: self.ban.max_share,
            share_from_sources: u64::from(self.ban.share_from_sources.get()),
            protected,
            ..LedgerConfig::default()
        }
    }

    /// What the search for protected addresses starts from, with the server's address.
    #[must_use]
    pub fn known(&self, nats: &NatsUrl) -> Known {
        Known {
            configured: self.protect.entries(),
            trusted_proxies: self.trusted_proxies.clone(),
            bus: Some((nats.0.host().to_owned(), nats.0.port())),
            upstreams: Vec::new(),
            operator: sessions::operator(),
        }
    }

    /// The longest window of any rule; zero if there is none.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        let windows = self.rules.0.iter().map(|rule| rule.threshold.window);
        windows.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_config_is_the_default() {
        let shipped = Config::load(Path::new("../packaging/orchestrator.toml")).unwrap();
        assert_eq!(format!("{shipped:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn defaults_are_the_owners() {
        let rules = Config::default().detector().rules;
        let facts: Vec<_> = rules
            .iter()
            .map(|rule| {
                let threshold = rule.threshold;
                (
                    rule.rule.name(),
                    threshold.count.get(),
                    threshold.window.as_secs(),
                )
            })
            .collect();
        assert_eq!(
            facts,
            [
                ("error-flood", 50, 60),
                ("request-flood", 1000, 60),
                ("waf-flood", 5, 60)
            ]
        );
        assert_eq!(Config::default().ledger(Vec::new()).ban.as_secs(), 300);
    }
}
