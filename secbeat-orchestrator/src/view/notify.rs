//! Receivers of notifications.

use secbeat_daemon::time::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::notify::ReceiverStats;

/// A receiver of notifications, and what became of its messages since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotifyView {
    /// Name of the receiver.
    pub name: String,
    /// `webhook`, `email` or `command`.
    pub kind: String,
    /// Messages that it took.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Messages that it never took; the next one says so.
    pub given_up: u64,
    /// Bans and other notices that came too fast, and were only counted.
    pub missed: u64,
    /// Notices that wait for the next message.
    pub waiting: u64,
    /// Time at which it took the last message; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<String>,
    /// The reason why the last attempt failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

impl From<ReceiverStats> for NotifyView {
    fn from(ReceiverStats { name, kind, counts }: ReceiverStats) -> Self {
        Self {
            name,
            kind: kind.name().to_owned(),
            sent: counts.sent,
            failed: counts.failed,
            given_up: counts.given_up,
            missed: counts.missed,
            waiting: counts.waiting,
            sent_at: counts.sent_ms.map(rfc3339),
            failing: counts.failing,
        }
    }
}
