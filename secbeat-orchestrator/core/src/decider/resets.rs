//! Per-target reset times: events before them are already accounted for, and are not counted again. A partition's windows
//! begin empty when it is taken, and are filled with what happened before; this keeps clients from being judged twice.

use std::collections::HashMap;

use secbeat_common::{prefix::Prefix, sources::SourceLengths, subjects::PARTITIONS};

use crate::analyzers::{Reset, Rule};

/// Returns when a reset ends, milliseconds since the Unix epoch.
const fn until_ms(reset: Reset) -> i64 {
    match reset {
        Reset::Banned { until_ms, .. } | Reset::Lifted { until_ms } | Reset::Observed { until_ms, .. } => {
            until_ms
        }
    }
}

/// The rule that a reset is about, if it is not about all.
const fn rule(reset: Reset) -> Option<Rule> {
    match reset {
        Reset::Banned { .. } | Reset::Lifted { .. } => None,
        Reset::Observed { rule, .. } => Some(rule),
    }
}

/// The latest reset of each target, for all rules and for each that only observes.
#[derive(Debug, Default)]
pub(super) struct Resets {
    known: HashMap<(Prefix, Option<Rule>), Latest>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    reset: Reset,
    /// Holds again if `reset` came of a ban that nobody heard of.
    before: Option<Reset>,
}

impl Resets {
    pub(super) fn note(&mut self, target: Prefix, reset: Reset) {
        let before = |latest: &Latest| match latest.reset == reset {
            true => latest.before,
            false => Some(latest.reset),
        };
        let key = (target, rule(reset));
        let before = self.known.get(&key).and_then(before);
        self.known.insert(key, Latest { reset, before });
    }

    /// The latest ban of `target` came to nothing: what was known before holds.
    pub(super) fn discard(&mut self, target: &Prefix) {
        let key = (*target, None);
        if let Some(Latest { before, .. }) = self.known.remove(&key)
            && let Some(reset) = before
        {
            self.known.insert(key, Latest { reset, before: None });
        }
    }

    /// Returns what concerns the `sources` of `partition`, networks first. One for all rules comes before those of single rules,
    /// which it would empty.
    pub(super) fn of(&self, partition: u16, sources: SourceLengths) -> Vec<(Prefix, Reset)> {
        let concerns =
            |target: &Prefix| !sources.is_source(target) || target.partition(PARTITIONS) == partition;
        let mut resets: Vec<_> = self
            .known
            .iter()
            .filter(|((target, _), _)| concerns(target))
            .map(|((target, _), latest)| (*target, latest.reset))
            .collect();
        resets.sort_by_cached_key(|(target, reset)| {
            let name = rule(*reset).map(|rule| rule.name().to_owned());
            (sources.is_source(target), until_ms(*reset), *target, name)
        });
        resets
    }

    /// Until when nothing counts against `source` because it was unbanned, if that is after `now_ms`.
    pub(super) fn forgiven_until_ms(&self, source: &Prefix, now_ms: i64) -> Option<i64> {
        let forgiven = |((target, _), latest): (&(Prefix, Option<Rule>), &Latest)| match latest.reset {
            Reset::Lifted { until_ms } if until_ms > now_ms && target.covers(source) => Some(until_ms),
            _ => None,
        };
        self.known.iter().filter_map(forgiven).max()
    }

    /// Forgets what was over before `before_ms`: nothing as old is read any more.
    pub(super) fn prune(&mut self, before_ms: i64) {
        self.known.retain(|_, latest| until_ms(latest.reset) >= before_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_gets_its_own_sources_and_all_networks_until_they_are_too_old() {
        let mut resets = Resets::default();
        let (mine, other): (Prefix, Prefix) =
            ("198.51.100.7".parse().unwrap(), "198.51.100.8".parse().unwrap());
        let network: Prefix = "203.0.113.0/24".parse().unwrap();
        assert_ne!(mine.partition(PARTITIONS), other.partition(PARTITIONS));
        let lifted = |until_ms| Reset::Lifted { until_ms };
        resets.note(mine, lifted(1));
        resets.note(mine, lifted(5));
        resets.note(other, lifted(5));
        resets.note(network, lifted(9));
        let partition = mine.partition(PARTITIONS);
        assert_eq!(
            resets.of(partition, SourceLengths::default()),
            [(network, lifted(9)), (mine, lifted(5))]
        );
        let within: Prefix = "203.0.113.7".parse().unwrap();
        assert_eq!(resets.forgiven_until_ms(&within, 8), Some(9));
        assert_eq!(resets.forgiven_until_ms(&within, 9), None);
        resets.prune(6);
        assert_eq!(
            resets.of(partition, SourceLengths::default()),
            [(network, lifted(9))]
        );
    }

    #[test]
    fn after_a_ban_that_came_to_nothing_the_ban_before_it_counts() {
        let mut resets = Resets::default();
        let target: Prefix = "198.51.100.7".parse().unwrap();
        let banned = |until_ms| Reset::Banned {
            until_ms,
            layer: secbeat_common::wire::Layer::Kernel,
        };
        let known = |resets: &Resets| resets.of(target.partition(PARTITIONS), SourceLengths::default());
        resets.note(target, banned(5));
        // Twice: it was written again after a lost answer.
        resets.note(target, banned(9));
        resets.note(target, banned(9));
        resets.discard(&target);
        assert_eq!(known(&resets), [(target, banned(5))]);
        resets.discard(&target);
        assert_eq!(known(&resets), []);
    }

    #[test]
    fn resets_that_end_at_once_are_applied_in_the_order_of_their_rules() {
        let target: Prefix = "198.51.100.7".parse().unwrap();
        let observed = |rule| Reset::Observed { rule, until_ms: 5 };
        let rules = [
            Rule::ErrorFlood,
            Rule::LoginBruteforce,
            Rule::PathScan,
            Rule::RequestFlood,
            Rule::WafFlood,
        ];
        let mut resets = Resets::default();
        for rule in rules {
            resets.note(target, observed(rule));
        }
        let banned = Reset::Banned {
            until_ms: 5,
            layer: secbeat_common::wire::Layer::L7,
        };
        resets.note(target, banned);
        let expected = std::iter::once(banned).chain(rules.map(observed));
        let expected: Vec<_> = expected.map(|reset| (target, reset)).collect();
        assert_eq!(
            resets.of(target.partition(PARTITIONS), SourceLengths::default()),
            expected
        );
    }
}
