//! Positions of quotes in a text, found for many bytes at once: a search for each of them costs more than the text between two.

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// The first quotes of a text of a block or more. `None` if it has fewer, or a backslash before the last of them.
#[inline]
pub(super) fn first_quotes<const N: usize>(text: &[u8]) -> Option<[usize; N]> {
    let last = text.len().checked_sub(BLOCK)?;
    let mut quotes = [0; N];
    let (mut found, mut at) = (0, 0);
    while at < text.len() {
        // The last block overlaps the one before it.
        let begin = at.min(last);
        let block = text[begin..].first_chunk()?;
        let mut marks = find_either(block, b'"', b'\\') >> (at - begin);
        while marks != 0 {
            quotes[found] = at + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            found += 1;
            if found == N {
                return quotes.iter().all(|at| text[*at] == b'"').then_some(quotes);
            }
        }
        at = begin + BLOCK;
    }
    None
}

/// A bit for each byte that is one of two, the first byte's the lowest.
#[inline]
fn find_either(block: &[u8; BLOCK], one: u8, other: u8) -> u64 {
    // Compilers make vectors of this loop.
    let mut marks = [0; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = u8::from(*byte == one) | u8::from(*byte == other);
    }
    let (words, _) = marks.as_chunks::<8>();
    words
        .iter()
        .rev()
        .fold(0, |found, word| found << 8 | gather(u64::from_le_bytes(*word)))
}

/// The lowest bits of eight bytes, the lowest byte's the lowest.
const fn gather(bytes: u64) -> u64 {
    bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_quotes_are_found_if_no_backslash_comes_before(
            text in proptest::collection::vec(prop_oneof![60 => any::<u8>(), 2 => Just(b'"')], 0..300),
        ) {
            let marks: Vec<_> = (0..text.len()).filter(|at| b"\"\\".contains(&text[*at])).collect();
            let expected = marks.first_chunk::<3>().filter(|marks| marks.iter().all(|at| text[*at] == b'"'));
            prop_assert_eq!(first_quotes(&text), expected.copied().filter(|_| text.len() >= BLOCK));
        }

        #[test]
        fn a_block_has_a_bit_for_each_byte_that_is_either(block in any::<[[u8; 8]; 8]>(), one: u8, other: u8) {
            let block: [u8; BLOCK] = block.as_flattened().try_into().unwrap();
            let naive = block.iter().rev().fold(0, |found: u64, byte| {
                found << 1 | u64::from(*byte == one || *byte == other)
            });
            prop_assert_eq!(find_either(&block, one, other), naive);
        }
    }
}
