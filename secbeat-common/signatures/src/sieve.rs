//! Prefilter for the places in a text where any of many literals may be: each has a place by which it is found, and most texts
//! have none of these.

use std::collections::{HashMap, HashSet};

use crate::blocks::{self, PLACES};

/// Bytes by which a literal is found.
const GRAM: usize = 4;
/// Only each such place of a text is looked at: a literal has a gram at one of them, wherever it begins.
const STRIDE: usize = 2;
/// Bits of the filter, as a power of two: few of them are set by a few thousand literals, so that few places are taken for one.
const BITS: u32 = 20;
/// Bits of the filter that are used for each gram in it, at least: those of a few literals stay in a processor's nearest cache.
const BITS_PER_GRAM: usize = 64;
/// Words of the filter.
const WORDS: usize = 1 << (BITS - 6);

/// Texts that ordinary requests are full of, of whichever field.
const ORDINARY: [&[u8]; 32] = [
    b"/images/",
    b"/static/",
    b"/assets/",
    b"/style",
    b"/files/",
    b"/blog/",
    b"/articles/",
    b"/category/",
    b"/tags/",
    b"/pages/",
    b"/products/",
    b"/shop/items/",
    b"/users/",
    b"/api/v1/",
    b"/docs/",
    b"/download",
    b"/search?q=",
    b"/index.html",
    b"/index.php",
    b".jpg",
    b".png",
    b"http://www.",
    b"https://",
    b".com/",
    b".org/",
    b"google.",
    b"mozilla/5.0 (compatible",
    b"(windows nt 10.0",
    b"(x11; linux x86_64",
    b" applewebkit/537.36 (khtml, like gecko) chrome/",
    b" safari/537.36",
    b" gecko/20100101 firefox/",
];
/// How much more common a gram of these is.
const IS_ORDINARY: u32 = 16;
/// How much rarer a gram has to be for each literal that has it already, as [`commonness`] has it.
const CROWDED: u32 = 8;

/// Finds places of literals. Letters count as the same in both cases.
#[derive(Debug)]
pub(crate) struct Sieve {
    /// A Bloom filter with one hash function over the grams of all literals.
    filter: Box<[u64; WORDS]>,
    /// The bits of a hash that tell places of the filter apart: of fewer grams, fewer places.
    mask: usize,
    /// By bucket, of grams by their hash: where its anchors begin. The next one begins where they end.
    buckets: Vec<u32>,
    bucket_bits: u32,
    anchors: Vec<Found>,
    /// By byte: whether an anchor whose last byte is any has it as its third.
    thirds: [bool; 256],
    /// By byte: whether an anchor whose first byte is any has it as its last.
    lasts: [bool; 256],
}

/// Where in a literal one of its grams is. Literals too short for two grams have some of which one byte may be any: it counts as 0.
#[derive(Debug, Default)]
struct Anchor {
    gram: u32,
    /// -1 where the gram begins with the byte before the literal.
    offset: i32,
    literal: u32,
    /// The place in the gram of the byte that may be any.
    any: Option<usize>,
}

/// What an anchor's gram leads to.
#[derive(Debug)]
struct Found {
    gram: u32,
    /// A further gram of the literal, as far from the first as there is one; 0, which no gram is, in a literal that is shorter than one.
    further: u32,
    literal: u32,
    /// The first gram's place in the literal.
    offset: i16,
    /// The further one's.
    further_at: i16,
}

impl Found {
    fn of(anchor: &Anchor, text: &[u8]) -> Self {
        let last = text.len().saturating_sub(GRAM);
        let further_at = match anchor.offset.max(0) as usize * 2 < last {
            true => last,
            false => 0,
        };
        Self {
            gram: anchor.gram,
            further: gram_at(text, further_at).unwrap_or(0),
            literal: anchor.literal,
            offset: anchor.offset as i16,
            further_at: further_at as i16,
        }
    }

    /// Where in `text` the literal begins, if it does, and whether its further gram is there.
    #[inline]
    fn begin(&self, text: &[u8], at: usize) -> Option<(usize, bool)> {
        let begin = at.checked_add_signed(-isize::from(self.offset))?;
        let is_likely =
            self.further == 0 || gram_at(text, begin + self.further_at as usize) == Some(self.further);
        Some((begin, is_likely))
    }
}

