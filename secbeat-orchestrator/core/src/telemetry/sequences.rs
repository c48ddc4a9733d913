//! Numbers of a sequence that came.

use std::collections::BTreeMap;

/// Gaps remembered at a time. Past it the oldest counts as lost for good, and what would fill it as repeated.
const MAX_GAPS: usize = 1024;

/// The numbers that came, as ranges.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// First → last, both included; never adjacent.
    came: BTreeMap<u64, u64>,
    /// The number that came first: what lies before may have come before anybody looked.
    first: Option<u64>,
    /// Numbers in gaps that are no longer remembered.
    given_up: u64,
}

impl Sequences {
    /// Notes `number`; returns whether it is new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let first = *self.first.get_or_insert(number);
        let before = self
            .came
            .range(..=number)
            .next_back()
            .map(|(from, to)| (*from, *to));
        if before.is_some_and(|(_, to)| number <= to) {
            return false;
        }
        let from = match before {
            Some((from, to)) if to + 1 == number => from,
            _ => number,
        };
        let to = number
            .checked_add(1)
            .and_then(|next| self.came.remove(&next))
            .unwrap_or(number);
        self.came.insert(from, to);
        if self.came.len() > MAX_GAPS
            && let Some((from, to)) = self.came.pop_first()
            && let Some(entry) = self.came.first_entry()
        {
            let (next, last) = (*entry.key(), *entry.get());
            self.given_up += next.saturating_sub(first.max(to + 1));
            entry.remove();
            self.came.insert(from, last);
        }
        true
    }

    /// Returns how many numbers are missing between the first that came and the greatest.
    pub(super) fn missing(&self) -> u64 {
        let first = self.first.unwrap_or(0);
        let gaps = self.came.iter().zip(self.came.keys().skip(1));
        let missing: u64 = gaps
            .map(|((_, to), next)| next.saturating_sub(first.max(to + 1)))
            .sum();
        self.given_up + missing
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_bounded_and_gaps_that_are_given_up_stay_missing() {
        let mut sequences = Sequences::default();
        for n in 0..5_000 {
            assert!(sequences.insert(n * 2));
        }
        assert_eq!(sequences.came.len(), MAX_GAPS);
        assert_eq!(sequences.missing(), 4_999);
        assert!(!sequences.insert(1), "given up");
        assert!(sequences.insert(9_997));
        assert_eq!(sequences.missing(), 4_998);
    }

    #[test]
    fn the_greatest_number_does_not_overflow() {
        let mut sequences = Sequences::default();
        assert!(sequences.insert(u64::MAX));
        assert!(!sequences.insert(u64::MAX));
        assert!(sequences.insert(u64::MAX - 1));
        assert_eq!(sequences.missing(), 0);
    }

    proptest! {
        #[test]
        fn they_equal_a_set(numbers in prop::collection::vec(0..60u64, 1..80)) {
            let (mut sequences, mut set) = (Sequences::default(), BTreeSet::new());
            let first = numbers[0];
            for number in numbers {
                prop_assert_eq!(sequences.insert(number), set.insert(number));
                let last = *set.last().unwrap();
                let missing = (first..last).filter(|n| !set.contains(n)).count() as u64;
                prop_assert_eq!(sequences.missing(), missing);
            }
        }
    }
}
