//! Every run of the program between two graces.

use super::{Crowd, History, MAPS, NOW, SETTING};
use crate::lane::{Memory, WORDS, find, is_over, lines_in_force};

/// What one run of the program loads.
struct Run<'a> {
    words: &'a dyn Fn(usize) -> u64,
    lines: u32,
}

impl Memory for Run<'_> {
    type Line = usize;

    fn line(&self, number: u32) -> Option<usize> {
        (number <= self.lines).then_some(number as usize)
    }

    fn key(&self, line: usize, entry: usize) -> u64 {
        (self.words)(WORDS * line + 2 * entry)
    }

    fn end(&self, line: usize, entry: usize) -> u32 {
        (self.words)(WORDS * line + 2 * entry + 1) as u32
    }
}

impl Run<'_> {
    /// As `secbeat-ebpf/src/lane.rs` and what follows there.
    fn drops(&self, source: usize, key: u64) -> bool {
        let found = lines_in_force(self, (self.words)(SETTING) as u32)
            .and_then(|lines| find(self, key, lines))
            .is_some_and(|(line, entry)| !is_over(self.end(line, entry), NOW));
        found || (self.words)(MAPS + source) != 0
    }
}

/// A word, with the values that it has between two graces, each from one instant to another.
type Changing = (usize, Vec<(u64, usize, usize)>);

/// Checks all runs for `source` between the instants `from` and `to`.
pub(super) fn check(
    history: &History,
    start: &[u64],
    crowd: Crowd,
    (source, key): (usize, u64),
    from: usize,
    to: usize,
) {
    let mut words = start.to_vec();
    for &(at, value) in &history.stores[..from] {
        words[at] = value;
    }
    let mut changing: Vec<Changing> = Vec::new();
    for (number, &(at, value)) in history.stores[from..to].iter().enumerate() {
        let instant = from + number + 1;
        let at_first = (words[at], from, to);
        let values = match changing.iter_mut().find(|(word, _)| *word == at) {
            Some((_, values)) => values,
            None => {
                changing.push((at, vec![at_first]));
                &mut changing.last_mut().unwrap().1
            }
        };
        values.last_mut().unwrap().2 = instant - 1;
        values.push((value, instant, to));
    }
    let due = |instant: usize| {
        let last = history
            .due
            .iter()
            .rfind(|(at, of, _)| *of == source && *at <= instant);
        last.and_then(|(_, _, dropped)| *dropped)
    };
    let mut chosen = vec![0; changing.len()];
    loop {
        let value = |at: usize| match changing.iter().position(|(word, _)| *word == at) {
            Some(number) => changing[number].1[chosen[number]].0,
            None => words[at],
        };
        let run = Run {
            words: &value,
            lines: crowd.lines,
        };
        let dropped = run.drops(source, key);
        // The shortest run that can load this.
        let all = || chosen.iter().zip(&changing).map(|(&at, (_, values))| values[at]);
        let (late, early) = (
            all().map(|(_, from, _)| from).max().unwrap_or(from),
            all().map(|(_, _, to)| to).min().unwrap_or(to),
        );
        let instants: Vec<_> = match late <= early {
            // It may be at any one of these.
            true => (late..=early).map(|instant| instant..=instant).collect(),
            false => vec![early..=late],
        };
        for mut instants in instants {
            assert!(
                instants.any(|instant| due(instant).is_none_or(|due| due == dropped)),
                "source {source} is {dropped} (dropped) with {chosen:?} of {changing:?}, {:?}",
                (&history.stores, &history.graces, &history.due)
            );
        }
        let Some(next) = (0..chosen.len()).find(|&at| chosen[at] + 1 < changing[at].1.len()) else {
            break;
        };
        chosen[next] += 1;
        chosen[..next].fill(0);
    }
}
