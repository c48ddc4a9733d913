//! Index of the literals of one field.

use std::collections::BTreeMap;

use crate::{
    condition::{Check, Value},
    scratch::Scratch,
    sieve::Sieve,
};

/// Most literals that a text is compared with at a glance.
const MAX_GLANCES: u32 = 256;

/// What is looked for in one field.
#[derive(Debug)]
pub(crate) struct Index {
    sieve: Sieve,
    literals: Vec<Literal>,
}

#[derive(Debug)]
struct Literal {
    text: Vec<u8>,
    probes: Vec<Probe>,
}

/// A condition that a literal may lead to.
#[derive(Debug)]
struct Probe {
    condition: u32,
    signature: u32,
    check: Check,
}

/// The literals of one field, each with its probes, while a matcher is built.
#[derive(Debug, Default)]
pub(crate) struct Literals(BTreeMap<Vec<u8>, Vec<Probe>>);

impl Literals {
    /// Enters those by which a condition of a signature is found to hold, since its field has `value`.
    pub(crate) fn add(&mut self, value: &Value, condition: u32, signature: u32) {
        for literal in &value.literals {
            self.0.entry(literal.clone()).or_default().push(Probe {
                condition,
                signature,
                check: value.check.clone(),
            });
        }
    }
}

impl Index {
    /// `None` where there is nothing to look for.
    pub(crate) fn of(Literals(literals): Literals) -> Option<Self> {
        if literals.is_empty() {
            return None;
        }
        let literals: Vec<_> = literals
            .into_iter()
            .map(|(text, mut probes)| {
                // Those that cost most come last.
                probes.sort_by_key(|probe| probe.check.is_expression());
                Literal { text, probes }
            })
            .collect();
        let texts: Vec<_> = literals.iter().map(|literal| &literal.text[..]).collect();
        Some(Self {
            sieve: Sieve::of(&texts),
            literals,
        })
    }

    /// Bytes of memory that it takes, but for expressions, which it shares.
    pub(crate) fn memory(&self) -> usize {
        let of = |literal: &Literal| {
            size_of::<Literal>() + literal.text.capacity() + literal.probes.capacity() * size_of::<Probe>()
        };
        self.sieve.memory() + self.literals.iter().map(of).sum::<usize>()
    }

    /// Whether `text`, in whichever case, has a literal, or so much that is like one that it is not told at a glance.
    #[inline]
    pub(crate) fn has_any(&self, text: &[u8]) -> bool {
        let mut left = MAX_GLANCES;
        self.sieve.any(text, |literal, begin, is_likely| {
            left -= 1;
            let is_there = || {
                let literal = &self.literals[literal].text;
                let there = text.get(begin..begin + literal.len());
                there.is_some_and(|there| there.eq_ignore_ascii_case(literal))
            };
            left == 0 || is_likely && is_there()
        })
    }

    /// Notes the conditions that hold of `text`, which is in lower case.
    pub(crate) fn search(&self, text: &[u8], scratch: &mut Scratch) {
        self.sieve.any(text, |literal, begin, is_likely| {
            if !scratch.spend_place() {
                return true;
            }
            if !is_likely {
                return false;
            }
            let literal = &self.literals[literal];
            let there = text.get(begin..).unwrap_or_default();
            if there.starts_with(&literal.text) {
                let end = begin + literal.text.len();
                for probe in &literal.probes {
                    if !probe.look(text, begin, end, scratch) {
                        // Neither could one that costs as much.
                        break;
                    }
                }
            }
            false
        });
    }
}

impl Probe {
    /// Notes its condition, if that holds for the literal from `begin` to `end`. Returns whether it could still be looked into.
    fn look(&self, text: &[u8], begin: usize, end: usize, scratch: &mut Scratch) -> bool {
        if scratch.holds(self.condition) {
            return true;
        }
        let is_left = scratch.spend(self.check.cost(text, begin, end));
        if is_left && self.check.holds(text, begin, end) {
            scratch.note(self.condition, self.signature);
        }
        is_left
    }
}
