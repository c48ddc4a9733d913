//! Bans that edges made themselves while no orchestrator decided, and hand over.

use secbeat_common::{
    subjects::PARTITIONS,
    wire::{AckBatch, LocalBan, MAX_LOCAL_BANS, Reason, Scope},
};

use super::{Decider, Turn};
use crate::analyzers::{Action, Finding, Why};

impl Decider {
    /// Takes over what an edge banned itself. Each such ban is judged as a finding of the rule that the edge names, made when the edge
    /// made it: so it ends when the edge's own does, counts once however often it is told, and an edge can ban nobody whom it could
    /// not get banned by what it reports of requests. With [`agreeing_edges`](super::Config::agreeing_edges) it holds on that edge
    /// alone, and one that is over counts for nothing.
    pub(super) fn banned_by_edge(&mut self, batch: &AckBatch, turn: &mut Turn<'_>) {
        for ban in batch.banned.iter().take(MAX_LOCAL_BANS) {
            let now_ms = turn.now.wall_ms;
            let is_alone = self.method.agreeing_edges.get() > 1;
            if !self.watches(ban.target.partition(PARTITIONS)) || (is_alone && ban.expires_at_ms <= now_ms) {
                continue;
            }
            if let Some(finding) = self.finding_of(&batch.edge_id, ban, is_alone, now_ms) {
                self.found(finding, &batch.edge_id, ban.issued_at_ms.min(now_ms), turn);
            }
        }
    }

    /// `None` for what no rule in force here bans for.
    fn finding_of(&self, edge: &str, ban: &LocalBan, is_alone: bool, now_ms: i64) -> Option<Finding> {
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| Reason::from(rule.rule) == ban.reason && rule.action == Action::Ban)?;
        self.sources.is_source(&ban.target).then(|| Finding {
            source: ban.target,
            rule: rule.rule,
            at_ms: ban.evidence.at_ms.min(ban.issued_at_ms).min(now_ms),
            layer: ban.layer,
            why: Why::Threshold {
                count: ban.evidence.count,
                counted: rule.counted(),
                window: rule.threshold.window,
            },
            action: rule.action,
            ban: rule.ban,
            scope: match is_alone {
                true => Scope::of_edges(vec![edge.to_owned()]),
                false => Scope::Fleet,
            },
        })
    }
}
