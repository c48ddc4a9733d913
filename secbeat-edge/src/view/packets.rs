//! Counts of the XDP program, and the hooks at which it runs.

use std::collections::BTreeMap;

use secbeat_common::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::kernel::{Attachment, Totals};

/// An interface that is to be protected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttachmentView {
    pub interface: String,
    /// Mode of the program there: `native` or `generic`; `none` where it does not run.
    pub mode: String,
    pub protected: bool,
    /// Whether banned packets are only counted there, and pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observes: bool,
    /// The reason why it is not protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<Attachment> for AttachmentView {
    fn from(attachment: Attachment) -> Self {
        Self {
            protected: attachment.mode.is_ok(),
            observes: attachment.observes,
            mode: attachment.mode_name().to_owned(),
            interface: attachment.interface,
            why: attachment.mode.err(),
        }
    }
}

/// Packets since the maps were made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PacketsView {
    pub dropped: u64,
    pub dropped_bytes: u64,
    pub passed: u64,
    /// Packets by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Events that found the program's ring buffer full.
    pub lost_events: u64,
}

impl From<Totals> for PacketsView {
    fn from(totals: Totals) -> Self {
        let (lost_events, totals) = (totals.lost_events, totals.verdicts);
        let banned = totals[Verdict::Banned as usize];
        let all: u64 = totals.iter().map(|counter| counter.packets).sum();
        let by_name = |verdict: Verdict| (verdict.name().to_owned(), totals[verdict as usize].packets);
        Self {
            dropped: banned.packets,
            dropped_bytes: banned.bytes,
            passed: all - banned.packets,
            verdicts: Verdict::ALL.into_iter().map(by_name).collect(),
            lost_events,
        }
    }
}
