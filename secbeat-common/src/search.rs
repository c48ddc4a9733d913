//! The search of all tables in the kernel: the last of many numbers that is at most a wanted one, without a branch on what they are.
//!
//! The kernel's verifier follows both ways of each branch to the program's end, so that a usual binary search of 22 steps costs it tens
//! of thousands of instructions, at every start and in every program.

use core::hint::black_box;

/// The place of a number's highest bit.
const SIGN_BIT: u32 = u64::BITS - 1;

/// The last of `count` places from `first` on whose number is at most the wanted one, if the numbers are in order and the first one's is;
/// `shortfall` tells for a place by how much the wanted one falls short of it, as [`shortfall`] does.
///
/// `STEPS` steps are enough for `2^STEPS` places.
#[inline(always)]
pub(crate) fn last_at_most<const STEPS: u32>(
    first: u32,
    count: u32,
    shortfall: impl Fn(u32) -> Option<u64>,
) -> Option<u32> {
    let (mut low, mut left) = (first, count);
    // Of a sign that the compiler knows it makes a branch.
    let sign_bit = black_box(SIGN_BIT);
    for _ in 0..STEPS {
        if left <= 1 {
            break;
        }
        let half = left / 2;
        let is_short = shortfall(low.wrapping_add(half))? >> sign_bit;
        low = low.wrapping_add(half & (is_short as u32).wrapping_sub(1));
        left -= half;
    }
    Some(low)
}

/// A number whose highest bit tells whether `wanted` is less than `other`. From Hacker's Delight, 2-12.
#[inline(always)]
pub(crate) const fn shortfall(wanted: u64, other: u64) -> u64 {
    with_borrow(wanted, other, 0)
}

/// The same for numbers of two words, the upper one first.
#[inline(always)]
pub(crate) const fn shortfall_of_two(wanted: [u64; 2], other: [u64; 2]) -> u64 {
    let borrow = shortfall(wanted[1], other[1]) >> SIGN_BIT;
    with_borrow(wanted[0], other[0], borrow)
}

#[inline(always)]
const fn with_borrow(wanted: u64, other: u64, borrow: u64) -> u64 {
    let difference = wanted.wrapping_sub(other).wrapping_sub(borrow);
    (!wanted & other) | ((!wanted | other) & difference)
}

/// Whether one is at most the other: 0 or 1, without a branch.
#[inline(always)]
pub(crate) const fn is_at_most(one: u64, other: u64) -> u64 {
    1 - (shortfall(other, one) >> SIGN_BIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            0..4_u64,
            (u64::MAX - 3)..=u64::MAX,
            (1_u64 << 63) - 2..(1 << 63) + 2
        ]
    }

    proptest! {
        #[test]
        fn a_shortfall_is_a_negative_difference(wanted in [word(), word()], other in [word(), word()]) {
            prop_assert_eq!(shortfall(wanted[0], other[0]) >> 63 == 1, wanted[0] < other[0]);
            prop_assert_eq!(shortfall_of_two(wanted, other) >> 63 == 1, wanted < other);
            prop_assert_eq!(is_at_most(wanted[0], other[0]) == 1, wanted[0] <= other[0]);
        }

        #[test]
        fn the_last_number_that_is_at_most_the_wanted_one_is_found(
            mut numbers in proptest::collection::vec(word(), 1..70),
            first in 0..1000_u32,
            wanted in word(),
        ) {
            numbers.sort_unstable();
            let wanted = wanted.max(numbers[0]);
            let last = numbers.partition_point(|number| *number <= wanted) - 1;
            let found = last_at_most::<7>(first, numbers.len() as u32, |place| {
                Some(shortfall(wanted, *numbers.get((place - first) as usize)?))
            });
            prop_assert_eq!(found, Some(first + last as u32));
        }
    }
}
