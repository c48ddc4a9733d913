//! `[protect]` of both configs.

use schemars::JsonSchema;
use secbeat_common::{coverage::Coverage, prefix::Prefix};
use serde::{Deserialize, Deserializer, de::Error as _};

use tracing::warn;

use crate::config::{self, schema};

/// Networks that are never banned, beside those that are found automatically.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Protect {
    /// Addresses and networks, without a comment or an expiry.
    #[schemars(with = "Vec<schema::Network>")]
    #[serde(deserialize_with = "config::networks")]
    pub networks: Vec<Prefix>,
    /// Networks with a comment and an expiry.
    pub allow: Vec<Allowed>,
}

impl Protect {
    /// Both lists as one.
    #[must_use]
    pub fn entries(&self) -> Vec<Allowed> {
        let networks = self.networks.iter().map(|&network| Allowed {
            network,
            comment: String::new(),
            until: None,
        });
        networks.chain(self.allow.iter().cloned()).collect()
    }
}

/// Returns why `protected` networks cannot all be protected, if so: nobody of a family would be left to ban. Those that are a
/// quarter of it or more are warned of.
#[must_use]
pub fn everybody(protected: impl IntoIterator<Item = Prefix>) -> Option<String> {
    for part in Coverage::of(protected) {
        let (family, percent) = (part.family, part.percent());
        if part.is_everybody() {
            return Some(format!(
                "the protected networks and trusted proxies together cover all {family} addresses: no client there could be banned"
            ));
        }
        if part.is_wide() {
            warn!(
                "the config protects {percent} % of the {family} addresses that could be banned: no client there is banned"
            );
        }
    }
    None
}

/// A network that the config protects.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// An address or a network. An address stands for itself only, not for its source.
    #[schemars(with = "schema::Network")]
    #[serde(deserialize_with = "config::network")]
    pub network: Prefix,
    /// Comment, shown in listings.
    #[serde(default)]
    pub comment: String,
    /// Expiry of the entry. Default: never.
    #[schemars(with = "Option<schema::Instant>")]
    #[serde(default, deserialize_with = "instant")]
    pub until: Option<jiff::Timestamp>,
}

impl Allowed {
    /// Whether it protects at `now_ms`.
    #[must_use]
    pub fn holds_at(&self, now_ms: i64) -> bool {
        self.until.is_none_or(|until| now_ms < until.as_millisecond())
    }
}

/// A TOML date-time that names one instant: RFC 3339, with date, time and zone.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<jiff::Timestamp>, D::Error> {
    let time = toml::value::Datetime::deserialize(deserializer)?;
    // Its text is RFC 3339 if and only if it has all three parts.
    time.to_string().parse().map(Some).map_err(|_| {
        D::Error::custom(format!(
            "invalid time `{time}`: expected one with a zone, such as 2026-12-31T00:00:00Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Protect, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn both_forms_are_one_list() {
        let protect = parse(
            "networks = [\"192.0.2.7\"]\n\
             [[allow]]\nnetwork = \"203.0.113.0/24\"\ncomment = \"office\"\nuntil = 2026-12-31T01:00:00+01:00\n\
             [[allow]]\nnetwork = \"2001:db8::1\"\n",
        )
        .unwrap();
        let entries = protect.entries();
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| {
                (
                    entry.network.to_string(),
                    entry.comment.as_str(),
                    entry.until.map(|until| until.to_string()),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("192.0.2.7/32".to_owned(), "", None),
                (
                    "203.0.113.0/24".to_owned(),
                    "office",
                    Some("2026-12-31T00:00:00Z".to_owned())
                ),
                ("2001:db8::1/128".to_owned(), "", None),
            ]
        );
    }

    #[test]
    fn what_is_everybody_together_is_refused() {
        let told = |networks: &[&str]| everybody(networks.iter().map(|net| net.parse().unwrap()));
        assert_eq!(told(&["192.0.2.0/24", "64.0.0.0/2"]), None);
        let why = told(&["0.0.0.0/1", "128.0.0.0/1"]).unwrap();
        assert!(why.contains("all IPv4 addresses"), "{why}");
    }

    #[test]
    fn an_end_without_a_zone_is_refused() {
        for until in ["2026-12-31T00:00:00", "2026-12-31", "00:00:00"] {
            let error = parse(&format!("[[allow]]\nnetwork = \"192.0.2.7\"\nuntil = {until}\n")).unwrap_err();
            assert_eq!(
                error.message(),
                format!("invalid time `{until}`: expected one with a zone, such as 2026-12-31T00:00:00Z")
            );
        }
    }
}
