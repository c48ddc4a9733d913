//! Statements of a config about a log's lines.

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{Format, Formats, JsonKeys, KeysError};

/// Keys of a log of one JSON object a line. Dots divide a path into names: `req.ip` is the key `ip` of the object `req`, or
/// the key `req.ip`. Of several the first that is there and not empty counts.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyMap {
    /// The client's address, with or without a port, or a list of which the last one counts.
    client: Paths,
    /// Time of the request.
    time: Paths,
    /// Status of the answer.
    status: Paths,
    /// Method.
    #[serde(default)]
    method: Paths,
    /// Request target.
    #[serde(default)]
    path: Paths,
    /// Virtual host.
    #[serde(default)]
    host: Paths,
    /// User agent.
    #[serde(default)]
    user_agent: Paths,
    /// A whole request line, in a log without method and path.
    #[serde(default)]
    request: Paths,
}

/// One path or several.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Paths {
    One(String),
    Several(Vec<String>),
}

impl Default for Paths {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl From<Paths> for Vec<String> {
    fn from(paths: Paths) -> Self {
        match paths {
            Paths::One(path) => vec![path],
            Paths::Several(paths) => paths,
        }
    }
}

impl TryFrom<KeyMap> for Format {
    type Error = KeysError;

    fn try_from(keys: KeyMap) -> Result<Self, Self::Error> {
        Self::json(JsonKeys {
            client: keys.client.into(),
            time: keys.time.into(),
            status: keys.status.into(),
            method: keys.method.into(),
            path: keys.path.into(),
            host: keys.host.into(),
            user_agent: keys.user_agent.into(),
            request: keys.request.into(),
        })
    }
}

impl Formats {
    /// Returns what an `[[access_log]]` states: its `format`, and its `keys` as one format more.
    ///
    /// # Errors
    ///
    /// When the keys cannot be looked for.
    pub fn stated(format: Option<&Self>, keys: Option<KeyMap>, zone: &TimeZone) -> Result<Self, KeysError> {
        let of_keys = keys.map(Format::try_from).transpose()?;
        let named = format.into_iter().flat_map(Self::iter).cloned();
        let stated = Self::of(named.chain(of_keys)).unwrap_or_default();
        Ok(stated.with_time_zone(zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_one_format_more_or_the_only_one() {
        let keys = r#"{"client":["a.ip","b"],"time":"t","status":"s"}"#;
        let keys: KeyMap = serde_json::from_str(keys).unwrap();
        let shown = |format: Option<&str>, keys: Option<KeyMap>| {
            let format = format.map(|name| name.parse::<Format>().unwrap().into());
            Formats::stated(format.as_ref(), keys, &TimeZone::UTC)
                .unwrap()
                .to_string()
        };
        assert_eq!(shown(None, None), "combined");
        assert_eq!(shown(None, Some(keys.clone())), "json");
        assert_eq!(shown(Some("haproxy"), Some(keys)), "haproxy or json");
        assert!(serde_json::from_str::<KeyMap>(r#"{"client":"a","time":"b"}"#).is_err());
        assert!(serde_json::from_str::<KeyMap>(r#"{"client":"a","time":"b","status":"c","x":"d"}"#).is_err());
    }
}
