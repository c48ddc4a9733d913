//! The orchestrator's config file. `packaging/orchestrator.toml` shows every key with its default.

mod api;
mod crawlers;
mod digests;
mod nats;
mod orders;
mod rules;

use std::{net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use schemars::JsonSchema;
use secbeat_bus::TELEMETRY_AGE;
use secbeat_common::{prefix::Prefix, sources::SourceLengths, wire::Detection};
use secbeat_daemon::{
    api::SocketPath,
    config::{self, ConfigError, HumanDuration, NatsServers, schema},
    geo::{Geo, GeoConfig},
    protect::{Known, Protect, everybody, sessions},
    tls::CertificateFiles,
};
use secbeat_orchestrator_core::{
    ProtectedNet,
    analyzers::{DetectConfig, Providers, RuleConfig},
    decider, evidence,
    ledger::{LedgerConfig, Share},
    presence,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use tracing::error;
use uuid::Uuid;

pub use self::{
    api::{ApiConfig, PROGRAM},
    crawlers::{Crawlers, OwnCrawler},
    nats::{Nats, Replicas},
    rules::{RuleAction, Rules},
};
pub(crate) use self::{digests::DIGESTED, rules::check_threshold};
use crate::{
    audit_out::AuditOut,
    directives::Directives,
    feeds::{self, FeedEntry},
    notify::{self, Notifier, NotifyEntry, NotifyStats, Receiver},
};

/// Default path of the config, without `--config`.
pub const DEFAULT_PATH: &str = "/etc/secbeat/orchestrator.toml";

/// The whole file; every key has a default, so an empty file (or none) will do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "SecBeat orchestrator")]
pub struct Config {
    /// The REST API. Without tokens it listens on loopback only. Changes take the socket, or a token.
    pub api: ApiConfig,
    /// Proxies, load balancers and CDNs in front of the edges, as in their `trusted_proxies`. Never banned.
    #[schemars(with = "Vec<schema::Network>")]
    #[serde(deserialize_with = "config::proxies")]
    pub trusted_proxies: Vec<Prefix>,
    /// The connection to NATS.
    pub nats: Nats,
    /// The detector.
    pub detect: Detect,
    /// The rules. A client that reaches the threshold within the window is banned. `error-flood`, `request-flood`,
    /// `waf-flood`, `probe` and `attack` are enabled by default; `path-scan`, `login-bruteforce`, `protocol-abuse`, `scanner`,
    /// `repeated-attack`, `repeated-probe`, `open-proxy`, `auth-bruteforce`, `page-crawl` and those over services are enabled by a table with their name. These built-in rules have defaults for all keys. A rule with any other name requires `counts`,
    /// `threshold` and `window`.
    #[serde(rename = "rule")]
    pub rules: Rules,
    /// Durations and limits of automatic bans.
    pub ban: Ban,
    /// The allowlist of this config, beside the addresses that the orchestrator finds on its own host.
    pub protect: Protect,
    /// Monitoring of the edges.
    pub edges: Edges,
    /// Events that are kept for `why`.
    pub evidence: Evidence,
    /// Copies of the audit, beside NATS.
    pub audit: AuditOut,
    /// Receivers of notifications.
    pub notify: Vec<NotifyEntry>,
    /// Countries of addresses, and networks of providers (AS), from MMDB files. Shown beside addresses, and
    /// gone by where a rule has `by = "asn"`.
    pub geo: GeoConfig,
    /// Crawlers of search engines that some rules do not ban, once the DNS proves who they are.
    pub crawlers: Crawlers,
    /// Lists of networks that others publish (docs/feeds.md): asked by one orchestrator at a time, and given to all edges. Set the same
    /// on all orchestrators.
    #[serde(rename = "feed")]
    pub feeds: Vec<FeedEntry>,
    /// Interval at which sources without recent events are removed from memory.
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
            audit: AuditOut::default(),
            notify: Vec::new(),
            geo: GeoConfig::default(),
            crawlers: Crawlers::default(),
            feeds: Vec::new(),
            cleanup_interval: seconds(300),
        }
    }
}

/// The edges.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Edges {
    /// Time that an edge may have other bans than the ledger before it counts as sync drift.
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
    /// Sources in memory. Past it, sources that were seen once and not for longest are forgotten first.
    pub max_sources: NonZeroU32,
    /// Prefix lengths that are counted and banned as one client. With shorter prefixes, all clients in the network
    /// are banned together, and at most a million networks can be banned at a time. Set the same on all orchestrators;
    /// edges learn it from them.
    pub sources: SourceLengths,
    /// Number of edges that must confirm a finding before the ban applies fleet-wide. Until then it applies only
    /// on the edges that reported it. With k, one edge contributes at most 1/k of a rule's threshold.
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