impl Sieve {
    /// Of literals in lower case, of at least three bytes.
    pub(crate) fn of(literals: &[&[u8]]) -> Self {
        let mut anchors = anchors(literals);
        let bucket_bits = (anchors.len() * 2).next_power_of_two().ilog2().max(1);
        let bucket = |anchor: &Anchor| hash(anchor.gram, bucket_bits);
        anchors.sort_by_key(|anchor| (bucket(anchor), anchor.literal));
        let begin = |number| anchors.partition_point(|anchor| bucket(anchor) < number) as u32;
        let grams: usize = anchors
            .iter()
            .map(|anchor| if anchor.any.is_some() { 256 } else { 1 })
            .sum();
        let mut sieve = Self {
            filter: Box::new([0; WORDS]),
            mask: (grams * BITS_PER_GRAM).next_power_of_two().min(1 << BITS) - 1,
            buckets: (0..=1 << bucket_bits).map(begin).collect(),
            bucket_bits,
            anchors: Vec::new(),
            thirds: [false; 256],
            lasts: [false; 256],
        };
        for anchor in &anchors {
            sieve.insert(anchor.gram);
            let [_, _, third, last] = anchor.gram.to_le_bytes();
            match anchor.any {
                None => continue,
                Some(0) => sieve.lasts[usize::from(last)] = true,
                Some(_) => sieve.thirds[usize::from(third)] = true,
            }
            for byte in 0..=u8::MAX {
                let mut other = [0; GRAM];
                other[anchor.any.unwrap_or_default()] = byte;
                sieve.insert(anchor.gram | folded(other));
            }
        }
        let found = |anchor: &Anchor| Found::of(anchor, literals[anchor.literal as usize]);
        sieve.anchors = anchors.iter().map(found).collect();
        sieve
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&self.filter[..]) + size_of_val(&self.buckets[..]) + size_of_val(&self.anchors[..])
    }

    fn insert(&mut self, gram: u32) {
        let (word, bit) = self.place_of(gram);
        self.filter[word] |= 1 << bit;
    }

    /// The word of the filter and the bit in it.
    #[inline]
    fn place_of(&self, gram: u32) -> (usize, usize) {
        let bit = hash(gram, BITS) & self.mask;
        (bit >> 6, bit & 63)
    }

    #[inline]
    fn has(&self, gram: u32) -> bool {
        let (word, bit) = self.place_of(gram);
        self.filter[word] >> bit & 1 != 0
    }

    /// Calls `look` for each place of `text` where a literal may begin, until it returns `true`, with the literal's number, the place, and
    /// whether more of it was compared; otherwise it is not there. Returns whether `look` did. A literal begins at no other place.
    #[inline]
    pub(crate) fn any(&self, text: &[u8], mut look: impl FnMut(usize, usize, bool) -> bool) -> bool {
        let is_found = blocks::any::<{ PLACES + GRAM - 1 }>(text, 0, |block, begin, known| {
            let mut found = self.filtered(block, begin % STRIDE) >> known << known;
            while found != 0 {
                let place = found.trailing_zeros() as usize;
                found &= found - 1;
                if self.look(text, gram(block, place), begin + place, &mut look) {
                    return true;
                }
            }
            false
        });
        // A literal that is shorter than a gram may be at the end of a text that is longer than a block.
        match text.last_chunk() {
            Some([a, b, c]) if !is_found && text.len() >= PLACES + GRAM - 1 => {
                self.look_for_short(text, [*a, *b, *c], text.len() - 3, &mut look)
            }
            _ => is_found,
        }
    }

    /// The places of a block, from `first` on, that are looked at and have a gram that the filter has, as bits.
    #[inline]
    fn filtered(&self, block: &[u8; PLACES + GRAM - 1], first: usize) -> u32 {
        let mut found = 0;
        // Without a branch, so that the processor looks at several places at a time.
        for step in 0..PLACES / STRIDE {
            let place = first % STRIDE + step * STRIDE;
            let (word, bit) = self.place_of(gram(block, place));
            found |= ((self.filter[word] >> bit) as u32 & 1) << place;
        }
        found
    }

    #[inline]
    fn look(
        &self,
        text: &[u8],
        gram: u32,
        at: usize,
        look: &mut impl FnMut(usize, usize, bool) -> bool,
    ) -> bool {
        let [a, b, c, d] = gram.to_le_bytes();
        self.look_for(text, gram, at, look)
            || self.look_for_short(text, [a, b, c], at, look)
            || self.lasts[usize::from(d)] && self.look_for_any(text, folded([0, b, c, d]), at, look)
    }

    /// Looks for anchors whose last byte may be any.
    #[inline]
    fn look_for_short(
        &self,
        text: &[u8],
        [a, b, c]: [u8; 3],
        at: usize,
        look: &mut impl FnMut(usize, usize, bool) -> bool,
    ) -> bool {
        let gram = folded([a, b, c, 0]);
        self.thirds[usize::from(gram.to_le_bytes()[2])] && self.look_for_any(text, gram, at, look)
    }

    /// Looks for anchors with a byte that may be any, by the gram that has 0 there: the filter has it, too.
    #[inline]
    fn look_for_any(
        &self,
        text: &[u8],
        gram: u32,
        at: usize,
        look: &mut impl FnMut(usize, usize, bool) -> bool,
    ) -> bool {
        self.has(gram) && self.look_for(text, gram, at, look)
    }

    #[inline]
    fn look_for(
        &self,
        text: &[u8],
        gram: u32,
        at: usize,
        look: &mut impl FnMut(usize, usize, bool) -> bool,
    ) -> bool {
        let bucket = hash(gram, self.bucket_bits);
        let range = self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize;
        let mut found = self.anchors[range].iter().filter(|found| found.gram == gram);
        found.any(|found| {
            let begin = found.begin(text, at);
            begin.is_some_and(|(begin, is_likely)| look(found.literal as usize, begin, is_likely))
        })
    }
}

