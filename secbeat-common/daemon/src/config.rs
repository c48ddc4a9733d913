//! Config files: TOML in, typed values out, and errors that name the file, the line and the key.

mod duration;
mod nats_url;
pub mod schema;

pub use duration::{HumanDuration, MAX_DURATION, as_duration, duration_or_zero};
pub use nats_url::{NatsServers, NatsUrl};

use std::path::{Path, PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

use secbeat_common::prefix::{Prefix, PrefixError};
use toml::de::DeTable;

/// A config that cannot be used. Its text is one line that names file, line and key where it can.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read config {path}", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {key}: {message}", path = .path.display())]
    Invalid {
        path: PathBuf,
        line: usize,
        key: String,
        message: String,
    },
}

impl ConfigError {
    /// Two keys of the file at `path` that contradict each other: `key` (as `ban.max_duration`) is the one to name.
    #[must_use]
    pub fn contradiction(path: &Path, key: &str, message: String) -> Self {
        let line = std::fs::read_to_string(path).map_or(1, |text| line_of(&text, key));
        Self::Invalid {
            path: path.to_owned(),
            line,
            key: key.to_owned(),
            message,
        }
    }
}

/// The line on which `key` (as `a.b` or `a[0].b`) stands, or else the innermost table around it, or else the first.
fn line_of(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else {
        return 1;
    };
    let mut table = Some(document.get_ref());
    let mut at = 0;
    for part in key.split('.') {
        let (part, index) = part.split_once('[').unwrap_or((part, ""));
        let Some((name, mut value)) = table.and_then(|table| table.get_key_value(part)) else {
            break;
        };
        at = name.span().start;
        if let Ok(index) = index.trim_end_matches(']').parse::<usize>()
            && let Some(element) = value.get_ref().as_array().and_then(|array| array.get(index))
        {
            value = element;
            at = value.span().start;
        }
        table = value.get_ref().as_table();
    }
    line_at(text, at)
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..text.floor_char_boundary(offset)].matches('\n').count() + 1
}

/// Reads and parses the file at `path`.
///
/// # Errors
///
/// Returns an error if it cannot be read, is not TOML, has unknown keys, or has a value that its type refuses.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    load_part(path, |_| true)
}

/// As [`load`], of the keys and tables at the top of the file that `is_wanted`; the others are as if they were not there.
///
/// # Errors
///
/// As [`load`].
pub fn load_part<T: DeserializeOwned>(
    path: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text, is_wanted)
}

fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<T, ConfigError> {
    let invalid = |key: String, error: &toml::de::Error| {
        let offset = error.span().map_or(0, |span| span.start);
        ConfigError::Invalid {
            path: path.to_owned(),
            line: line_at(text, offset),
            key,
            message: plain(error.message()),
        }
    };
    let mut document = DeTable::parse(text).map_err(|error| invalid("syntax".to_owned(), &error))?;
    let others: Vec<_> = document
        .get_ref()
        .keys()
        .filter(|key| !is_wanted(key.get_ref()))
        .cloned()
        .collect();
    for key in others {
        document.get_mut().remove(&key);
    }
    serde_path_to_error::deserialize(toml::Deserializer::from(document)).map_err(|error| {
        let key = error.path().to_string();
        invalid(key, &error.into_inner())
    })
}

/// Returns what serde says, in the words of the docs.
fn plain(message: &str) -> String {
    const NONZERO: &str = "invalid value: integer `0`, expected a nonzero";
    const ZONE: &str = "failed to find time zone `";
    let message = message.replace('\n', " ");
    if let Some((_, rest)) = message.split_once(ZONE)
        && let Some((zone, _)) = rest.split_once('`')
    {
        return format!("unknown time zone `{zone}`: expected one such as Europe/Berlin or UTC");
    }
    if message.starts_with(NONZERO) {
        return "invalid value 0: expected a whole number, 1 or more".to_owned();
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return format!("unknown key {rest}");
    }
    match message.strip_prefix("unknown variant ") {
        Some(rest) => format!("invalid value {}", rest.replacen(", expected", ": expected", 1)),
        None => message,
    }
}

/// Reads a network. An address stands for itself here (a /32 or /128), not for its source.
///
/// # Errors
///
/// Returns an error if it is neither an address nor CIDR.
pub fn network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Prefix, D::Error> {
    parse_network(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads a list of [`network`]s.
///
/// # Errors
///
/// Returns an error if an element is none.
pub fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| parse_network(text))
        .collect::<Result<_, _>>()
        .map_err(D::Error::custom)
}