/// Consequence of a finding.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ban {
    /// Duration of a first ban.
    pub duration: HumanDuration,
    /// Factor by which the ban of each repeat offence is longer.
    pub strike_factor: NonZeroU32,
    /// Upper limit for automatic bans.
    pub max_duration: HumanDuration,
    /// Time after a ban's expiry in which the next ban counts as a repeat offence.
    pub strike_memory: HumanDuration,
    /// How long after an unban no event counts against its target.
    #[schemars(with = "schema::Duration")]
    #[serde(
        deserialize_with = "config::duration_or_zero",
        serialize_with = "config::as_duration"
    )]
    pub unban_grace: Duration,
    /// Safety limit: automatic bans in a minute. Past it, findings are recorded and no client is banned.
    pub max_per_minute: NonZeroU32,
    /// Safety limit: automatic bans in a minute on the reports of one edge.
    pub max_per_minute_per_edge: NonZeroU32,
    /// Safety limit: automatic bans in a minute as a share of the sources that were seen lately and led to no
    /// finding. Above 0, at most 1.
    #[schemars(with = "f64", range(max = 1.0), extend("exclusiveMinimum" = 0))]
    #[serde(deserialize_with = "share")]
    pub max_share: Share,
    /// `max_share` applies only with at least this many such sources.
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
    Share::new(part).ok_or_else(|| {
        D::Error::custom(format!(
            "invalid share {part}: expected more than 0 and at most 1"
        ))
    })
}

/// Events that are kept to answer `why`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Memory for recent error responses and WAF events, in bytes. Past it the oldest are dropped.
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
            "{bytes} bytes are too few: expected at least {}",
            evidence::MIN_MEMORY
        ))),
    }
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

/// What of a wrong config is gone by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BrokenConfig {
    api: SaidOfApi,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidOfApi {
    listen: Option<SocketAddr>,
    socket: Option<SocketPath>,
    tls: Option<CertificateFiles>,
}

/// Whose network a client is in, as `geo` knows.
fn providers(geo: Geo) -> Providers {
    Providers::new(move |source| geo.of(source).asn)
}