/// The anchors of each literal: two grams that follow each other, rare ones of those that few others have. One of the two is at a place
/// that is looked at.
fn anchors(literals: &[&[u8]]) -> Vec<Anchor> {
    let mut order: Vec<_> = (0..literals.len()).collect();
    // Those that have little choice first.
    order.sort_by_key(|literal| literals[*literal].len());
    let mut used: HashMap<u32, u32> = HashMap::new();
    let ordinary: HashSet<u32> = ORDINARY
        .iter()
        .flat_map(|text| text.windows(GRAM).filter_map(|gram| gram_at(gram, 0)))
        .collect();
    let mut anchors = Vec::with_capacity(2 * literals.len());
    for number in order {
        let literal = number as u32;
        let of = |gram: [u8; GRAM], offset, any| Anchor {
            gram: folded(gram),
            offset,
            literal,
            any,
        };
        let pair = match *literals[number] {
            [a, b, c] => [of([a, b, c, 0], 0, Some(3)), of([0, a, b, c], -1, Some(0))],
            [a, b, c, d] => [of([a, b, c, d], 0, None), of([0, a, b, c], -1, Some(0))],
            ref text => {
                let pairs = text.windows(GRAM + 1).enumerate().map(|(offset, bytes)| {
                    let [a, b, c, d, e] = bytes.first_chunk().copied().unwrap_or_default();
                    let offset = offset as i32;
                    [of([a, b, c, d], offset, None), of([b, c, d, e], offset + 1, None)]
                });
                let cost = |pair: &[Anchor; 2]| -> u32 {
                    let of = |anchor: &Anchor| {
                        let crowd = used.get(&anchor.gram).copied().unwrap_or_default();
                        let ordinary = u32::from(ordinary.contains(&anchor.gram));
                        commonness(anchor.gram) + IS_ORDINARY * ordinary + CROWDED * crowd
                    };
                    pair.iter().map(of).sum()
                };
                pairs.min_by_key(cost).unwrap_or_default()
            }
        };
        pair.iter()
            .for_each(|anchor| *used.entry(anchor.gram).or_default() += 1);
        anchors.extend(pair);
    }
    anchors
}

#[inline]
fn gram<const N: usize>(block: &[u8; N], place: usize) -> u32 {
    let bytes = block[place..].first_chunk().copied();
    folded(bytes.unwrap_or_default())
}

