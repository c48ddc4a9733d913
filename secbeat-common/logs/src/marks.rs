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
        let mut marks = find_special(block) >> (at - begin);
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

/// Goes forward through the quotes and backslashes of a text: a whole block is looked at when the first of its bytes is asked for.
#[derive(Debug, Default)]
pub(super) struct Specials {
    /// Where the block begins that was looked at last.
    begin: usize,
    /// Bytes that it has; none at first.
    len: usize,
    /// A bit for each of them that is a quote or a backslash.
    marks: u64,
}

impl Specials {
    /// The first one of `text`, which is always the same, at `from` or after it.
    #[inline]
    pub(super) fn find(&mut self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let offset = at.wrapping_sub(self.begin);
            if offset < self.len {
                let marks = self.marks >> offset;
                if marks != 0 {
                    return Some(at + marks.trailing_zeros() as usize);
                }
                at = self.begin + self.len;
            }
            match text.get(at..).and_then(<[u8]>::first_chunk) {
                Some(block) => {
                    (self.begin, self.len) = (at, BLOCK);
                    self.marks = find_special(block);
                }
                None if at < text.len() => self.look_at_rest(text, at),
                None => return None,
            }
        }
    }

    /// Looks at what is left of a text, which is less than a block.
    fn look_at_rest(&mut self, text: &[u8], at: usize) {
        if let Some(block) = text.last_chunk() {
            (self.begin, self.len) = (text.len() - BLOCK, BLOCK);
            self.marks = find_special(block);
            return;
        }
        let mut block = [0; BLOCK];
        let rest = &text[at..];
        for (to, from) in block.iter_mut().zip(rest) {
            *to = *from;
        }
        (self.begin, self.len) = (at, rest.len());
        self.marks = find_special(&block);
    }
}

/// A bit for each byte that is a quote or a backslash, the first byte's the lowest.
#[inline]
fn find_special(block: &[u8; BLOCK]) -> u64 {
    // Compilers make vectors of this loop.
    let mut marks = [0; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    }
    let (words, _) = marks.as_chunks::<8>();
    words
        .iter()
        .rev()
        .fold(0, |found, word| found << 8 | gather(u64::from_le_bytes(*word)))
}

/// A byte, eight times.
pub(super) const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
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
        fn each_quote_and_backslash_is_found_from_anywhere_before_it(
            text in proptest::collection::vec(prop_oneof![20 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')], 0..300),
            steps in proptest::collection::vec(0..90_usize, 1..20),
        ) {
            let (mut specials, mut from) = (Specials::default(), 0);
            for step in steps {
                let expected = (from..text.len()).find(|at| b"\"\\".contains(&text[*at]));
                prop_assert_eq!(specials.find(&text, from), expected);
                from += step;
            }
        }

        #[test]
        fn a_block_has_a_bit_for_each_quote_and_backslash(
            block in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\')], BLOCK),
        ) {
            let block: [u8; BLOCK] = block.try_into().unwrap();
            let bits = block.iter().rev().fold(0, |bits: u64, byte| bits << 1 | u64::from(b"\"\\".contains(byte)));
            prop_assert_eq!(find_special(&block), bits);
        }
    }
}
