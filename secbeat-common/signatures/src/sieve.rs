//! A quick look whether a text can have any of many literals: most have none, and need no automaton.

/// Bytes of a literal that are looked for.
const GRAM: usize = 4;
/// Bits of the table, as a power of two.
const BITS: u32 = 17;

/// A Bloom filter with one hash function over one [`GRAM`] of each literal, its rarest.
#[derive(Debug)]
pub(crate) struct Sieve {
    words: Vec<u64>,
}

impl Sieve {
    /// Literals have at least three bytes.
    pub(crate) fn of<'a>(literals: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut sieve = Self {
            words: vec![0; 1 << (BITS - 6)],
        };
        for literal in literals {
            match literal.windows(GRAM).min_by_key(|gram| commonness(gram)) {
                Some(gram) => sieve.insert(gram),
                None => (0..=u8::MAX).for_each(|next| sieve.insert(&[literal, &[next]].concat())),
            }
        }
        sieve
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&self.words[..])
    }

    fn insert(&mut self, gram: &[u8]) {
        let bit = bit(gram);
        self.words[(bit >> 6) as usize] |= 1 << (bit & 63);
    }

    /// Whether `text` may have one of the literals. If not, it has none.
    pub(crate) fn may_hold(&self, text: &[u8]) -> bool {
        // Without a branch, so that the processor looks at several places at a time.
        let look = |found: u64, gram: &[u8]| {
            let bit = bit(gram);
            found | self.words[(bit >> 6) as usize] >> (bit & 63)
        };
        let found = text.windows(GRAM).fold(0, look);
        // A literal of three bytes may be at the end.
        let end = match text.last_chunk::<3>() {
            Some([a, b, c]) => look(0, &[*a, *b, *c, 0]),
            None => 0,
        };
        (found | end) & 1 != 0
    }
}

/// The bit of a gram, by multiplicative hashing (Knuth, TAOCP 6.4).
fn bit(gram: &[u8]) -> u32 {
    let bytes = [gram[0], gram[1], gram[2], gram[3]];
    u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1) >> (32 - BITS)
}

/// How often such bytes follow each other in requests, roughly.
fn commonness(gram: &[u8]) -> u32 {
    let of = |byte: u8| match byte {
        b'e' | b'a' | b'i' | b'o' | b'n' | b't' | b's' | b'r' => 9,
        b'l' | b'c' | b'd' | b'm' | b'p' | b'u' | b'g' | b'h' | b'/' => 7,
        b'.' | b'-' | b'=' | b'0'..=b'9' | b'a'..=b'z' => 5,
        b'_' | b'%' | b'&' | b' ' => 3,
        _ => 1,
    };
    gram.iter().map(|byte| of(*byte)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_a_text_has_is_never_overlooked(
            literals in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 3..12), 1..20),
            before in proptest::collection::vec(any::<u8>(), 0..20),
            after in proptest::collection::vec(any::<u8>(), 0..20),
            which in any::<prop::sample::Index>(),
        ) {
            let sieve = Sieve::of(literals.iter().map(Vec::as_slice));
            let literal = &literals[which.index(literals.len())];
            let text = [&before[..], literal, &after].concat();
            prop_assert!(sieve.may_hold(&text));
        }
    }

    #[test]
    fn what_has_nothing_in_common_with_any_is_passed_over() {
        let sieve = Sieve::of([&b"/.git/config"[..], b"union select", b"../"].into_iter());
        for text in [
            &b""[..],
            b"/",
            b"ab",
            b"/shop/article-12/details",
            b"page=3&sort=date",
        ] {
            assert!(!sieve.may_hold(text));
        }
        assert!(sieve.may_hold(b"/a/../"));
    }
}
