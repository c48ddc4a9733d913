//! Rules that only observe.

use secbeat_common::wire::{BlockCommand, Decision as Audited};
use secbeat_daemon::time::now_ms;
use tracing::info;

use super::{ACTOR, Engine, open::record};
use crate::{detect::Finding, writer::Urgency};

impl Engine {
    /// Audits a ban that would have been. The rule ignores the source for as long, so that it finds as often as it would
    /// ban; other rules do not.
    pub(super) fn observed(&mut self, finding: &Finding, command: BlockCommand) {
        self.observe_until(finding.source, finding.rule, command.expires_at_ms);
        // As with bans: a rebuilt window shows what has been audited already.
        if command.expires_at_ms <= now_ms() {
            return;
        }
        info!(
            target: "audit", target = %command.target, rule = finding.rule.name(), note = command.note,
            layer = command.layer.name(), "a rule that observes would have banned"
        );
        let decision = Audited::Observed {
            reason: command.reason,
            note: command.note,
            expires_at_ms: command.expires_at_ms,
            strikes: command.strikes,
            evidence: command.evidence,
            layer: command.layer,
            events: self.witness.evidence(finding),
        };
        self.auditor
            .record(record(command.target, ACTOR.to_owned(), decision), Urgency::Now);
    }
}
