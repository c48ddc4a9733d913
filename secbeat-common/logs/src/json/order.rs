//! The keys of the last object in their order, since a server writes them all in the same one.

mod usual;

use std::cell::RefCell;

use self::usual::Usual;
use super::{
    keys::{Place, Tree, TreeId},
    peer::Of,
};

/// Keys that are remembered.
const MAX_KEYS: usize = 64;
/// Longest name that is, in bytes.
const MAX_NAME: usize = 64;

/// What the keys of the last object were.
#[derive(Debug, Default)]
pub(super) struct Order {
    tree: TreeId,
    keys: Vec<KnownKey>,
    pub(super) usual: Usual,
}

/// Whether `text` begins with `known`; in words, since a call takes longer than to compare so few bytes.
#[inline]
fn begins_with(text: &[u8], known: &[u8]) -> bool {
    let Some(text) = text.get(..known.len()) else {
        return false;
    };
    let (Some(last), Some(last_known)) = (text.last_chunk::<8>(), known.last_chunk()) else {
        return text == known;
    };
    let (words, words_known) = (text.as_chunks::<8>().0, known.as_chunks::<8>().0);
    let are_equal =
        |(one, other): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other);
    are_equal((last, last_known)) && words.iter().zip(words_known).all(are_equal)
}

#[derive(Debug)]
struct KnownKey {
    /// The object that it is in.
    node: u16,
    /// As it is written, with the quote that closes it and a colon.
    text: Vec<u8>,
    place: Option<Place>,
    /// By its name.
    of: Of,
}

impl Order {
    /// Runs `read` with what this thread remembers of a tree.
    #[inline]
    pub(super) fn of<R>(tree: TreeId, read: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static LAST: RefCell<Order> = RefCell::default();
        }
        LAST.with_borrow_mut(|order| {
            if order.tree != tree {
                order.tree = tree;
                order.keys.clear();
                order.usual = Usual::default();
            }
            read(order)
        })
    }

    /// Whether `text`, which follows the quote that opens a key of `node`, begins with the key that was in place `nth` before. If
    /// so, the key's place in the tree, if it is asked for, whose address it may be, and the length of its name with the closing quote
    /// and the colon.
    #[inline]
    pub(super) fn recognize(&self, nth: usize, node: u16, text: &[u8]) -> Option<(Option<Place>, Of, usize)> {
        let known = self.keys.get(nth)?;
        let is_same = known.node == node && begins_with(text, &known.text);
        is_same.then_some((known.place, known.of, known.text.len()))
    }

    /// Remembers the key in place `nth`, which stands there as `name` and without escapes.
    #[cold]
    pub(super) fn note(&mut self, nth: usize, node: u16, name: &[u8], place: Option<Place>, of: Of) {
        self.usual.forget();
        if name.len() > MAX_NAME || nth > self.keys.len() || nth >= MAX_KEYS {
            return;
        }
        let mut text = Vec::with_capacity(name.len() + 2);
        text.extend_from_slice(name);
        text.extend_from_slice(b"\":");
        let known = KnownKey {
            node,
            text,
            place,
            of,
        };
        match self.keys.get_mut(nth) {
            Some(before) => *before = known,
            None => self.keys.push(known),
        }
    }

    /// Takes the first `count` keys as those of a whole object.
    pub(super) fn learn(&mut self, count: usize, tree: &Tree) {
        if let Some(keys) = self.keys.get(..count) {
            self.usual.learn(keys, tree);
        }
    }
}
