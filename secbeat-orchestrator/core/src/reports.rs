//! Data of reports: rows of an hour or a day, each bounded, which are added up.

#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BTreeMap};

use secbeat_common::wire::{AuditRecord, Decision, Reason, SeenEvent, SeenWhat};
use serde::{Deserialize, Serialize};

/// Rules in a row.
const RULES: usize = 80;
/// Names in a list of those with the most.
pub const TOP_NAMES: usize = 64;
/// Longest path and user agent that is kept, in bytes.
const NAME_BYTES: usize = 120;
/// Upper bounds of the times that bans took into a kernel, in milliseconds; longer ones come last.
pub const BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// What was counted in an hour or a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Bans that rules made.
    pub bans: u64,
    /// Bans that people made, those of lists included.
    pub manual: u64,
    /// Bans that people lifted.
    pub lifted: u64,
    /// Bans by repeat offence.
    pub repeated: u64,
    pub requests: u64,
    /// Error answers.
    pub errors: u64,
    /// Packets and bytes that kernels dropped.
    pub packets: u64,
    pub bytes: u64,
    pub rules: BTreeMap<String, RuleRow>,
    /// Bans of rules by the edge that reported what led to them.
    #[serde(rename = "edges_top", alias = "edges")]
    pub edges: Top,
    /// Bans by repeat offence, by target.
    pub offenders: Top,
    /// Requests that led to bans of rules, by path and by user agent, as far as the evidence has them.
    #[serde(rename = "paths_top", alias = "paths")]
    pub paths: Top,
    #[serde(rename = "agents_top", alias = "agents")]
    pub agents: Top,
    /// Bans of rules by the hour of the day, UTC.
    pub hours: [u64; 24],
    /// How long bans took into kernels, by [`BOUNDS_MS`]; longer ones come last.
    pub took: [u64; BOUNDS_MS.len() + 1],
}

/// Outcomes of a rule's findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleRow {
    pub banned: u64,
    pub observed: u64,
    pub already_banned: u64,
    pub suppressed: u64,
    /// Its bans that people lifted.
    pub lifted: u64,
}

/// Names with the most. Of more than [`TOP_NAMES`], those with the most are kept, each with what it had while it was not kept at most:
/// "space-saving" (Metwally et al., "Efficient computation of frequent and top-k elements in data streams", 2005), whose lists can be
/// added up (Agarwal et al., "Mergeable summaries", 2013).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Top(BTreeMap<String, Count>);

/// How often a name came: at most `most`, and at least `error` less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredCount", into = "StoredCount")]
struct Count {
    most: u64,
    error: u64,
}

/// A count as it is kept: a number alone where it is exact, as all were in rows of earlier builds.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredCount {
    Exact(u64),
    Estimate(u64, u64),
}

impl From<StoredCount> for Count {
    fn from(kept: StoredCount) -> Self {
        let (most, error) = match kept {
            StoredCount::Exact(most) => (most, 0),
            StoredCount::Estimate(most, error) => (most, error.min(most)),
        };
        Self { most, error }
    }
}

impl From<Count> for StoredCount {
    fn from(Count { most, error }: Count) -> Self {
        match error {
            0 => Self::Exact(most),
            error => Self::Estimate(most, error),
        }
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.most += other.most;
        self.error += other.error;
    }
}

impl Top {
    pub fn add(&mut self, name: &str, count: u64) {
        if count == 0 {
            return;
        }
        let unknown = self.unknown();
        let known = self.0.entry(name.to_owned()).or_insert(unknown);
        known.most += count;
        self.cut();
    }

    /// Adds what another list has, and keeps the most.
    pub fn merge(&mut self, other: &Self) {
        let (unknown, unknown_there) = (self.unknown(), other.unknown());
        for (name, known) in &mut self.0 {
            if !other.0.contains_key(name) {
                known.add(unknown_there);
            }
        }
        for (name, there) in &other.0 {
            self.0.entry(name.clone()).or_insert(unknown).add(*there);
        }
        self.cut();
    }

