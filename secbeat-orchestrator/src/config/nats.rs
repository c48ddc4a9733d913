//! The connection to NATS, and how often its servers keep what is on them.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secbeat_daemon::{
    config::{NatsUrl, schema},
    credentials::{self, Membership, Role},
};
use serde::{Deserialize, Deserializer, de::Error as _};

/// The connection to NATS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// Address of NATS, if there are no credentials. Default: `nats://127.0.0.1:4222`. Without credentials NATS
    /// has no authentication: anyone who can connect can issue bans. Bind it to 127.0.0.1.
    url: Option<NatsUrl>,
    /// Addresses of all servers of a NATS cluster, in place of `url`. The daemon connects to one of them, and to
    /// another one when that fails.
    urls: Vec<NatsUrl>,
    /// File with this daemon's credentials: the address of NATS, its login, and the keys it trusts. Default:
    /// `orchestrator.credentials`, if that exists. A name without a folder is looked for in
    /// `$CREDENTIALS_DIRECTORY` (systemd), then beside the config.
    #[schemars(with = "Option<schema::File>")]
    credentials: Option<PathBuf>,
    /// Number of servers of a NATS cluster that keep each stream and bucket: 1, 3 or 5. Streams that are there with fewer
    /// replicas get more, those with more keep them. Default: new ones have 3 in a cluster of three servers or
    /// more, else 1, and those that are there stay as they are.
    #[schemars(with = "Option<u8>", extend("enum" = [1, 3, 5]))]
    pub replicas: Option<Replicas>,
}

impl Nats {
    /// See [`credentials::Nats::membership`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn membership(&self, role: Role, config: &Path) -> anyhow::Result<Membership> {
        let connection = credentials::Nats {
            url: self.url.clone(),
            urls: self.urls.clone(),
            credentials: self.credentials.clone(),
        };
        connection.membership(role, config)
    }
}

/// Number of servers that keep a stream: one of which a majority is left when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas(usize);

impl Replicas {
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl<'de> Deserialize<'de> for Replicas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            replicas @ (1 | 3 | 5) => Ok(Self(replicas)),
            other => Err(D::Error::custom(format!(
                "invalid value {other}: expected 1, 3 or 5"
            ))),
        }
    }
}
