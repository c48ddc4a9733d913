//! Addresses of NATS servers.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use super::schema;

/// The port of a NATS server unless its address states one.
const PORT: u16 = 4222;

/// A NATS server's address: `nats://host:4222` or `tls://host:4222`. `nats://` may be left out.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "schema::NatsServer")]
pub struct NatsUrl(Url);

/// A text that is not an address of a NATS server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid NATS address `{0}`: expected one such as nats://127.0.0.1:4222")]
pub struct InvalidNatsUrl(String);

impl NatsUrl {
    /// A name or an address, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(PORT)
    }

    /// The whole address, with what it may say of who connects.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The servers of one cluster, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsServers(Vec<NatsUrl>);

impl NatsServers {
    /// `None` if there is none.
    #[must_use]
    pub fn new(urls: Vec<NatsUrl>) -> Option<Self> {
        (!urls.is_empty()).then_some(Self(urls))
    }

    /// Those of a host whose bus needs no server.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// In the order in which they were stated.
    #[must_use]
    pub fn urls(&self) -> &[NatsUrl] {
        &self.0
    }

    /// Host and port of each.
    #[must_use]
    pub fn places(&self) -> Vec<(String, u16)> {
        let place = |url: &NatsUrl| (url.host().to_owned(), url.port());
        self.0.iter().map(place).collect()
    }

    /// The whole address of each, with what it may say of who connects.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.0.iter().map(|url| url.as_str().to_owned()).collect()
    }
}

impl Default for NatsServers {
    fn default() -> Self {
        Self(vec![NatsUrl::default()])
    }
}

/// As [`NatsUrl`]s, with commas between them.
impl fmt::Display for NatsServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, url) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            write!(f, "{url}")?;
        }
        Ok(())
    }
}

impl FromStr for NatsUrl {
    type Err = InvalidNatsUrl;

    fn from_str(text: &str) -> Result<Self, InvalidNatsUrl> {
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("nats://{text}")),
        };
        match url {
            Ok(url) if matches!(url.scheme(), "nats" | "tls") && url.has_host() => Ok(Self(url)),
            Ok(_) | Err(_) => Err(InvalidNatsUrl(without_login(text))),
        }
    }
}

/// Returns an address that may be none, without what it may say of who connects: its error is shown to all who may read.
fn without_login(text: &str) -> String {
    let Some((login, place)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let scheme = login.find("://").map_or("", |at| &login[..at + 3]);
    format!("{scheme}…@{place}")
}

impl<'de> Deserialize<'de> for NatsUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Without a secret that the address may contain.
impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

impl Default for NatsUrl {
    fn default() -> Self {
        // The address is a constant; a Url has no other constructor.
        match "nats://127.0.0.1:4222".parse() {
            Ok(url) => url,
            Err(_) => unreachable!("the default NATS address parses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, u16)> {
        let url: NatsUrl = text.parse().ok()?;
        Some((url.host().to_owned(), url.port()))
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for (text, host, port) in [
            ("nats://127.0.0.1:4222", "127.0.0.1", 4222),
            ("tls://nats.example.org:443", "nats.example.org", 443),
            ("nats.example.org", "nats.example.org", 4222),
            ("localhost:4333", "localhost", 4333),
            ("nats://[2001:db8::1]:4333", "2001:db8::1", 4333),
        ] {
            assert_eq!(parts(text), Some((host.to_owned(), port)), "{text}");
        }
        assert_eq!(NatsUrl::default().to_string(), "127.0.0.1:4222");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "http://example.org",
            "nats://",
            "nats://a b",
            "nats://a:99999",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
        assert_eq!(
            "http://x".parse::<NatsUrl>().unwrap_err().to_string(),
            "invalid NATS address `http://x`: expected one such as nats://127.0.0.1:4222"
        );
    }

    #[test]
    fn a_secret_in_an_address_is_not_shown() {
        let url: NatsUrl = "nats://user:secret@example.org".parse().unwrap();
        assert_eq!(url.to_string(), "example.org:4222");
        for (text, shown) in [
            ("nats://user:se@cret@host:99999", "nats://…@host:99999"),
            ("user:secret@a b", "…@a b"),
        ] {
            let error = text.parse::<NatsUrl>().unwrap_err().to_string();
            let expected = format!("invalid NATS address `{shown}`");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