/// The gram of `text` at a place, if it has one there.
#[inline]
fn gram_at(text: &[u8], place: usize) -> Option<u32> {
    text.get(place..)?.first_chunk().copied().map(folded)
}

/// Letters of both cases as the same, and some other bytes too.
#[inline]
fn folded(gram: [u8; GRAM]) -> u32 {
    u32::from_le_bytes(gram) | 0x2020_2020
}

/// The highest `bits` bits of a product, which are its best (Knuth, TAOCP 6.4). It has 64 bits: compilers make slow vectors of shorter ones.
#[inline]
fn hash(gram: u32, bits: u32) -> usize {
    (u64::from(gram).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - bits)) as usize
}

/// How often the bytes of a gram follow each other in requests, roughly.
fn commonness(gram: u32) -> u32 {
    let of = |byte: u8| -> u32 {
        match byte {
            b'e' | b'a' | b'i' | b'o' | b'n' | b't' | b's' | b'r' => 9,
            b'l' | b'c' | b'd' | b'm' | b'p' | b'u' | b'g' | b'h' | b'/' => 7,
            b'.' | b'-' | b'=' | b'0'..=b'9' | b'a'..=b'z' => 5,
            // The one that `_` is folded to, too.
            0x7f | b'%' | b'&' | b' ' => 3,
            _ => 1,
        }
    };
    gram.to_le_bytes().into_iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(sieve: &Sieve, literals: &[&[u8]], text: &[u8]) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        sieve.any(text, |literal, begin, is_likely| {
            let there = text.get(begin..).unwrap_or_default();
            let is_there = is_likely && there.starts_with(literals[literal]);
            places.extend(is_there.then_some((begin, literal)));
            false
        });
        places.sort_unstable();
        places.dedup();
        places
    }

    proptest! {
        #[test]
        fn each_place_of_each_literal_is_found(
            literals in proptest::collection::btree_set(proptest::collection::vec(proptest::sample::select(b"ab./\0c".to_vec()), 3..9), 1..20),
            text in proptest::collection::vec(proptest::sample::select(b"ab./\0c".to_vec()), 0..80),
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
        ) {
            let literals: Vec<&[u8]> = literals.iter().map(Vec::as_slice).collect();
            let mut text = text;
            let at = at.index(text.len() + 1);
            text.splice(at..at, literals[which.index(literals.len())].iter().copied());
            let expected: Vec<_> = (0..text.len())
                .flat_map(|begin| (0..literals.len()).map(move |literal| (begin, literal)))
                .filter(|(begin, literal)| text[*begin..].starts_with(literals[*literal]))
                .collect();
            prop_assert_eq!(places(&Sieve::of(&literals), &literals, &text), expected);
        }
    }

    #[test]
    fn what_has_nothing_in_common_with_any_is_passed_over() {
        let literals = [&b"/.git/config"[..], b"union select", b"../"];
        let sieve = Sieve::of(&literals);
        for text in [
            &b""[..],
            b"/",
            b"ab",
            b"/shop/article-12/details",
            b"page=3&sort=date",
        ] {
            assert!(!sieve.any(text, |_, _, _| true));
        }
        assert!(sieve.any(b"/a/../", |_, _, _| true));
        assert!(sieve.any(b"/A/.GIT/config", |_, _, _| true));
    }

    #[test]
    fn a_place_that_lacks_more_of_a_literal_is_told() {
        let literal = &b"/zq-admin/setup.cgi"[..];
        let sieve = Sieve::of(&[literal]);
        for (text, expected) in [(literal, true), (b"/zq-admin/setup.cgx", false)] {
            let mut told = Vec::new();
            sieve.any(text, |_, begin, is_likely| {
                told.push((begin, is_likely));
                false
            });
            assert_eq!(told, [(0, expected)]);
        }
    }

    #[test]
    fn what_ordinary_requests_are_full_of_is_not_looked_for_where_there_is_more() {
        let sieve = Sieve::of(&[&b"google.saints"[..]]);
        assert!(!sieve.any(b"http://www.google.com/", |_, _, _| true));
        assert!(sieve.any(b"http://www.google.saints/", |_, _, _| true));
    }
}