/// Reads a list of [`network`]s of proxies whose word on their clients counts.
///
/// # Errors
///
/// Returns an error if an element is not a network, or covers all addresses.
pub fn proxies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    let proxies = networks(deserializer)?;
    match proxies.iter().find(|network| network.is_empty()) {
        None => Ok(proxies),
        Some(network) => Err(D::Error::custom(format!(
            "{network} covers all addresses: any client could name itself. List the proxies' own networks"
        ))),
    }
}

fn parse_network(text: &str) -> Result<Prefix, NetworkError> {
    let network: Prefix = text.parse().map(Prefix::host).or_else(|_| text.parse())?;
    if network.holds_ipv4() {
        return Err(NetworkError::HoldsIpv4(network));
    }
    Ok(network)
}

/// The reason why a text is not a network that a config may name.
#[derive(Debug, thiserror::Error)]
enum NetworkError {
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    #[error(
        "{0} holds addresses that stand for IPv4 clients (::ffff:0:0/96, 64:ff9b::/96), so it would stand for all of IPv4 too; 2000::/3 is every IPv6 client"
    )]
    HoldsIpv4(Prefix),
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        rule: Rule,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        threshold: NonZeroU32,
        window: HumanDuration,
    }

    fn error(text: &str) -> String {
        parse::<Config>(Path::new("x.toml"), text, |_| true)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn good_config_is_read() {
        let text = "[rule]\nthreshold = 50\nwindow = \"1m\"\n";
        let config: Config = parse(Path::new("x.toml"), text, |_| true).unwrap();
        assert_eq!(config.rule.threshold.get(), 50);
        assert_eq!(config.rule.window, HumanDuration(Duration::from_secs(60)));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_path_and_line() {
        let error = error("[rule]\nthreshold = 50\nwindw = \"1m\"\n");
        assert!(
            error.starts_with("x.toml:3: rule.windw: unknown key `windw`, expected"),
            "{error}"
        );
    }

    #[test]
    fn a_part_of_a_file_has_the_lines_of_the_file() {
        let text = "other = 1\n[more]\nkey = 2\n[rule]\nthreshold = 0\nwindow = \"1m\"\n";
        let part = parse::<Config>(Path::new("x.toml"), text, |key| key == "rule");
        let error = part.unwrap_err().to_string();
        assert!(error.starts_with("x.toml:5: rule.threshold: "), "{error}");
    }

    #[test]
    fn an_impossible_value_is_named_with_its_path_and_line() {
        let zero = error("[rule]\nthreshold = 0\nwindow = \"1m\"\n");
        assert_eq!(
            zero,
            "x.toml:2: rule.threshold: invalid value 0: expected a whole number, 1 or more"
        );
        let duration = error("[rule]\nthreshold = 1\nwindow = \"soon\"\n");
        assert!(
            duration.starts_with("x.toml:3: rule.window: invalid duration `soon`"),
            "{duration}"
        );
    }

    #[test]
    fn nobody_trusts_everybody() {
        #[derive(Debug, Deserialize)]
        struct Trusting {
            #[serde(deserialize_with = "proxies")]
            trusted_proxies: Vec<Prefix>,
        }
        let parse = |text: &str| toml::from_str::<Trusting>(&format!("trusted_proxies = [{text}]"));
        let good = parse("\"10.0.0.0/8\", \"2001:db8::1\"").unwrap();
        let shown: Vec<_> = good.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "2001:db8::1/128"]);
        let error = parse("\"192.0.2.1\", \"0.0.0.0/0\"").unwrap_err();
        assert_eq!(
            error.message(),
            "0.0.0.0/0 covers all addresses: any client could name itself. List the proxies' own networks"
        );
        assert!(parse("\"::/0\"").is_err());
    }

    #[test]
    fn a_contradiction_is_found_where_its_key_stands_or_its_table() {
        let text = "x = 1\n[ban]\nduration = \"1h\"\nmax_duration = \"5m\"\n";
        assert_eq!(line_of(text, "ban.max_duration"), 4);
        assert_eq!(line_of(text, "ban.strike_factor"), 2);
        assert_eq!(line_of(text, "kernel.interfaces"), 1);
        assert_eq!(line_of("a.b = 1\nc.d = 2\n", "c.d"), 2);
        let list = "[[a]]\nb = 1\n[[a]]\nb = 2\n";
        assert_eq!([line_of(list, "a[1].b"), line_of(list, "a[1].c")], [4, 3]);
    }

    #[test]
    fn a_missing_key_and_bad_syntax_are_one_line_each() {
        assert!(error("[rule]\nthreshold = 1\n").contains("missing field `window`"));
        let syntax = error("[rule\n");
        assert!(syntax.starts_with("x.toml:1: "), "{syntax}");
        assert!(!syntax.contains('\n'), "{syntax}");
    }
}
