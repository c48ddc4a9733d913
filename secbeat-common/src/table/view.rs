//! A table that is in force: its networks, and what can be changed in place.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{LIVE, Line, MAGIC, RECORDS, Record, V4, V6, WORDS};
use crate::{maps::Ban, prefix::Prefix};

/// The words of a table, which the program may read and count in meanwhile. One process at a time changes it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    words: &'a [AtomicU64],
}

/// The stretches of one family.
#[derive(Clone, Copy)]
struct Stretches {
    at: usize,
    len: usize,
    is_v4: bool,
}

/// The first and the last address of a network.
pub(crate) fn bounds(net: &Prefix) -> (u128, u128) {
    let (first, bits) = match net.addr() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let behind = bits - u32::from(net.len());
    (first, first | u128::MAX.checked_shr(128 - behind).unwrap_or(0))
}

impl<'a> View<'a> {
    /// Opens a table; `None` if these words are not a table of this release.
    #[must_use]
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        let view = Self { words };
        let (first, records) = view.records();
        let lines = words.len() / WORDS;
        (words.len() >= super::BODY as usize && view.word(0) == MAGIC && first.checked_add(records)? <= lines)
            .then_some(view)
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set(&self, at: usize, value: u64) {
        if let Some(word) = self.words.get(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// The first line of the records, and their number.
    fn records(&self) -> (usize, usize) {
        (self.word(RECORDS) as usize, self.word(RECORDS + 1) as usize)
    }

    fn record(&self, number: usize) -> Record {
        let line = (self.records().0 + number) * WORDS;
        let words = std::array::from_fn(|word| self.word(line + word));
        Record::from_line(&Line { words })
    }

    /// The number of the record of `net`, or of the first one behind it.
    fn search(&self, net: &Prefix) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.records().1);
        while low < high {
            let middle = low.midpoint(high);
            match self.record(middle).net() {
                Some(found) if found == *net => return Ok(middle),
                Some(found) if found < *net => low = middle + 1,
                _ => high = middle,
            }
        }
        Err(low)
    }

    fn find(&self, net: &Prefix) -> Option<(usize, Record)> {
        let number = self.search(net).ok()?;
        let record = self.record(number);
        (record.state == LIVE).then_some((number, record))
    }

    /// Returns how many networks it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        let records = 0..self.records().1;
        records
            .filter(|number| self.record(*number).state == LIVE)
            .count()
    }

    /// Number of networks when the table was built.
    #[must_use]
    pub fn built(&self) -> usize {
        self.records().1
    }

    /// The ban of exactly `net`.
    #[must_use]
    pub fn get(&self, net: &Prefix) -> Option<Ban> {
        self.find(net).map(|(_, record)| record.ban)
    }

    /// Its networks behind `last` in the order of prefixes, `most` of them at most.
    #[must_use]
    pub fn after(&self, last: Option<&Prefix>, most: usize) -> Vec<(Prefix, Ban)> {
        let first = match last.map(|last| self.search(last)) {
            None => 0,
            Some(Ok(number)) => number + 1,
            Some(Err(number)) => number,
        };
        let records = (first..self.records().1).map(|number| self.record(number));
        let live = records.filter(|record| record.state == LIVE);
        live.filter_map(|record| Some((record.net()?, record.ban)))
            .take(most)
            .collect()
    }

    /// Replaces the ban of `net` but for its counts; tells whether it holds one.
    #[must_use]
    pub fn update(&self, net: &Prefix, ban: &Ban) -> bool {
        let Some((number, known)) = self.find(net) else {
            return false;
        };
        let new = Record { ban: *ban, ..known }.to_line();
        let line = (self.records().0 + number) * WORDS;
        for word in [3, 4, 7] {
            self.set(line + word, new.words[word]);
        }
        true
    }

    /// Removes `net`: its addresses belong to the network around it from now on, or to none. Tells whether it was there.
    #[must_use]
    pub fn remove(&self, net: &Prefix) -> bool {
        let Some((number, known)) = self.find(net) else {
            return false;
        };
        let first_record = self.records().0;
        let line = |number: usize| (first_record + number) as u64;
        let wider = (0..net.len())
            .rev()
            .filter_map(|len| self.find(&net.widened(len)));
        let outer = wider.map(|(number, _)| line(number)).next().unwrap_or(0);
        let stretches = self.stretches(net.addr().is_ipv4());
        let (first, last) = bounds(net);
        let begin = self.partition(stretches, |start| start < first);
        let end = self.partition(stretches, |start| start <= last);
        for stretch in begin..end {
            if self.owner(stretches, stretch) == line(number) {
                self.set_owner(stretches, stretch, outer);
            }
        }
        let lifted = Record { state: 0, ..known }.to_line();
        self.set((first_record + number) * WORDS + 2, lifted.words[2]);
        true
    }

    fn stretches(&self, is_v4: bool) -> Stretches {
        let header = if is_v4 { V4 } else { V6 };
        Stretches {
            at: self.word(header) as usize,
            len: self.word(header + 1) as usize,
            is_v4,
        }
    }

    /// Returns how many of the stretches come first for which `holds` holds of their first addresses.
    fn partition(&self, of: Stretches, holds: impl Fn(u128) -> bool) -> usize {
        let (mut low, mut high) = (0, of.len);
        while low < high {
            let middle = low.midpoint(high);
            let start = if of.is_v4 {
                u128::from(self.word(of.at + middle) >> 32)
            } else {
                let at = (of.at + middle) * 4;
                u128::from(self.word(at)) << 64 | u128::from(self.word(at + 1))
            };
            if holds(start) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn owner(&self, of: Stretches, number: usize) -> u64 {
        if of.is_v4 {
            self.word(of.at + number) & u64::from(u32::MAX)
        } else {
            self.word((of.at + number) * 4 + 2)
        }
    }

    fn set_owner(&self, of: Stretches, number: usize, owner: u64) {
        if of.is_v4 {
            let at = of.at + number;
            self.set(at, self.word(at) & !u64::from(u32::MAX) | owner);
        } else {
            self.set((of.at + number) * 4 + 2, owner);
        }
    }
}

#[cfg(test)]
mod tests;
