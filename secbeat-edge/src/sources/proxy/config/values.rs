//! Values of `[proxy]` that are written in more than one way, or are more than a type says.

use std::{collections::BTreeMap, fmt, net::Ipv6Addr, num::NonZeroU8, path::PathBuf};

use hyper::http::uri::Authority;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{HostPattern, ServerConfig, ServerUrl};

/// `"http://…"`, or a table with its weight.
#[derive(Clone, Debug)]
pub(super) struct ServerFile(pub(super) ServerConfig);

/// Heaviest weight of a server.
const MAX_WEIGHT: u8 = 100;

impl<'de> Deserialize<'de> for ServerFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            url: ServerUrl,
            #[serde(default = "one")]
            weight: NonZeroU8,
        }

        const fn one() -> NonZeroU8 {
            NonZeroU8::MIN
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ServerFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as \"http://127.0.0.1:8000\", or a table with url and weight")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ServerFile, E> {
                let url: ServerUrl = text.parse().map_err(E::custom)?;
                Ok(ServerFile(url.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ServerFile, A::Error> {
                let Table { url, weight } = Table::deserialize(MapAccessDeserializer::new(table))?;
                if weight.get() > MAX_WEIGHT {
                    return Err(A::Error::custom(format!("a weight is 1 to {MAX_WEIGHT}")));
                }
                Ok(ServerFile(ServerConfig { url, weight }))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

pub(super) fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Authority>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let authority = Authority::try_from(text.as_str());
    match authority {
        Ok(authority) if !text.contains(['@', '*']) && !authority.host().is_empty() => Ok(Some(authority)),
        _ => Err(D::Error::custom(format!(
            "invalid host `{text}`: expected one such as example.org or example.org:8080"
        ))),
    }
}

pub(super) fn pages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, PathBuf>, D::Error> {
    let pages = BTreeMap::<String, PathBuf>::deserialize(deserializer)?;
    let page = |(status, path): (String, PathBuf)| match status.parse() {
        Ok(status @ 400..=599) => Ok((status, path)),
        _ => Err(D::Error::custom(format!(
            "invalid status `{status}`: expected 400 to 599"
        ))),
    };
    pages.into_iter().map(page).collect()
}

pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
    {
        return Ok(text);
    }
    Err(D::Error::custom(format!(
        "invalid path `{text}`: expected one such as /api"
    )))
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        // A name with a dot at its end is the same name (RFC 3986, section 3.2.2), and requests are compared without it.
        let name = text.strip_suffix('.').unwrap_or(&text);
        let (name, below) = match name.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (name, false),
        };
        // As a client writes it: another spelling of the same address would match nothing.
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = !below
            && address.is_some_and(|address| {
                address
                    .parse::<Ipv6Addr>()
                    .is_ok_and(|parsed| parsed.to_string() == address)
            });
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !is_address && (name.is_empty() || !name.bytes().all(fits)) {
            return Err(D::Error::custom(format!(
                "invalid host `{text}`: expected one such as example.org or *.example.org, without a port"
            )));
        }
        Ok(if below {
            Self::Below(name.to_owned())
        } else {
            Self::Exact(name.to_owned())
        })
    }
}
