//! Members of the fleet.

use std::path::Path;

use anyhow::Context as _;
use secbeat_daemon::{
    config,
    credentials::{Role, write_private},
    exit::Coded,
};
use serde::{Deserialize, Serialize};

/// The members, without their secrets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roster {
    /// Where the server is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// Addresses of the servers of a cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) urls: Vec<String>,
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
    /// That of the earlier key, which is accepted until `enroll --retire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<String>,
}

impl Member {
    /// The keys with which it is let in.
    pub(super) fn nkeys(&self) -> impl Iterator<Item = &str> {
        [&self.nkey].into_iter().chain(&self.retiring).map(String::as_str)
    }
}

impl Roster {
    pub(super) fn new(urls: Vec<String>) -> Self {
        let (url, urls) = match <[String; 1]>::try_from(urls) {
            Ok([url]) => (Some(url), Vec::new()),
            Err(urls) => (None, urls),
        };
        Self {
            url,
            urls,
            members: Vec::new(),
        }
    }

    /// Returns how many servers there are.
    pub(super) fn servers(&self) -> usize {
        self.urls.len().max(1)
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

    /// # Errors
    ///
    /// Returns an error if no member has that name.
    pub(super) fn member_mut(&mut self, name: &str) -> anyhow::Result<&mut Member> {
        let mut members = self.members.iter_mut();
        members.find(|member| member.name == name).ok_or_else(|| {
            let why = format!("no member `{name}`: `secbeat-orchestrator members` lists them");
            Coded::not_found(why).into()
        })
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}
