//! `[access_log.keys]` of the config: which keys of a JSON log say what.

use schemars::JsonSchema;
use secbeat_logs::{Format, JsonKeys, KeysError};
use serde::Deserialize;

/// Keys of a log of one JSON object a line. Dots divide a path into names: `req.ip` is the key `ip` of the object `req`, or
/// the key `req.ip`. Of several the first that is there and not empty counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyMap {
    /// The client's address, with or without a port, or a list of which the last one counts.
    client: Paths,
    /// When the request was.
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