    /// Returns what a name that is not kept may have come to: no more than the least that is kept.
    fn unknown(&self) -> Count {
        let least = self.0.values().map(|count| count.most).min();
        let most = least.filter(|_| self.0.len() >= TOP_NAMES).unwrap_or(0);
        Count { most, error: most }
    }

    /// Drops the least past [`TOP_NAMES`].
    fn cut(&mut self) {
        let over = self.0.len().saturating_sub(TOP_NAMES);
        if over > 0 {
            let mut least: Vec<_> = self
                .0
                .iter()
                .map(|(name, count)| (count.most, Reverse(count.error), name.clone()))
                .collect();
            least.sort_unstable();
            for (.., name) in least.into_iter().take(over) {
                self.0.remove(&name);
            }
        }
    }

    /// The most first, each with what it came to at least.
    #[must_use]
    pub fn list(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(name, count)| (name.as_str(), count.most - count.error))
            .collect();
        all.sort_by_key(|(name, count)| (Reverse(*count), *name));
        all
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Row {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a decision that the bus has.
    pub fn decided(&mut self, record: &AuditRecord) {
        let Decision::Ban {
            reason,
            strikes,
            edges,
            events,
            ..
        } = &record.decision
        else {
            return;
        };
        if *reason == Reason::Manual {
            self.manual += 1;
            return;
        }
        self.bans += 1;
        if *strikes > 0 {
            self.repeated += 1;
            self.offenders.add(&record.target.to_string(), 1);
        }
        let hour = record.at_ms.div_euclid(3_600_000).rem_euclid(24);
        if let Some(hour) = usize::try_from(hour)
            .ok()
            .and_then(|hour| self.hours.get_mut(hour))
        {
            *hour += 1;
        }
        let mut seen_by: Vec<&str> = match edges {
            Some(edges) => edges.iter().map(String::as_str).collect(),
            None => events.iter().map(|event| event.edge.as_str()).collect(),
        };
        seen_by.sort_unstable();
        seen_by.dedup();
        for edge in seen_by {
            self.edges.add(edge, 1);
        }
        for event in events {
            self.seen(event);
        }
    }

    fn seen(&mut self, event: &SeenEvent) {
        if !event.path.is_empty() {
            self.paths.add(cut(&event.path), 1);
        }
        if let SeenWhat::Answer { user_agent, .. } | SeenWhat::Unreadable { user_agent, .. } = &event.what
            && !user_agent.is_empty()
        {
            self.agents.add(cut(user_agent), 1);
        }
    }

    /// Counts a ban of this reason as lifted by somebody.
    pub fn lifted(&mut self, reason: Reason) {
        self.lifted += 1;
        if reason != Reason::Manual {
            self.rule(reason.name()).lifted += 1;
        }
    }

    /// Returns what is counted of a rule. Past [`RULES`], further rules share a name.
    pub fn rule(&mut self, name: &str) -> &mut RuleRow {
        let is_full = self.rules.len() >= RULES && !self.rules.contains_key(name);
        let name = if is_full { "others" } else { name };
        self.rules.entry(name.to_owned()).or_default()
    }

    /// Adds what another row has.
    pub fn merge(&mut self, other: &Self) {
        self.bans += other.bans;
        self.manual += other.manual;
        self.lifted += other.lifted;
        self.repeated += other.repeated;
        self.requests += other.requests;
        self.errors += other.errors;
        self.packets += other.packets;
        self.bytes += other.bytes;
        for (name, rule) in &other.rules {
            let sum = self.rule(name);
            sum.banned += rule.banned;
            sum.observed += rule.observed;
            sum.already_banned += rule.already_banned;
            sum.suppressed += rule.suppressed;
            sum.lifted += rule.lifted;
        }
        self.edges.merge(&other.edges);
        self.offenders.merge(&other.offenders);
        self.paths.merge(&other.paths);
        self.agents.merge(&other.agents);
        add(&mut self.hours, &other.hours);
        add(&mut self.took, &other.took);
    }
}

fn add(sums: &mut [u64], others: &[u64]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

/// The beginning of a text, as much of it as is kept.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES)]
}