/// Reads the orchestrator's part of a config file.
pub type LoadConfig = fn(&Path) -> Result<Config, ConfigError>;

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::check(config::load(path)?, path)
    }

    /// As [`load`](Self::load), of a file of which only these keys and tables are the orchestrator's.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load_part(path: &Path, keys: &[&str]) -> Result<Self, ConfigError> {
        Self::check(config::load_part(path, |key| keys.contains(&key))?, path)
    }

    /// Defaults, and what a file that is wrong elsewhere says of the API's place all the same: who has spoiled it must still be able
    /// to look and to unban.
    #[must_use]
    pub fn api_of(path: &Path) -> Self {
        let BrokenConfig { api } = config::load_part(path, |key| key == "api").unwrap_or_default();
        let usual = ApiConfig::default();
        Self {
            api: ApiConfig {
                listen: api.listen.unwrap_or(usual.listen),
                socket: api.socket.unwrap_or(usual.socket),
                tls: api.tls,
                ..ApiConfig::default()
            },
            ..Self::default()
        }
    }

    fn check(mut config: Self, path: &Path) -> Result<Self, ConfigError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        notify::resolve(&mut config.notify, folder);
        config.audit.resolve(folder);
        feeds::resolve(&mut config.feeds, folder);
        if let Some((key, message)) = config.api.contradiction() {
            return Err(ConfigError::contradiction(path, &key, message));
        }
        let protected = config.protect.entries().into_iter().map(|entry| entry.network);
        if let Some(message) = everybody(protected.chain(config.trusted_proxies.iter().copied())) {
            return Err(ConfigError::contradiction(path, "protect", message));
        }
        if config.ban.max_duration < config.ban.duration {
            let message = format!(
                "{} is shorter than ban.duration, {}",
                config.ban.max_duration, config.ban.duration
            );
            return Err(ConfigError::contradiction(path, "ban.max_duration", message));
        }
        if let Some((key, message)) = config.contradiction_of_rules() {
            return Err(ConfigError::contradiction(path, key, message));
        }
        if let Some((key, message)) = config.audit.wrong() {
            return Err(ConfigError::contradiction(path, key, message));
        }
        if let Err((key, message)) = feeds::check(&config.feeds) {
            return Err(ConfigError::contradiction(path, &key, message));
        }
        let names: Vec<_> = config.rules.0.iter().map(|rule| rule.rule.name()).collect();
        if let Some((key, message)) = config.crawlers.contradiction(&names) {
            return Err(ConfigError::contradiction(path, key, message));
        }
        if let Err((key, message)) = notify::check(&config.notify, &names) {
            return Err(ConfigError::contradiction(path, &key, message));
        }
        Ok(config)
    }

    /// Returns who tells people of bans and troubles, on behalf of the orchestrator called `name`, with what `geo` knows. It runs
    /// from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if an entry does not do.
    pub(crate) fn notifier(&self, name: &str, geo: &Geo) -> anyhow::Result<(Notifier, NotifyStats)> {
        let receivers = Receiver::all(&self.notify).map_err(|(key, why)| anyhow::anyhow!("{key}: {why}"))?;
        Ok(Notifier::start(receivers, name, geo))
    }

    /// The key of what the rules contradict, or cannot ask of edges, and why.
    #[must_use]
    pub fn contradiction_of_rules(&self) -> Option<(&'static str, String)> {
        if self.geo.asn.is_none()
            && let Some(rule) = self.rules.0.iter().find(|rule| rule.counts_clients())
        {
            let message = format!("names no file, and rule {} counts by it", rule.rule);
            return Some(("geo.asn", message));
        }
        let too_long = |ban: &Duration| *ban > self.ban.max_duration.0;
        let mut rules = self.rules.0.iter();
        if let Some((rule, ban)) = rules.find_map(|rule| Some((rule.rule, rule.ban.filter(too_long)?))) {
            let message = format!(
                "{} is shorter than the ban of rule {rule}, {}",
                self.ban.max_duration,
                HumanDuration(ban)
            );
            return Some(("ban.max_duration", message));
        }
        let error = self.directives().interest.checked().err()?;
        Some(("rule", format!("what the rules ask edges to report: {error}")))
    }

    /// Returns what edges are asked for.
    #[must_use]
    pub fn directives(&self) -> Directives {
        Directives {
            interest: self.detector().interest(),
            sources: self.detect.sources,
            detection: self.orders().tell().unwrap_or_else(|why| {
                error!("edges cannot be told by what to ban while no orchestrator decides: {why}");
                Detection::default()
            }),
        }
    }

    /// Returns whose network a client is in, by the file that the config names. It is read if a rule counts by it.
    pub(crate) fn read_providers(&self) -> Providers {
        match self.rules.0.iter().any(RuleConfig::counts_clients) {
            true => providers(Geo::open(&self.geo)),
            false => Providers::default(),
        }
    }

    /// Returns what the decider goes by. `protected` is what was found on this host, and the configured networks.
    #[must_use]
    pub fn decider(&self, protected: Vec<ProtectedNet>, geo: &Geo) -> decider::Config {
        decider::Config {
            detect: self.detector(),
            agreeing_edges: self.detect.agreeing_edges,
            providers: providers(geo.clone()),
            ledger: self.ledger(Vec::new()),
            protected,
            max_age: self.max_age(),
            cleanup_interval: self.cleanup_interval.0,
            unban_grace: self.ban.unban_grace,
            drift_grace: self.edges.drift_grace.0,
            evidence_bytes: self.evidence.memory_bytes,
            crawlers: self.crawlers.decided(),
            traced: false,
            stands_in: false,
            seed: Uuid::new_v4().into_bytes(),
        }
    }

    /// Returns how old telemetry may be that counts.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.longest_window() * TELEMETRY_AGE
    }

    /// Returns what the detector is told.
    #[must_use]
    pub fn detector(&self) -> DetectConfig {
        DetectConfig {
            rules: self.rules.0.clone(),
            max_sources: self.detect.max_sources.get() as usize,
            sources: self.detect.sources,
            ..DetectConfig::default()
        }
    }

    /// Returns what the ledger is told. `protected` adds what was found on this host to the configured networks.
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

    /// Returns what the search for protected addresses starts from, with the servers' addresses.
    #[must_use]
    pub fn known(&self, nats: &NatsServers) -> Known {
        Known {
            configured: self.protect.entries(),
            trusted_proxies: self.trusted_proxies.clone(),
            bus: nats.places(),
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
                ("waf-flood", 5, 60),
                ("probe", 3, 60),
                ("attack", 1, 60)
            ]
        );
        assert_eq!(Config::default().ledger(Vec::new()).ban.as_secs(), 300);
    }
}
