//! What reports are made of: rows of an hour or a day, each bounded, which are added up.

use std::collections::BTreeMap;

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
    pub edges: Top,
    /// Bans of rules by target.
    pub targets: Top,
    /// Requests that led to bans of rules, by path and by user agent, as far as the evidence has them.
    pub paths: Top,
    pub agents: Top,
    /// Bans of rules by the hour of the day, UTC.
    pub hours: [u64; 24],
    /// How long bans took into kernels, by [`BOUNDS_MS`]; longer ones come last.
    pub took: [u64; BOUNDS_MS.len() + 1],
}

/// What became of a rule's findings.
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

/// Names with the most: of more than [`TOP_NAMES`], an estimate, which may be too high by the least count that is kept
/// (Metwally et al., "Efficient computation of frequent and top-k elements in data streams", 2005).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Top(BTreeMap<String, u64>);

impl Top {
    pub fn add(&mut self, name: &str, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(known) = self.0.get_mut(name) {
            *known += count;
            return;
        }
        let mut before = 0;
        if self.0.len() >= TOP_NAMES {
            let least = self.0.iter().min_by_key(|(_, count)| **count);
            if let Some((least, count)) = least.map(|(name, count)| (name.clone(), *count)) {
                self.0.remove(&least);
                before = count;
            }
        }
        self.0.insert(name.to_owned(), before + count);
    }

    /// Adds what another list has, and keeps the most.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
        let over = self.0.len().saturating_sub(TOP_NAMES);
        if over > 0 {
            let mut least: Vec<_> = self
                .0
                .iter()
                .map(|(name, count)| (*count, name.clone()))
                .collect();
            least.sort_unstable();
            for (_, name) in least.into_iter().take(over) {
                self.0.remove(&name);
            }
        }
    }

    /// The most first.
    #[must_use]
    pub fn list(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        all.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
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
        self.repeated += u64::from(*strikes > 0);
        let hour = record.at_ms.div_euclid(3_600_000).rem_euclid(24);
        if let Some(hour) = usize::try_from(hour)
            .ok()
            .and_then(|hour| self.hours.get_mut(hour))
        {
            *hour += 1;
        }
        self.targets.add(&record.target.to_string(), 1);
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

    /// What is counted of a rule. Past [`RULES`], further rules share a name.
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
        self.targets.merge(&other.targets);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secbeat_common::wire::{Layer, LearnedFrom};
    use uuid::Uuid;

    use super::*;

    fn ban(at_ms: i64, host: u8, rule: Reason, strikes: u32, path: &str) -> AuditRecord {
        let event = SeenEvent {
            at_ms,
            edge: format!("web-{}", host % 3),
            client: [192, 0, 2, host].into(),
            learned_from: LearnedFrom::Peer,
            what: SeenWhat::Answer {
                status: 404,
                method: "GET".to_owned(),
                user_agent: "curl".to_owned(),
            },
            path: path.to_owned(),
            host: String::new(),
            signatures: Vec::new(),
        };
        AuditRecord {
            at_ms,
            target: format!("192.0.2.{host}").parse().unwrap(),
            actor: "secbeat-orchestrator".to_owned(),
            decision: Decision::Ban {
                command_id: Uuid::nil(),
                reason: rule,
                note: String::new(),
                expires_at_ms: at_ms + 1,
                strikes,
                evidence: None,
                layer: Layer::Kernel,
                list: None,
                edges: None,
                labels: Vec::new(),
                events: vec![event],
            },
        }
    }

    /// A ban of the model: when, which, by a person, and its repeats.
    type Is<'a> = &'a dyn Fn(&(i64, u8, bool, u32)) -> bool;

    proptest! {
        /// What is added up of rows, however the time is cut, is what a naïve count of all decisions says.
        #[test]
        fn rows_add_up_to_the_naive_count(
            bans in prop::collection::vec((0..48_i64, 0..60_u8, any::<bool>(), 0..3_u32), 0..200),
            cut in 1..9_i64,
        ) {
            let rule = |by_hand| if by_hand { Reason::Manual } else { Reason::ErrorFlood };
            let records: Vec<_> = bans
                .iter()
                .map(|&(hour, host, by_hand, strikes)| {
                    ban(hour * 3_600_000, host, rule(by_hand), strikes, &format!("/{}", host % 7))
                })
                .collect();
            let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
            for record in &records {
                rows.entry(record.at_ms / (cut * 3_600_000)).or_default().decided(record);
            }
            let mut sum = Row::default();
            for row in rows.values() {
                // As they are kept.
                let kept: Row = serde_json::from_slice(&serde_json::to_vec(row).unwrap()).unwrap();
                sum.merge(&kept);
            }
            let of_rules = || bans.iter().filter(|(_, _, by_hand, _)| !by_hand);
            let count = |is: Is<'_>| of_rules().filter(|ban| is(ban)).count() as u64;
            prop_assert_eq!(sum.bans, count(&|_| true));
            prop_assert_eq!(sum.manual, bans.len() as u64 - sum.bans);
            prop_assert_eq!(sum.repeated, count(&|ban| ban.3 > 0));
            for hour in 0..24_i64 {
                prop_assert_eq!(sum.hours[hour as usize], count(&|ban| ban.0 % 24 == hour));
            }
            for (edge, bans) in sum.edges.list() {
                prop_assert_eq!(bans, count(&|ban| format!("web-{}", ban.1 % 3) == edge));
            }
            for (target, bans) in sum.targets.list() {
                prop_assert_eq!(bans, count(&|ban| format!("192.0.2.{}/32", ban.1) == target));
            }
            prop_assert_eq!(sum.paths.list().iter().map(|(_, count)| count).sum::<u64>(), sum.bans);
        }
    }

    #[test]
    fn a_list_of_the_most_is_bounded_and_keeps_who_has_the_most() {
        let mut top = Top::default();
        for n in 0..10_000 {
            top.add(&format!("once-{n}"), 1);
            top.add("often", 1);
        }
        let list = top.list();
        assert_eq!(list.len(), TOP_NAMES);
        assert_eq!(list[0], ("often", 10_000));
        let mut sum = Top::default();
        for part in 0..3 {
            let mut one = Top::default();
            for n in 0..TOP_NAMES as u64 {
                one.add(&format!("{part}-{n}"), n + 1);
            }
            sum.merge(&one);
        }
        assert_eq!(sum.list().len(), TOP_NAMES);
        assert_eq!(sum.list()[0].1, TOP_NAMES as u64);
    }

    #[test]
    fn lifted_bans_are_their_rules_and_texts_are_cut() {
        let mut row = Row::default();
        row.lifted(Reason::ErrorFlood);
        row.lifted(Reason::Manual);
        assert_eq!((row.lifted, row.rules["error-flood"].lifted), (2, 1));
        row.decided(&ban(0, 1, Reason::ErrorFlood, 1, &"ä".repeat(500)));
        assert_eq!(row.paths.list()[0].0.len(), NAME_BYTES);
        for n in 0..200 {
            row.rule(&format!("rule-{n}")).banned += 1;
        }
        assert_eq!(row.rules.len(), RULES + 1);
        assert_eq!(row.rules["others"].banned, 200 - (RULES as u64 - 1));
    }
}
