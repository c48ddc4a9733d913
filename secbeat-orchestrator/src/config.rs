//! The orchestrator's config file. `packaging/orchestrator.toml` shows every key with its default.

use std::{net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use secbeat_common::{
    daemon::{
        config::{self, ConfigError, HumanDuration, NatsUrl},
        protect::{Known, Protect, sessions},
    },
    prefix::Prefix,
    wire::Severity,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    detect::{DetectConfig, RuleIds, Threshold, WafFlood},
    ledger::LedgerConfig,
};

/// Where the config lies unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/secbeat/orchestrator.toml";

/// The whole file; every key has a default, so an empty file (or none) will do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the REST API listens. Anybody who reaches it can ban and unban: keep it on loopback.
    pub api_listen: SocketAddr,
    /// The edges' trusted proxies, which are never banned.
    #[serde(deserialize_with = "config::proxies")]
    pub trusted_proxies: Vec<Prefix>,
    pub nats: Nats,
    pub detect: Detect,
    pub ban: Ban,
    pub protect: Protect,
    /// How often sources that went quiet are forgotten.
    pub cleanup_interval: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            api_listen: SocketAddr::from(([127, 0, 0, 1], 3030)),
            trusted_proxies: Vec::new(),
            nats: Nats::default(),
            detect: Detect::default(),
            ban: Ban::default(),
            protect: Protect::default(),
            cleanup_interval: seconds(300),
        }
    }
}

/// The bus.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    pub url: NatsUrl,
}

/// The rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    pub error_flood: Rule,
    pub request_flood: Rule,
    pub waf_flood: WafRule,
    /// Statuses from 400 on that do not count as errors.
    #[serde(deserialize_with = "error_statuses")]
    pub excluded_statuses: Vec<u16>,
    /// Sources watched at most; past it the least recently seen are forgotten.
    pub max_sources: NonZeroU32,
}

/// So many events within the window are too many.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub count: NonZeroU32,
    pub window: HumanDuration,
}

/// So many events of web application firewalls within the window are too many.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WafRule {
    pub count: NonZeroU32,
    pub window: HumanDuration,
    /// What a rule must be at least for its match to count.
    pub severity: Severity,
    /// Rules whose matches do not count, each an id or a range.
    #[serde(deserialize_with = "rule_ids")]
    pub excluded_rules: Vec<RuleIds>,
}

impl Default for WafRule {
    fn default() -> Self {
        let WafFlood {
            threshold,
            severity,
            excluded_rules,
        } = WafFlood::default();
        Self {
            count: threshold.count,
            window: HumanDuration(threshold.window),
            severity,
            excluded_rules,
        }
    }
}

impl Default for Detect {
    fn default() -> Self {
        let defaults = DetectConfig::default();
        let rule = |threshold: Threshold| Rule {
            count: threshold.count,
            window: HumanDuration(threshold.window),
        };
        Self {
            error_flood: rule(defaults.error_flood),
            request_flood: rule(defaults.request_flood),
            waf_flood: WafRule::default(),
            excluded_statuses: defaults.excluded_statuses,
            max_sources: u32::try_from(defaults.max_sources)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MAX),
        }
    }
}

/// What follows a finding.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ban {
    /// Length of a first ban.
    pub duration: HumanDuration,
    /// How many times longer each further ban is.
    pub strike_factor: NonZeroU32,
    pub max_duration: HumanDuration,
    /// How long after a ban's end the next one still counts as a further one.
    pub strike_memory: HumanDuration,
    pub max_per_minute: NonZeroU32,
}

impl Default for Ban {
    fn default() -> Self {
        Self {
            duration: seconds(300),
            strike_factor: NonZeroU32::MIN.saturating_add(1),
            max_duration: seconds(24 * 3600),
            strike_memory: seconds(24 * 3600),
            max_per_minute: NonZeroU32::MIN.saturating_add(5999),
        }
    }
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

fn error_statuses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let statuses = Vec::<u16>::deserialize(deserializer)?;
    match statuses.iter().find(|status| !(400..600).contains(*status)) {
        None => Ok(statuses),
        Some(status) => Err(D::Error::custom(format!(
            "{status} is no error status (400 to 599)"
        ))),
    }
}

fn rule_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RuleIds>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let ids = texts.iter().map(|text| text.parse().map_err(D::Error::custom));
    ids.collect()
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = config::load(path)?;
        if config.ban.max_duration < config.ban.duration {
            let message = format!(
                "{} is shorter than ban.duration, {}",
                config.ban.max_duration, config.ban.duration
            );
            return Err(ConfigError::contradiction(path, "ban.max_duration", message));
        }
        Ok(config)
    }

    /// What the detector is told.
    #[must_use]
    pub fn detector(&self) -> DetectConfig {
        let threshold = |rule: Rule| Threshold {
            count: rule.count,
            window: rule.window.0,
        };
        DetectConfig {
            error_flood: threshold(self.detect.error_flood),
            request_flood: threshold(self.detect.request_flood),
            waf_flood: WafFlood {
                threshold: Threshold {
                    count: self.detect.waf_flood.count,
                    window: self.detect.waf_flood.window.0,
                },
                severity: self.detect.waf_flood.severity,
                excluded_rules: self.detect.waf_flood.excluded_rules.clone(),
            },
            excluded_statuses: self.detect.excluded_statuses.clone(),
            max_sources: self.detect.max_sources.get() as usize,
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
            protected,
            ..LedgerConfig::default()
        }
    }

    /// What the search for protected addresses starts from.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            configured: self.protect.entries(),
            trusted_proxies: self.trusted_proxies.clone(),
            bus: Some((self.nats.url.0.host().to_owned(), self.nats.url.0.port())),
            upstreams: Vec::new(),
            operator: sessions::operator(),
        }
    }

    /// The longest window of any rule.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        self.detect
            .error_flood
            .window
            .max(self.detect.request_flood.window)
            .max(self.detect.waf_flood.window)
            .0
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
        let detector = Config::default().detector();
        assert_eq!(
            (
                detector.error_flood.count.get(),
                detector.error_flood.window.as_secs()
            ),
            (50, 60)
        );
        assert_eq!(
            (
                detector.request_flood.count.get(),
                detector.request_flood.window.as_secs()
            ),
            (1000, 60)
        );
        let waf = detector.waf_flood.threshold;
        assert_eq!((waf.count.get(), waf.window.as_secs()), (5, 60));
        assert_eq!(Config::default().ledger(Vec::new()).ban.as_secs(), 300);
    }
}
