//! Troubles that begin and end, of what is so right now.

use std::collections::{BTreeMap, VecDeque};

use super::{Notice, Trouble, TroubleKind, What};
use crate::Moment;

/// Time that an edge may be away, unprotected, or an orchestrator not ready before it is a trouble: a restart or a failover takes
/// less.
const SETTLE_MS: i64 = 10_000;
/// Time that a safety limit has to leave everybody alone until it no longer holds: it lets go of one client after the other.
const BRAKE_OVER_MS: i64 = 30_000;
/// How long what another orchestrator had to tell is kept: nobody may have told it if that one has died.
const HANDOVER_MS: i64 = 5_000;

/// What is so right now.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether this orchestrator tells of edges and feeds: of all that see them, one does.
    pub tells_of_edges: bool,
    /// The reason why no ban could be made that reaches the edges, if so.
    pub not_ready: Option<String>,
    /// Which safety limit holds automatic bans back, if one does.
    pub brake: Option<String>,
    /// The edges; `None` while the bus is away and nobody can be heard.
    pub edges: Option<Vec<EdgeFacts>>,
    /// The feeds by name, and why the list of one is not taken; `None` while that is not known.
    pub feeds: Option<BTreeMap<String, Option<String>>>,
}

/// One edge.
#[derive(Clone, Debug, Default)]
pub struct EdgeFacts {
    pub edge_id: String,
    /// The reason why it counts as away, if it does.
    pub down: Option<String>,
    /// The interface that is not protected and why, if one is not.
    pub unprotected: Option<String>,
    /// How its bans differ from the ledger's, if they have for too long.
    pub drift: Option<String>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Watch {
    /// This orchestrator's name.
    name: String,
    conditions: BTreeMap<Trouble, Condition>,
    /// What another orchestrator had to tell lately, with its time by the clock that only moves forward.
    others: VecDeque<(i64, Notice)>,
}

#[derive(Debug)]
struct Condition {
    /// Since when it is so.
    since: Moment,
    /// Since when it is not so any more.
    gone_ms: Option<i64>,
    /// Whether it lasted long enough to be told.
    has_begun: bool,
}

impl Watch {
    /// Nothing is known yet to the orchestrator called `name`.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self {
            name,
            conditions: BTreeMap::new(),
            others: VecDeque::new(),
        }
    }

    /// Returns what to tell of what is so at `now`.
    pub fn look(&mut self, facts: Facts, now: Moment) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.see(TroubleKind::NotReady, None, facts.not_ready, now, &mut notices);
        self.see(TroubleKind::Brake, None, facts.brake, now, &mut notices);
        let mut of_edges = Vec::new();
        match facts.edges {
            Some(edges) => self.look_at(edges, now, &mut of_edges),
            None => self.wait(now),
        }
        if let Some(feeds) = facts.feeds {
            let is_gone = |trouble: &Trouble| {
                trouble.kind == TroubleKind::FeedNotTaken && !feeds.contains_key(&trouble.subject)
            };
            self.conditions.retain(|trouble, _| !is_gone(trouble));
            for (name, why) in feeds {
                self.see(TroubleKind::FeedNotTaken, Some(&name), why, now, &mut of_edges);
            }
        }
        self.others
            .retain(|(seen_ms, _)| now.boot_ms - seen_ms < HANDOVER_MS);
        if facts.tells_of_edges {
            notices.extend(self.others.drain(..).map(|(_, notice)| notice));
            notices.append(&mut of_edges);
        } else {
            let seen = of_edges.into_iter().map(|notice| (now.boot_ms, notice));
            self.others.extend(seen);
        }
        notices
    }

    fn look_at(&mut self, edges: Vec<EdgeFacts>, now: Moment, notices: &mut Vec<Notice>) {
        let is_known = |id: &str| edges.iter().any(|edge| edge.edge_id == id);
        // Edges are forgotten in the end.
        self.conditions
            .retain(|trouble, _| !trouble.kind.is_of_an_edge() || is_known(&trouble.subject));
        for edge in edges {
            let id = Some(edge.edge_id.as_str());
            let is_down = edge.down.is_some();
            self.see(TroubleKind::EdgeDown, id, edge.down, now, notices);
            // Of one that is away, only what it was is known.
            if !is_down {
                self.see(TroubleKind::EdgeUnprotected, id, edge.unprotected, now, notices);
                self.see(TroubleKind::Drift, id, edge.drift, now, notices);
            }
        }
    }

    /// Nobody can be heard: what has not begun yet starts again afterwards.
    fn wait(&mut self, now: Moment) {
        for (trouble, condition) in &mut self.conditions {
            if trouble.kind.is_of_an_edge() && !condition.has_begun {
                condition.since = now;
            }
        }
    }

    /// Notes whether `kind` is so at `edge`, a feed or at this orchestrator, and how.
    fn see(
        &mut self,
        kind: TroubleKind,
        edge: Option<&str>,
        holds: Option<String>,
        now: Moment,
        notices: &mut Vec<Notice>,
    ) {
        let trouble = Trouble {
            kind,
            subject: edge.unwrap_or(&self.name).to_owned(),
        };
        let Some(detail) = holds else {
            return self.gone(trouble, now, notices);
        };
        let condition = self.conditions.entry(trouble.clone()).or_insert(Condition {
            since: now,
            gone_ms: None,
            has_begun: false,
        });
        condition.gone_ms = None;
        let lasted_ms = now.boot_ms.saturating_sub(condition.since.boot_ms);
        if !condition.has_begun && lasted_ms >= settle_ms(kind) {
            condition.has_begun = true;
            notices.push(Notice {
                at_ms: condition.since.wall_ms,
                what: What::Begun { trouble, detail },
            });
        }
    }

    fn gone(&mut self, trouble: Trouble, now: Moment, notices: &mut Vec<Notice>) {
        let Some(condition) = self.conditions.get_mut(&trouble) else {
            return;
        };
        let gone_ms = *condition.gone_ms.get_or_insert(now.boot_ms);
        if condition.has_begun && now.boot_ms.saturating_sub(gone_ms) < over_ms(trouble.kind) {
            return;
        }
        let lasted_ms = gone_ms.saturating_sub(condition.since.boot_ms);
        let was_told = condition.has_begun;
        self.conditions.remove(&trouble);
        if was_told {
            notices.push(Notice {
                at_ms: now.wall_ms,
                what: What::Over { trouble, lasted_ms },
            });
        }
    }
}

const fn settle_ms(kind: TroubleKind) -> i64 {
    match kind {
        TroubleKind::EdgeDown | TroubleKind::EdgeUnprotected | TroubleKind::NotReady => SETTLE_MS,
        // A difference has lasted for the grace already, and what a brake holds back is not banned from the first on.
        TroubleKind::Drift | TroubleKind::Brake | TroubleKind::FeedNotTaken => 0,
    }
}

const fn over_ms(kind: TroubleKind) -> i64 {
    match kind {
        TroubleKind::Brake => BRAKE_OVER_MS,
        _ => 0,
    }
}
