//! Before when what a source did is paid for. A partition's windows begin empty when it is taken, and are filled with what
//! happened before: this keeps it from being judged a second time.

use std::collections::HashMap;

use secbeat_common::{prefix::Prefix, subjects::PARTITIONS, wire::Layer};

use crate::detect::Rule;

/// From when on a target's events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// Those after a ban's end, at this layer.
    Banned { until_ms: i64, layer: Layer },
    /// Those after it was unbanned.
    Lifted { at_ms: i64 },
    /// For this rule alone: those after the end of the ban that it would have made.
    Observed { rule: Rule, until_ms: i64 },
}

impl Reset {
    fn until_ms(self) -> i64 {
        match self {
            Self::Banned { until_ms, .. } | Self::Observed { until_ms, .. } => until_ms,
            Self::Lifted { at_ms } => at_ms,
        }
    }

    /// The rule that it is about, if it is not about all.
    fn rule(self) -> Option<Rule> {
        match self {
            Self::Banned { .. } | Self::Lifted { .. } => None,
            Self::Observed { rule, .. } => Some(rule),
        }
    }
}

/// The latest reset of each target, for all rules and for each that only observes.
#[derive(Debug, Default)]
pub(super) struct Resets {
    known: HashMap<(Prefix, Option<Rule>), Reset>,
}

impl Resets {
    pub(super) fn note(&mut self, target: Prefix, reset: Reset) {
        self.known.insert((target, reset.rule()), reset);
    }

    /// `target` has nothing to be forgiven after all.
    pub(super) fn discard(&mut self, target: &Prefix) {
        self.known.remove(&(*target, None));
    }

    /// What concerns the sources of `partition`, networks first.
    pub(super) fn of(&self, partition: u16) -> Vec<(Prefix, Reset)> {
        let mut resets: Vec<_> = self
            .known
            .iter()
            .filter(|((target, _), _)| !target.is_single() || target.partition(PARTITIONS) == partition)
            .map(|((target, _), reset)| (*target, *reset))
            .collect();
        resets.sort_by_key(|(target, reset)| (target.is_single(), reset.until_ms()));
        resets
    }

    /// Forgets what was over before `before_ms`: nothing as old is read any more.
    pub(super) fn prune(&mut self, before_ms: i64) {
        self.known.retain(|_, reset| reset.until_ms() >= before_ms);
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
        let lifted = |at_ms| Reset::Lifted { at_ms };
        resets.note(mine, lifted(1));
        resets.note(mine, lifted(5));
        resets.note(other, lifted(5));
        resets.note(network, lifted(9));
        let partition = mine.partition(PARTITIONS);
        assert_eq!(resets.of(partition), [(network, lifted(9)), (mine, lifted(5))]);
        resets.prune(6);
        assert_eq!(resets.of(partition), [(network, lifted(9))]);
    }
}
