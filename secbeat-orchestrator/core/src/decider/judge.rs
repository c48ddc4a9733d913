//! Consequences of a finding.

use secbeat_common::{prefix::Prefix, wire::Decision as Audited};
use tracing::{info, warn};

use super::{
    ACTOR, Decider, Turn,
    decisions::{Answer, record},
    event::{Announcement, Effect, Report},
    partitions::Found,
};
use crate::{
    analyzers::Finding,
    evidence::Outcome,
    ledger::{Brakes, Decision, Suppression},
    millis,
    writer::Urgency,
};

/// Sources remembered as suppressed; past it all are forgotten, and may be audited once more.
const MAX_SUPPRESSED: usize = 10_000;

impl Decider {
    /// Returns what the brakes go by.
    pub(super) fn brakes<'a>(&self, edge: Option<&'a str>, now_ms: i64) -> Brakes<'a> {
        Brakes {
            well_behaved: Some(self.analyzer.well_behaved(now_ms)),
            edge,
            waited: false,
        }
    }

    /// Decides on a finding.
    pub(super) fn judge(&mut self, found: Found, turn: &mut Turn<'_>) {
        let Found {
            finding,
            edge,
            received_ms,
            again,
        } = found;
        self.counts.findings += u64::from(!again);
        let now_ms = turn.now.wall_ms;
        let brakes = Brakes {
            waited: again,
            ..self.brakes(Some(&edge), now_ms)
        };
        let id = self.ids.next(now_ms);
        let decision = match self.crawlers.exemption(&finding, now_ms) {
            Some(exemption) => Decision::Suppressed(exemption),
            None => self.ledger.judge(&finding, brakes, received_ms, id),
        };
        self.count(&finding, &decision);
        match decision {
            Decision::AlreadyBanned => self.witness.findings.note(&finding, Outcome::AlreadyBanned),
            Decision::Ban(command) => {
                let command_id = command.id;
                self.witness
                    .findings
                    .note(&finding, Outcome::Banned { command_id });
                self.account_for(&command);
                // A rebuilt window shows findings whose bans have ended since; they shape the state and nothing else.
                if command.expires_at_ms > now_ms {
                    let suspect = self.crawlers.suspect(&finding, &self.witness.journal, now_ms);
                    let events = self.witness.evidence(&finding);
                    let report = Report {
                        edge,
                        at_ms: finding.at_ms,
                        received_ms,
                    };
                    turn.push(Effect::Announce(Announcement::Finding {
                        finding: Box::new(finding),
                        suppressed: None,
                    }));
                    self.issue(
                        *command,
                        events,
                        ACTOR.to_owned(),
                        Answer::Nobody,
                        Some(report),
                        turn,
                    );
                    if let Some(suspect) = suspect {
                        turn.push(Effect::LookUp(suspect));
                    }
                }
            }
            Decision::Observed(command) => {
                self.witness.findings.note(&finding, Outcome::Observed);
                // The rule ignores the source for as long, so that it finds as often as it would ban; other rules do not.
                self.observe_until(finding.source, finding.rule, command.expires_at_ms);
                // As with bans: a rebuilt window shows what has been audited already.
                if command.expires_at_ms <= now_ms {
                    return;
                }
                info!(
                    target: "audit", target = %command.target, rule = finding.rule.name(), note = command.note,
                    layer = command.layer.name(), "a rule that observes would have banned"
                );
                let decision = Audited::Observed {
                    reason: command.reason,
                    note: command.note.clone(),
                    expires_at_ms: command.expires_at_ms,
                    strikes: command.strikes,
                    evidence: command.evidence,
                    layer: command.layer,
                    events: self.witness.evidence(&finding),
                };
                audit(command.target, decision, turn);
                // A dry run says whom it would have let go.
                if let Some(suspect) = self.crawlers.suspect(&finding, &self.witness.journal, now_ms) {
                    turn.push(Effect::LookUp(suspect));
                }
            }
            Decision::Suppressed(suppression) => self.suppress(finding, suppression, turn),
        }
    }

    fn suppress(&mut self, finding: Finding, suppression: Suppression, turn: &mut Turn<'_>) {
        self.counts.suppressed += 1;
        self.counts.braked += u64::from(matches!(suppression, Suppression::Brake(_)));
        let outcome = Outcome::Suppressed(suppression.clone());
        self.witness.findings.note(&finding, outcome);
        if !self.is_news(&finding) {
            return;
        }
        let why = suppression.to_string();
        warn!(target: "audit", target = %finding.source, rule = finding.rule.name(), "finding suppressed: {why}");
        let decision = Audited::Suppressed {
            reason: finding.rule.into(),
            why,
            evidence: finding.evidence(),
            events: self.witness.evidence(&finding),
        };
        let source = finding.source;
        turn.push(Effect::Announce(Announcement::Finding {
            finding: Box::new(finding),
            suppressed: Some(suppression),
        }));
        audit(source, decision, turn);
    }

    fn count(&mut self, finding: &Finding, decision: &Decision) {
        let rule = finding.rule.name();
        let of_rule = match self.counts.by_rule.get_mut(rule) {
            Some(of_rule) => of_rule,
            None => self.counts.by_rule.entry(rule.to_owned()).or_default(),
        };
        *match decision {
            Decision::Ban(_) => &mut of_rule.banned,
            Decision::Observed(_) => &mut of_rule.observed,
            Decision::AlreadyBanned => &mut of_rule.already_banned,
            Decision::Suppressed(_) => &mut of_rule.suppressed,
        } += 1;
    }

    /// Whether `finding`'s source has not been audited as suppressed within its window: it may go on for ever, and must
    /// not fill the audit.
    fn is_news(&mut self, finding: &Finding) -> bool {
        if self.suppressed.len() >= MAX_SUPPRESSED {
            self.suppressed.clear();
        }
        let window_ms = millis(finding.window());
        let news = self
            .suppressed
            .get(&finding.source)
            .is_none_or(|before| finding.at_ms.saturating_sub(*before) > window_ms);
        if news {
            self.suppressed.insert(finding.source, finding.at_ms);
        }
        news
    }
}

fn audit(target: Prefix, decision: Audited, turn: &mut Turn<'_>) {
    let record = record(target, ACTOR.to_owned(), decision, turn.now.wall_ms);
    turn.push(Effect::Audit {
        record,
        urgency: Urgency::Now,
    });
}
