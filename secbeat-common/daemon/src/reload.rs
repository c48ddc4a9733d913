//! A changed config that a reload (SIGHUP) did not take over.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::time::{now_ms, rfc3339};

/// A changed config that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedConfig {
    /// Time at which one was refused first since the config in use was taken over, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The reason why the latest one was.
    pub why: String,
}

/// Outcome of the latest reload, for those who tell of it.
#[derive(Debug, Default)]
pub struct Reloads(watch::Sender<Option<RefusedConfig>>);

impl Reloads {
    /// Returns the config that was refused last, until one is taken over.
    #[must_use]
    pub fn refused(&self) -> watch::Receiver<Option<RefusedConfig>> {
        self.0.subscribe()
    }

    /// Keeps why the latest config was not taken over, or forgets that one was not.
    pub fn note(&self, taken: Result<(), &str>) {
        self.0.send_modify(|refused| {
            *refused = taken.err().map(|why| RefusedConfig {
                since_ms: refused.as_ref().map_or_else(now_ms, |before| before.since_ms),
                why: why.to_owned(),
            });
        });
    }
}

/// A changed config that was not taken over: the one before stays in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusedConfig)]
pub struct RefusedConfigView {
    /// Time of the first refusal since the config in use was taken over, RFC 3339.
    pub since: String,
    /// The reason why the latest one was refused.
    pub why: String,
}

impl RefusedConfigView {
    /// Returns what is said of it in a row of `status`.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { since, why } = self;
        format!("REFUSED since {since}, the one before is in use: {why}")
    }
}

impl From<&RefusedConfig> for RefusedConfigView {
    fn from(refused: &RefusedConfig) -> Self {
        Self {
            since: rfc3339(refused.since_ms),
            why: refused.why.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_config_is_known_until_one_is_taken_over() {
        let reloads = Reloads::default();
        let refused = reloads.refused();
        assert_eq!(*refused.borrow(), None);
        reloads.note(Err("no such file"));
        let first = refused.borrow().clone().unwrap();
        reloads.note(Err("line 1: syntax"));
        let second = refused.borrow().clone().unwrap();
        assert_eq!(second.since_ms, first.since_ms);
        assert_eq!(
            (&first.why[..], &second.why[..]),
            ("no such file", "line 1: syntax")
        );
        let line = RefusedConfigView::from(&second).line();
        assert!(
            line.ends_with(", the one before is in use: line 1: syntax"),
            "{line}"
        );
        reloads.note(Ok(()));
        assert_eq!(*refused.borrow(), None);
    }
}
