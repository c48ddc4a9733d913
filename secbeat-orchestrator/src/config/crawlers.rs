//! `[crawlers]`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use secbeat_common::wire::RuleName;
use secbeat_daemon::config::schema;
use secbeat_orchestrator_core::decider;
use serde::Deserialize;

/// Crawlers of search engines, which some rules do not ban.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Crawlers {
    /// Whether a banned client that may be a crawler is looked up in the DNS, and let go if it is one.
    pub enabled: bool,
    /// Rules that ban no verified crawler. Default: all over errors, requests and aborted requests.
    #[schemars(with = "Option<Vec<String>>")]
    pub rules: Option<Vec<RuleName>>,
    /// DNS servers to ask instead of those in /etc/resolv.conf.
    #[schemars(with = "Vec<schema::Listen>")]
    pub servers: Vec<SocketAddr>,
    /// Crawlers beside those that SecBeat knows.
    #[serde(rename = "crawler")]
    pub own: Vec<OwnCrawler>,
}

/// A crawler.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnCrawler {
    /// As `why` shows it.
    pub name: String,
    /// Parts of its user agents; case does not matter.
    #[schemars(with = "Vec<schema::UserAgent>")]
    pub agents: Vec<String>,
    /// Domains of which its addresses have names, such as `googlebot.com`.
    #[schemars(with = "Vec<schema::Host>")]
    pub domains: Vec<String>,
}

impl Default for Crawlers {
    fn default() -> Self {
        Self {
            enabled: true,
            rules: None,
            servers: Vec::new(),
            own: Vec::new(),
        }
    }
}

/// A crawler that SecBeat knows, by what its operator documents.
struct Shipped {
    name: &'static str,
    agents: &'static [&'static str],
    domains: &'static [&'static str],
}

/// Domains in which clients of the operator have names, too, are not among these: `googleusercontent.com` is also Google's cloud.
const SHIPPED: [Shipped; 9] = [
    Shipped {
        name: "Googlebot",
        agents: &[
            "googlebot",
            "googleother",
            "google-inspectiontool",
            "storebot-google",
            "adsbot-google",
            "mediapartners-google",
            "apis-google",
        ],
        domains: &["googlebot.com", "google.com"],
    },
    Shipped {
        name: "bingbot",
        agents: &["bingbot", "bingpreview", "adidxbot", "microsoftpreview"],
        domains: &["search.msn.com"],
    },
    Shipped {
        name: "Applebot",
        agents: &["applebot"],
        domains: &["applebot.apple.com"],
    },
    Shipped {
        name: "YandexBot",
        agents: &["yandex"],
        domains: &["yandex.ru", "yandex.net", "yandex.com"],
    },
    Shipped {
        name: "Baiduspider",
        agents: &["baiduspider"],
        domains: &["crawl.baidu.com", "crawl.baidu.jp"],
    },
    Shipped {
        name: "Yahoo! Slurp",
        agents: &["slurp"],
        domains: &["crawl.yahoo.net"],
    },
    Shipped {
        name: "SeznamBot",
        agents: &["seznambot"],
        domains: &["seznam.cz"],
    },
    Shipped {
        name: "PetalBot",
        agents: &["petalbot"],
        domains: &["petalsearch.com"],
    },
    Shipped {
        name: "Amazonbot",
        agents: &["amazonbot"],
        domains: &["crawl.amazonbot.amazon"],
    },
];

impl Crawlers {
    /// All crawlers: the config's own, which may have a shipped one's name and then take its place, and those that are shipped.
    pub(crate) fn all(&self) -> Vec<OwnCrawler> {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let shipped = SHIPPED.iter().map(|crawler| OwnCrawler {
            name: crawler.name.to_owned(),
            agents: texts(crawler.agents),
            domains: texts(crawler.domains),
        });
        let is_replaced = |name: &str| self.own.iter().any(|own| own.name.eq_ignore_ascii_case(name));
        let shipped = shipped.filter(|crawler| !is_replaced(&crawler.name));
        self.own.iter().cloned().chain(shipped).collect()
    }

    /// Returns what the decider is told.
    pub(crate) fn decided(&self) -> decider::CrawlerConfig {
        let crawler = |crawler: OwnCrawler| decider::Crawler {
            name: crawler.name,
            agents: crawler
                .agents
                .iter()
                .map(|part| part.to_ascii_lowercase())
                .collect(),
        };
        let all = if self.enabled { self.all() } else { Vec::new() };
        decider::CrawlerConfig {
            crawlers: all.into_iter().map(crawler).collect(),
            rules: self
                .rules
                .clone()
                .map(|rules| rules.into_iter().map(Into::into).collect()),
        }
    }

    /// The key of what cannot be, and why; `rules` are the names of those that are enabled.
    pub(crate) fn contradiction(&self, rules: &[&str]) -> Option<(&'static str, String)> {
        let unknown = |name: &&RuleName| !rules.contains(&name.as_str());
        if let Some(name) = self.rules.iter().flatten().find(unknown) {
            return Some((
                "crawlers.rules",
                format!("no rule is called `{name}`, or it is not enabled"),
            ));
        }
        for crawler in &self.own {
            let name = &crawler.name;
            if name.is_empty() || crawler.agents.is_empty() || crawler.domains.is_empty() {
                let message = format!("crawler `{name}`: state a name, `agents` and `domains`");
                return Some(("crawlers.crawler", message));
            }
            if crawler.agents.iter().any(|part| part.trim().is_empty()) {
                return Some(("crawlers.crawler", format!("crawler `{name}`: an agent is empty")));
            }
            // A whole top-level domain is nobody's.
            let is_domain =
                |domain: &&String| domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.');
            if let Some(domain) = crawler.domains.iter().find(|domain| !is_domain(domain)) {
                let message = format!(
                    "crawler `{name}`: invalid domain `{domain}`: expected one such as crawl.example.org"
                );
                return Some(("crawlers.crawler", message));
            }
        }
        None
    }
}
