//! Sessions in a file, so that they outlast the daemon. Their times are those of the clock that began with the host, so they end
//! with the host.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use anyhow::{Context as _, ensure};
use nix::{libc::O_NOFOLLOW, unistd::geteuid};
use secbeat_daemon::credentials::write_private;
use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use super::{Holder, MAX_SESSIONS, Session};
use crate::token::{Role, TokenHash};

/// Longest file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;
/// How far the time of the host's start may seem to have moved, in milliseconds: clocks are corrected.
const SAME_START_MS: i64 = 60_000;
/// How much later a session may have been used than the file says, in milliseconds.
const BEHIND_MS: i64 = 60_000;

/// The file.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// Time at which the host was started, by the wall clock.
    started_ms: i64,
    written_ms: i64,
    is_told: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    host_started_ms: i64,
    sessions: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Hash of the secret.
    secret: String,
    id: Uuid,
    name: String,
    role: Role,
    /// Hash of the token.
    token: Option<String>,
    by_link: bool,
    agent: String,
    began_ms: i64,
    used_ms: i64,
    ends_ms: i64,
}

impl Kept {
    pub(super) const fn new(path: PathBuf, started_ms: i64) -> Self {
        Self {
            path,
            started_ms,
            written_ms: 0,
            is_told: false,
        }
    }

    /// Returns what the file holds: nothing unless this user wrote it since the host was started.
    pub(super) fn read(&self, now_ms: i64) -> Vec<(TokenHash, Session)> {
        match self.try_read(now_ms) {
            Ok(sessions) => sessions,
            Err(error) => {
                warn!(
                    "{}: sessions of the dashboard end: {error:#}",
                    self.path.display()
                );
                Vec::new()
            }
        }
    }

    fn try_read(&self, now_ms: i64) -> anyhow::Result<Vec<(TokenHash, Session)>> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(O_NOFOLLOW)
            .open(&self.path);
        let file = match file {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context("opening the file")?,
        };
        let metadata = file.metadata()?;
        ensure!(
            metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0,
            "other users may read or write the file"
        );
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text)?;
        let content: Content = serde_json::from_str(&text).context("the file holds no sessions")?;
        if (content.host_started_ms - self.started_ms).abs() > SAME_START_MS {
            return Ok(Vec::new());
        }
        let entries = content.sessions.into_iter().take(MAX_SESSIONS);
        let entries = entries.filter(|entry| entry.began_ms <= now_ms && entry.used_ms <= now_ms);
        entries.map(Entry::session).collect()
    }

    /// Writes `sessions`, at `now_ms`. What cannot be written is removed, so that nothing that was ended comes back.
    pub(super) fn write(&mut self, sessions: &[(TokenHash, Session)], now_ms: i64) {
        self.written_ms = now_ms;
        let content = Content {
            host_started_ms: self.started_ms,
            sessions: sessions.iter().map(Entry::new).collect(),
        };
        let written = serde_json::to_vec(&content)
            .map_err(anyhow::Error::from)
            .and_then(|bytes| write_private(&self.path, &bytes, true));
        if let Err(error) = written {
            let _ = fs::remove_file(&self.path);
            if !std::mem::replace(&mut self.is_told, true) {
                warn!("sessions of the dashboard will end with this daemon: {error:#}");
            }
        }
    }

    /// Whether the file knows too little of when sessions were used.
    pub(super) const fn is_behind(&self, now_ms: i64) -> bool {
        now_ms - self.written_ms >= BEHIND_MS
    }
}

impl Entry {
    fn new((secret, session): &(TokenHash, Session)) -> Self {
        let Session {
            id,
            holder: Holder { name, role, token },
            by_link,
            agent,
            began_ms,
            used_ms,
            ends_ms,
        } = session.clone();
        Self {
            secret: secret.to_string(),
            id,
            name,
            role,
            token: token.map(|token| token.to_string()),
            by_link,
            agent,
            began_ms,
            used_ms,
            ends_ms,
        }
    }

    fn session(self) -> anyhow::Result<(TokenHash, Session)> {
        let hash = |text: String| text.parse::<TokenHash>().map_err(anyhow::Error::msg);
        let session = Session {
            id: self.id,
            holder: Holder {
                name: self.name,
                role: self.role,
                token: self.token.map(hash).transpose()?,
            },
            by_link: self.by_link,
            agent: self.agent,
            began_ms: self.began_ms,
            used_ms: self.used_ms,
            ends_ms: self.ends_ms.min(self.began_ms + crate::millis(super::LIFE)),
        };
        Ok((hash(self.secret)?, session))
    }
}
