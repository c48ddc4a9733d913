//! Notices that a receiver wants.

use std::collections::BTreeSet;

use secbeat_common::{prefix::Prefix, wire::Reason};
use secbeat_orchestrator_core::notices::{Banned, Every, Notice, TroubleKind, What};

use super::{
    entry::{EventName, NotifyEntry, WhoseBans},
    message::severity,
    severity::Severity,
};

/// What one receiver wants.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    events: BTreeSet<EventName>,
    pub(super) report: Option<Every>,
    bans: WhoseBans,
    rules: Vec<String>,
    networks: Vec<Prefix>,
    min_severity: Severity,
}

impl Filter {
    pub(super) fn new(entry: &NotifyEntry) -> Self {
        Self {
            events: entry.events.iter().copied().collect(),
            report: entry.report.map(Every::from),
            bans: entry.bans,
            rules: entry.rules.clone(),
            networks: entry.networks.clone(),
            min_severity: entry.min_severity,
        }
    }

    pub(super) fn wants(&self, notice: &Notice) -> bool {
        match &notice.what {
            What::Banned(ban) => self.wants_event(EventName::Ban, Severity::Info) && self.wants_ban(ban),
            What::Unbanned(unban) => {
                self.wants_event(EventName::Unban, Severity::Info) && self.is_of_networks(&unban.target)
            }
            What::Reported(report) => self.report == Some(report.every),
            What::Begun { trouble, .. } => self.wants_event(begin(trouble.kind), severity(trouble.kind)),
            // Who was told of a trouble is told of its end.
            What::Over { trouble, .. } => [begin(trouble.kind), end(trouble.kind)]
                .into_iter()
                .any(|event| self.wants_event(event, severity(trouble.kind))),
        }
    }

    fn wants_event(&self, event: EventName, severity: Severity) -> bool {
        self.events.contains(&event) && severity >= self.min_severity
    }

    fn wants_ban(&self, ban: &Banned) -> bool {
        let is_manual = ban.reason == Reason::Manual;
        let of_whom = match self.bans {
            WhoseBans::All => true,
            WhoseBans::Automatic => !is_manual,
            WhoseBans::Manual => is_manual,
        };
        let by_rule = self.rules.is_empty() || self.rules.iter().any(|rule| rule == ban.reason.name());
        of_whom && by_rule && self.is_of_networks(&ban.target)
    }

    fn is_of_networks(&self, target: &Prefix) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.covers(target))
    }
}

const fn begin(kind: TroubleKind) -> EventName {
    match kind {
        TroubleKind::EdgeDown => EventName::EdgeDown,
        TroubleKind::EdgeUnprotected => EventName::EdgeUnprotected,
        TroubleKind::Drift => EventName::Drift,
        TroubleKind::Brake => EventName::Brake,
        TroubleKind::NotReady => EventName::NotReady,
        TroubleKind::FeedNotTaken => EventName::FeedNotTaken,
    }
}

const fn end(kind: TroubleKind) -> EventName {
    match kind {
        TroubleKind::EdgeDown | TroubleKind::EdgeUnprotected | TroubleKind::Drift => EventName::EdgeBack,
        TroubleKind::Brake => EventName::Brake,
        TroubleKind::NotReady => EventName::Ready,
        TroubleKind::FeedNotTaken => EventName::FeedBack,
    }
}
