//! The latest bans and findings.

use std::collections::{HashMap, VecDeque};

use secbeat_common::wire::{AuditRecord, Decision};
use secbeat_daemon::time::{end, now_ms, rfc3339};
use secbeat_orchestrator_core::{decider::Announcement, propagation::Issued};
use uuid::Uuid;

use crate::{engine::Happening, view::LatestBan};

/// Bans that are shown.
const BANS: usize = 20;
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
