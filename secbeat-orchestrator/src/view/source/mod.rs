//! Why an address is banned, or is not: what this process knows of it ([`SourceFacts`]) and what the audit remembers, told as
//! one story.
//!
//! * `history`: bans from their audit records, each with its end.
//! * `timeline`: all that happened, in order.
//! * `sentence`: the answer in a sentence.
//! * `cross_site`: the share of requests that other sites' pages embed.
//! * `render`: the story as text.

mod cross_site;
mod history;
mod render;
mod sentence;
#[cfg(test)]
mod tests;
mod timeline;
mod view;

use secbeat_common::{
    prefix::Prefix,
    wire::{AuditRecord, Audited, ListRecord},
};
use secbeat_daemon::{geo::Geo, time::rfc3339};
use secbeat_orchestrator_core::{
    analyzers::WindowCount as CoreWindow,
    decider::{Checked, Identity, SourceFacts},
};

pub(crate) use self::view::OnFeed;
use self::view::{CrawlerView, WindowCount};
pub use self::{render::render, view::SourceView};
use super::{bans::BanView, findings::FindingView, protection::ProtectedView};
use crate::{millis, signatures::Catalogue};

/// Tells the story: `audit` are the records about the address, its source and the networks around it, oldest first, or why
/// they cannot be read; `feeds` are those whose lists have the address, or why they cannot be read; `catalogue` knows signatures, and `geo` where addresses belong.
#[must_use]
pub(crate) fn tell(
    facts: &SourceFacts,
    audit: Result<Vec<Audited>, String>,
    feeds: Result<Vec<OnFeed>, String>,
    catalogue: &Catalogue,
    geo: &Geo,
) -> SourceView {
    let (audit, audit_missing) = match audit {
        Ok(records) => (records, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let (audit, lists) = apart(audit);
    let now_ms = facts.now_ms;
    let bans: Vec<_> = facts
        .bans
        .iter()
        .map(|ban| BanView::new(ban, geo, now_ms))
        .collect();
    let findings: Vec<FindingView> = facts
        .findings
        .iter()
        .map(|found| FindingView::new(found, geo))
        .collect();
    let history = history::bans(&audit, now_ms);
    let events = timeline::all_events(&facts.events, &history, &audit);
    let timeline = timeline::timeline(&events, &findings, &audit, &history, catalogue, now_ms);
    let standing = sentence::standing(facts, &history, &events, &audit);
    let windows: Vec<_> = facts.windows.iter().map(WindowCount::new).collect();
    SourceView {
        address: facts.address,
        source: facts.source.to_string(),
        origin: geo.of(&Prefix::host(facts.address)),
        at: rfc3339(now_ms),
        standing,
        is_exempt: sentence::is_exempt(standing, facts),
        sentences: sentence::sentences(
            standing,
            facts,
            &bans,
            &lists,
            &feeds,
            &history,
            audit_missing.as_deref(),
        )
        .into_iter()
        .chain(cross_site::sentence(&events))
        .collect(),
        bans,
        feeds: feeds.unwrap_or_default(),
        protected: facts.protected.iter().map(ProtectedView::new).collect(),
        strikes: facts.strikes,
        crawler: facts.crawler.as_ref().map(CrawlerView::new),
        windows,
        findings,
        events,
        lists,
        history,
        timeline,
        audit_missing,
    }
}

/// What somebody noted, behind what is said; nothing if it is empty.
fn aside(note: &str) -> String {
    match note {
        "" => String::new(),
        note => format!(" ({note})"),
    }
}

/// Decisions, and the lists that some of them are of.
fn apart(audit: Vec<Audited>) -> (Vec<AuditRecord>, Vec<ListRecord>) {
    let (mut decisions, mut lists) = (Vec::new(), Vec::new());
    for record in audit {
        match record {
            Audited::Decision(record) => decisions.push(record),
            Audited::List(record) => lists.push(record),
            // They are about nobody.
            Audited::Signatures(_) => {}
        }
    }
    (decisions, lists)
}

impl CrawlerView {
    fn new(checked: &Checked) -> Self {
        let (crawler, host, why) = match &checked.identity {
            Identity::Verified { crawler, host } => (Some(crawler.clone()), Some(host.clone()), None),
            Identity::NotVerified { why } => (checked.suspect.claims.clone(), None, Some(why.clone())),
        };
        Self {
            address: checked.suspect.address,
            verified: host.is_some(),
            crawler,
            host,
            why,
            at: rfc3339(checked.at_ms),
            until: rfc3339(checked.until_ms),
        }
    }
}

impl WindowCount {
    fn new(window: &CoreWindow) -> Self {
        Self {
            rule: window.rule,
            count: window.count,
            threshold: window.threshold,
            window_ms: millis(window.window),
            observe: window.observe,
        }
    }
}
