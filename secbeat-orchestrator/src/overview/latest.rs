//! The latest bans and findings.

use std::collections::{HashMap, VecDeque};

use secbeat_common::wire::{AuditRecord, Decision};
use secbeat_daemon::time::{end, now_ms, rfc3339};
use secbeat_orchestrator_core::{decider::Announcement, ledger::ActiveBan, propagation::Issued};
use uuid::Uuid;

use crate::{engine::Happening, view::LatestBan};

/// Bans that are shown.
pub(super) const BANS: usize = 20;
/// Findings of the last minutes that are counted.
const FINDINGS: usize = 10_000;
/// How far back that goes, in milliseconds.
const LATELY_MS: i64 = 300_000;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// The latest first.
    bans: VecDeque<(Uuid, LatestBan)>,
    /// The latest last: when, and by which rule.
    findings: VecDeque<(i64, String)>,
    made: u64,
    lifted: u64,
}

impl Latest {
    pub(super) fn note(&mut self, happening: &Happening) {
        match happening {
            Happening::Decided(record) => self.decided(record),
            Happening::Announced(Announcement::Finding { finding, .. }) => {
                if self.findings.len() >= FINDINGS {
                    self.findings.pop_front();
                }
                let rule = finding.rule.name().to_owned();
                self.findings.push_back((now_ms(), rule));
            }
            Happening::Announced(Announcement::Edge(_)) => {}
        }
    }

    fn decided(&mut self, record: &AuditRecord) {
        match &record.decision {
            Decision::Ban {
                command_id,
                reason,
                note,
                expires_at_ms,
                strikes,
                ..
            } => {
                self.made += 1;
                let ban = LatestBan {
                    command_id: command_id.to_string(),
                    at: rfc3339(record.at_ms),
                    target: record.target.to_string(),
                    reason: reason.name().to_owned(),
                    note: note.clone(),
                    actor: record.actor.clone(),
                    expires_at: end(*expires_at_ms),
                    strikes: *strikes,
                    enforced: 0,
                    pending: 0,
                    failed: 0,
                    enforced_after_ms: None,
                    is_lifted: false,
                };
                // It may have been filled in before the bus had it.
                self.bans.retain(|(id, _)| id != command_id);
                self.bans.truncate(BANS - 1);
                self.bans.push_front((*command_id, ban));
            }
            Decision::Unban { command_id, .. } => {
                self.lifted += 1;
                let lifted = self.bans.iter_mut().find(|(id, _)| id == command_id);
                lifted.into_iter().for_each(|(_, ban)| ban.is_lifted = true);
            }
            Decision::Observed { .. }
            | Decision::Allow { .. }
            | Decision::Disallow
            | Decision::Suppressed { .. } => {}
        }
    }

    /// Takes in bans in force, the latest first, that were made before anybody looked.
    pub(super) fn fill(&mut self, earlier: &[ActiveBan]) {
        for ActiveBan { command, .. } in earlier {
            if self.bans.len() >= BANS {
                return;
            }
            if self.bans.iter().any(|(id, _)| *id == command.id) {
                continue;
            }
            let ban = LatestBan {
                command_id: command.id.to_string(),
                at: rfc3339(command.issued_at_ms),
                target: command.target.to_string(),
                reason: command.reason.name().to_owned(),
                note: command.note.clone(),
                actor: command.issuer.clone(),
                expires_at: end(command.expires_at_ms),
                strikes: command.strikes,
                enforced: 0,
                pending: 0,
                failed: 0,
                enforced_after_ms: None,
                is_lifted: false,
            };
            self.bans.push_back((command.id, ban));
        }
    }

    /// The bans that are shown.
    pub(super) fn commands(&self) -> Vec<Uuid> {
        self.bans.iter().map(|(id, _)| *id).collect()
    }

    /// What edges made of them by now. What is forgotten stays as it was.
    pub(super) fn answered(&mut self, answers: &HashMap<Uuid, Issued>) {
        for (id, ban) in &mut self.bans {
            if let Some(issued) = answers.get(id) {
                ban.answered(issued.answers.values());
            }
        }
    }

    pub(super) fn bans(&self) -> Vec<LatestBan> {
        self.bans.iter().map(|(_, ban)| ban.clone()).collect()
    }

    /// Bans made since the start, and bans lifted.
    pub(super) const fn made(&self) -> u64 {
        self.made
    }

    pub(super) const fn lifted(&self) -> u64 {
        self.lifted
    }

    /// Findings of a rule in the last minutes.
    pub(super) fn findings_of(&self, rule: &str) -> u64 {
        let since_ms = now_ms() - LATELY_MS;
        let lately = self
            .findings
            .iter()
            .rev()
            .take_while(|(at_ms, _)| *at_ms >= since_ms);
        lately.filter(|(_, of)| of == rule).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{Action, BlockCommand, Layer, NO_LEASE, Reason, Scope};
    use secbeat_orchestrator_core::ledger::WriteState;

    use super::*;

    fn ban(n: u8) -> ActiveBan {
        ActiveBan {
            command: BlockCommand {
                id: Uuid::from_u128(n.into()),
                action: Action::Block,
                target: format!("192.0.2.{n}").parse().unwrap(),
                reason: Reason::ErrorFlood,
                note: String::new(),
                evidence: None,
                list: None,
                scope: Scope::Fleet,
                strikes: 0,
                issued_at_ms: n.into(),
                expires_at_ms: 1_000,
                issuer: "another".to_owned(),
                layer: Layer::Kernel,
                epoch: NO_LEASE,
            },
            write: WriteState::Acknowledged,
        }
    }

    #[test]
    fn bans_from_before_the_start_follow_those_that_were_seen() {
        let mut latest = Latest::default();
        let command = ban(250).command;
        let seen = AuditRecord {
            at_ms: 250,
            target: command.target,
            actor: "alice".to_owned(),
            decision: Decision::Ban {
                command_id: command.id,
                reason: command.reason,
                note: command.note,
                expires_at_ms: command.expires_at_ms,
                strikes: 0,
                evidence: None,
                layer: command.layer,
                list: None,
                edges: None,
                labels: Vec::new(),
                events: Vec::new(),
            },
        };
        let happened = Happening::Decided(Box::new(seen));
        latest.note(&happened);
        let earlier: Vec<_> = (200..=250).rev().map(ban).collect();
        latest.fill(&earlier);
        latest.note(&happened);
        let targets: Vec<_> = latest.bans().into_iter().map(|ban| ban.target).collect();
        let expected: Vec<_> = (231..=250).rev().map(|n| format!("192.0.2.{n}/32")).collect();
        assert_eq!(targets, expected);
        assert_eq!((latest.made(), &latest.bans()[0].actor[..]), (2, "alice"));
    }
}
