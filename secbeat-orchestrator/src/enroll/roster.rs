//! Who is a member of the fleet.

use std::path::Path;

use anyhow::Context as _;
use secbeat_daemon::{
    config,
    credentials::{Role, write_private},
};
use serde::{Deserialize, Serialize};

/// The members, without their secrets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roster {
    /// Where the server is.
    pub(super) url: String,
    #[serde(rename = "member", default)]
    pub(super) members: Vec<Member>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub name: String,
    pub role: Role,
    /// The public half of its nkey, `U…`.
    pub nkey: String,
}

impl Roster {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            members: Vec::new(),
        }
    }

    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        Ok(config::load(path)?)
    }

    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = toml::to_string(self).context("writing the roster as TOML")?;
        let text = format!(
            "# Who is a member of the fleet. `secbeat-orchestrator enroll` and `expel` change it.\n{text}"
        );
        write_private(path, text.as_bytes(), true)
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}
