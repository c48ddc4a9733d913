//! Why an address is banned, or is not: what this process knows of it ([`SourceFacts`]) and what the audit remembers, told as
//! one story.
//!
//! * `history`: bans from their audit records, each with its end.
//! * `timeline`: all that happened, in order.
//! * `sentence`: the answer in a sentence.
//! * `render`: the story as text.

mod history;
mod render;
mod sentence;
#[cfg(test)]
mod tests;
mod timeline;
mod view;

use std::net::IpAddr;

use secbeat_common::{
    prefix::Prefix,
    wire::{AuditRecord, SeenEvent},
};
use secbeat_daemon::time::rfc3339;

pub use self::{
    render::render,
    sentence::because,
    view::{End, Moment, PastBan, ProtectedView, SourceView, Standing, WindowCount},
};
use crate::{
    api::view::BanView, detect::WindowView, evidence::FindingView, millis, protection::ProtectedNet,
};

/// What this process knows of one address.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    pub address: IpAddr,
    pub source: Prefix,
    /// When this was so, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Whether the ledger has been read from the bus since the start.
    pub restored: bool,
    /// Bans in force, of the address, its source or a network around it.
    pub bans: Vec<BanView>,
    /// Networks that protect the source or a part of it.
    pub protected: Vec<ProtectedNet>,
    /// Until when nothing counts against it, after an unban.
    pub forgiven_until_ms: Option<i64>,
    pub strikes: u32,
    pub windows: Vec<WindowView>,
    /// The latest first.
    pub findings: Vec<FindingView>,
    /// The latest to come first.
    pub events: Vec<SeenEvent>,
}

/// Tells the story: `audit` are the records about the address, its source and the networks around it, oldest first, or why
/// they cannot be read.
#[must_use]
pub fn tell(facts: SourceFacts, audit: Result<Vec<AuditRecord>, String>) -> SourceView {
    let (audit, audit_missing) = match audit {
        Ok(records) => (records, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let now_ms = facts.now_ms;
    let history = history::bans(&audit, now_ms);
    let events = timeline::all_events(&facts.events, &history, &audit);
    let timeline = timeline::timeline(&events, &facts.findings, &audit, &history, now_ms);
    let standing = sentence::standing(&facts, &history, &events, &audit);
    let windows: Vec<_> = facts.windows.iter().map(WindowCount::new).collect();
    SourceView {
        address: facts.address,
        source: facts.source.to_string(),
        at: rfc3339(now_ms),
        standing,
        sentences: sentence::sentences(standing, &facts, &history, audit_missing.as_deref()),
        bans: facts.bans,
        protected: facts.protected.iter().map(ProtectedView::new).collect(),
        strikes: facts.strikes,
        windows,
        findings: facts.findings,
        events,
        history,
        timeline,
        audit_missing,
    }
}

impl WindowCount {
    fn new(window: &WindowView) -> Self {
        Self {
            rule: window.rule,
            count: window.count,
            threshold: window.threshold,
            window_ms: millis(window.window),
            observe: window.observe,
        }
    }
}
