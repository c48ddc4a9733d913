//! Texts in pieces of one length, which processors take in without a branch for each byte.

/// Places that a block is about.
pub(crate) const PLACES: usize = 16;

/// Bytes that a processor takes in as one number.
pub(crate) const WORD: usize = 8;

/// The lowest bit of each byte of a word.
const LOWEST: u64 = u64::from_le_bytes([1; WORD]);
/// The highest one.
const HIGHEST: u64 = LOWEST << 7;

/// Returns how many bytes of `word` stand in front of the first that is below `below`, at most 128, or one of `others`.
#[inline]
pub(crate) fn leading<const N: usize>(word: &[u8; WORD], below: u8, others: [u8; N]) -> usize {
    let word = u64::from_le_bytes(*word);
    // The lowest bit that is set is that of a byte below; beyond it, a borrow may set others (Warren, Hacker's Delight, 6-1).
    let are_below = |word: u64, below: u8| word.wrapping_sub(LOWEST * u64::from(below)) & !word & HIGHEST;
    let found = others.into_iter().fold(are_below(word, below), |found, other| {
        found | are_below(word ^ (LOWEST * u64::from(other)), 1)
    });
    found.trailing_zeros() as usize / WORD
}

/// Calls `look` with the places of `text` in blocks of [`PLACES`], each with what follows it, `N` bytes together, until it returns
/// `true`. It gets the block, the place in `text` of its first byte, and how many of its first places an earlier block was about. Places
/// that fewer bytes follow are left out, but for a text of less than `N` bytes, behind which there is `filler`. Returns whether `look`
/// returned `true`.
#[inline]
pub(crate) fn any<const N: usize>(
    text: &[u8],
    filler: u8,
    mut look: impl FnMut(&[u8; N], usize, usize) -> bool,
) -> bool {
    let Some(last) = text.last_chunk::<N>() else {
        let mut block = [filler; N];
        block[..text.len()].copy_from_slice(text);
        return look(&block, 0, 0);
    };
    let mut begin = 0;
    while let Some(block) = text[begin..].first_chunk::<N>() {
        if look(block, begin, 0) {
            return true;
        }
        begin += PLACES;
    }
    // The last one goes back as far as it needs to.
    let at = text.len() - N;
    begin < at + PLACES && look(last, at, begin - at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_of_some_bytes_is_found_in_a_word(
            word in proptest::array::uniform8(proptest::sample::select(b"ab/0;\\ \x00\x7f\x80\xa0\xff".to_vec())),
            below in proptest::sample::select(vec![0, 1, b'!', b'0', 128]),
        ) {
            let is_one = |byte: &u8| *byte < below || matches!(byte, b';' | 0xa0);
            let expected = word.iter().position(is_one).unwrap_or(WORD);
            prop_assert_eq!(leading(&word, below, [b';', 0xa0]), expected);
        }
    }
}
