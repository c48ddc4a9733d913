//! What is looked for in one field.

use std::collections::{BTreeMap, HashMap};

use aho_corasick::{
    Anchored, MatchKind, StartKind,
    automaton::{Automaton as _, StateID},
    dfa::DFA,
};

use crate::{
    condition::{Check, Value},
    scratch::Scratch,
    sieve::Sieve,
};

/// What is looked for in one field.
#[derive(Debug)]
pub(crate) struct Index {
    sieve: Sieve,
    automaton: DFA,
    start: StateID,
    /// By end: the literals with it.
    ends: Vec<Vec<Literal>>,
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
pub(crate) struct Literals(HashMap<Vec<u8>, Vec<Probe>>);

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

/// The automaton knows so many of the last bytes of a literal, so that it stays small; the others are compared.
const END: usize = 6;

impl Index {
    /// `None` where there is nothing to look for.
    pub(crate) fn of(Literals(literals): Literals) -> Result<Option<Self>, String> {
        if literals.is_empty() {
            return Ok(None);
        }
        let sieve = Sieve::of(literals.keys().map(Vec::as_slice));
        let mut ends: BTreeMap<Vec<u8>, Vec<Literal>> = BTreeMap::new();
        for (text, probes) in literals {
            let end = text[text.len().saturating_sub(END)..].to_vec();
            ends.entry(end).or_default().push(Literal { text, probes });
        }
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(ends.keys())
            .map_err(|error| error.to_string())?;
        let start = automaton
            .start_state(Anchored::No)
            .map_err(|error| error.to_string())?;
        Ok(Some(Self {
            sieve,
            automaton,
            start,
            ends: ends.into_values().collect(),
        }))
    }

    /// Bytes of memory that it takes, but for the literals themselves.
    pub(crate) fn memory(&self) -> usize {
        self.automaton.memory_usage() + self.sieve.memory()
    }

    /// Notes the conditions that hold of `text`.
    pub(crate) fn search(&self, text: &[u8], scratch: &mut Scratch) {
        if !self.sieve.may_hold(text) {
            return;
        }
        let mut state = self.start;
        for (at, byte) in text.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                self.look(state, text, at + 1, scratch);
            }
        }
    }

    /// Looks into the literals that end at `end`.
    #[cold]
    fn look(&self, state: StateID, text: &[u8], end: usize, scratch: &mut Scratch) {
        for match_index in 0..self.automaton.match_len(state) {
            let pattern = self.automaton.match_pattern(state, match_index);
            let literals = self.ends[pattern.as_usize()].iter();
            for literal in literals.filter(|literal| text[..end].ends_with(&literal.text)) {
                for probe in &literal.probes {
                    probe.look(text, end - literal.text.len(), end, scratch);
                }
            }
        }
    }
}

impl Probe {
    /// Notes its condition, if that holds for the literal from `begin` to `end`.
    fn look(&self, text: &[u8], begin: usize, end: usize, scratch: &mut Scratch) {
        let is_new = !scratch.holds(self.condition);
        if is_new && scratch.spend(self.check.cost()) && self.check.holds(text, begin, end) {
            scratch.note(self.condition, self.signature);
        }
    }
}
