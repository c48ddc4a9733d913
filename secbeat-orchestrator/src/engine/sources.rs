//! What the engine knows of one address.

use std::net::IpAddr;

use secbeat_common::prefix::Prefix;
use secbeat_daemon::time::now_ms;

use super::Engine;
use crate::{api::view::BanView, evidence::FindingFilter, explain::SourceFacts};

/// Events that an answer shows at most.
const MAX_EVENTS: usize = 200;
/// Findings that an answer shows at most.
const MAX_FINDINGS: usize = 100;

impl Engine {
    pub(super) fn explain(&self, address: IpAddr) -> SourceFacts {
        let now = now_ms();
        let source = self.detector.sources().of(address);
        let bans = Prefix::host(address)
            .around()
            .filter_map(|target| self.ledger.get(&target))
            .filter(|ban| ban.command.expires_at_ms > now);
        let filter = FindingFilter {
            source: Some(source),
            rule: None,
        };
        let overlaps = |net: &Prefix| net.covers(&source) || source.covers(net);
        SourceFacts {
            address,
            source,
            now_ms: now,
            restored: self.is_restored(),
            bans: bans.map(|ban| BanView::new(ban, now)).collect(),
            protected: self
                .protected
                .all()
                .filter(|protected| overlaps(&protected.network))
                .cloned()
                .collect(),
            forgiven_until_ms: self.resets.forgiven_until_ms(&source, now),
            strikes: self.ledger.strikes(&source, now),
            windows: self.detector.windows(&source, now),
            findings: self.witness.findings.list(filter, MAX_FINDINGS),
            events: self.witness.journal.of(&source).take(MAX_EVENTS).collect(),
        }
    }
}
