//! Exceptions of what a list names, and what it takes off again.

use std::collections::BTreeSet;

use secbeat_common::prefix::Prefix;

use super::{Found, Listed, MAX_LISTED};
use crate::{keys::is_over, ranges::Ranges, target};

/// Most exceptions of what stands behind them.
const MAX_EARLIER: usize = 1000;
/// Invalid lines of which it is said which exception is the cause.
const NAMED: usize = 100;
/// What is said where an exception lies in an entry.
pub(super) const CUT: &str = "exceptions within listed networks, which are cut out of them";

/// How a list leaves a network out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// No entry holds it.
    Always,
    /// It was listed once: an entry for it stays, and one around it does not hold it.
    Once,
    /// It is listed no longer, but may be again further down.
    UntilHere,
}

impl Out {
    /// By the name of what lists those that are left out: `expired`, `removed`.
    pub(crate) fn by(name: &str) -> Self {
        if is_over(name) { Self::Once } else { Self::Always }
    }
}

/// Position of a rule of a firewall. Other lists have one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    table: String,
    /// Empty for all chains of the table.
    chain: String,
}

impl Place {
    fn holds(&self, other: &Self) -> bool {
        self.table == other.table && (self.chain.is_empty() || self.chain == other.chain)
    }
}

impl Found {
    /// Notes the networks that `text` names as exceptions: no entry holds them, however wide it is.
    pub(crate) fn except(&mut self, line: u64, text: &str) {
        let networks = target::networks(text).unwrap_or_default();
        if networks.len() + self.exceptions.len() > MAX_LISTED {
            self.refused = Some(format!("it has more than {MAX_LISTED} exceptions"));
            return;
        }
        self.exceptions
            .extend(networks.into_iter().map(|network| (line, network)));
    }

    /// Notes how the networks are left out that `text` names.
    pub(crate) fn leave_out(&mut self, how: Out, line: u64, text: &str) {
        let until = match how {
            Out::Always => return self.except(line, text),
            Out::Once => 0,
            Out::UntilHere => self.entries.len(),
        };
        if self.taken_off.len() > MAX_LISTED {
            self.refused = Some(format!("it takes off more than {MAX_LISTED} entries"));
            return;
        }
        for network in target::networks(text).unwrap_or_default() {
            let known = self.taken_off.entry(network).or_insert((line, until));
            known.1 = known.1.max(until);
        }
    }

    /// The rules that follow stand in `chain` of `table`.
    pub(crate) fn stand_in(&mut self, table: &str, chain: &str) {
        if self.place.table == table && self.place.chain == chain {
            return;
        }
        self.place = Place {
            table: table.to_owned(),
            chain: chain.to_owned(),
        };
        self.note_earlier();
    }

    fn note_earlier(&mut self) {
        let here = self
            .earlier
            .iter()
            .filter(|(_, _, place)| place.holds(&self.place));
        self.earlier_ranges = Ranges::of(here.map(|(_, network, _)| *network));
    }

    /// Notes the networks that `text` names as exceptions of what follows them in the same table: in such lists the first rule
    /// counts.
    pub(crate) fn except_from_now_on(&mut self, line: u64, text: &str) {
        let place = Place {
            table: self.place.table.clone(),
            chain: String::new(),
        };
        self.except_in(&place, line, text);
    }

    /// Excepts the networks of `text` from what follows them in the same chain.
    pub(crate) fn except_in_chain(&mut self, line: u64, text: &str) {
        let place = self.place.clone();
        self.except_in(&place, line, text);
    }

    fn except_in(&mut self, place: &Place, line: u64, text: &str) {
        let networks = target::networks(text).unwrap_or_default();
        if networks.len() + self.earlier.len() > MAX_EARLIER {
            return self.bad(
                line,
                format!("more than {MAX_EARLIER} exceptions stand before what they except"),
            );
        }
        let networks = networks.into_iter();
        self.earlier
            .extend(networks.map(|network| (line, network, place.clone())));
        self.note_earlier();
    }

    /// Leaves out the entries that the list takes off. What it takes off without naming it is an exception of what is around it.
    fn settle(&mut self) {
        if self.taken_off.is_empty() {
            return;
        }
        let taken_off = std::mem::take(&mut self.taken_off);
        let listed: BTreeSet<Prefix> = self.entries.iter().map(|entry| entry.network).collect();
        for (network, (line, _)) in &taken_off {
            if !listed.contains(network) {
                self.exceptions.push((*line, *network));
            }
        }
        let mut number = 0;
        self.entries.retain(|entry| {
            number += 1;
            taken_off
                .get(&entry.network)
                .is_none_or(|(_, until)| number > *until)
        });
    }

    /// Cuts the exceptions out of the entries. An entry of which nothing is left is an invalid line.
    pub(crate) fn cut(&mut self) {
        self.settle();
        if self.exceptions.is_empty() {
            return;
        }
        let excepted = Ranges::of(self.exceptions.iter().map(|(_, network)| *network));
        let (mut kept, mut is_cut) = (Vec::with_capacity(self.entries.len()), false);
        for entry in std::mem::take(&mut self.entries) {
            if !excepted.touches(&entry.network) {
                kept.push(entry);
                continue;
            }
            if let Some(left) = self.left_of(&entry, &excepted) {
                is_cut = true;
                kept.extend(left);
            }
            // Many of them in many wide networks are too many to read on.
            if kept.len() > MAX_LISTED {
                break;
            }
        }
        self.entries = kept;
        if is_cut {
            self.pass_over(CUT);
        }
    }

    /// Returns what is left of an entry without the networks `excepted`; `None` if that is nothing, which is said.
    pub(super) fn left_of(&mut self, entry: &Listed, excepted: &Ranges) -> Option<Vec<Listed>> {
        let left = excepted.left_of(&entry.network);
        if left.is_empty() {
            // Nobody reads where thousands are.
            let earlier = self.earlier.iter();
            let earlier = earlier.filter(|(_, _, place)| place.holds(&self.place));
            let earlier = earlier.map(|(line, network, _)| (*line, *network));
            let mut known = self.exceptions.iter().copied().chain(earlier);
            let meets = |network: &Prefix| network.covers(&entry.network) || entry.network.covers(network);
            let by = match self.bad.len() < NAMED {
                true => known.find(|(_, network)| meets(network)),
                false => None,
            };
            let by_line = by.map(|(line, _)| format!(" (line {line})")).unwrap_or_default();
            self.bad(
                entry.line,
                format!("{} is an exception of the list{by_line}", entry.network),
            );
            return None;
        }
        let left = left.into_iter().map(|network| Listed {
            network,
            ..entry.clone()
        });
        Some(left.collect())
    }
}
