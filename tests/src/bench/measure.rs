//! The rounds: every contender in turn, again and again, so that a slow minute of the machine falls on all of them.

use std::rc::Rc;

use crate::{
    bench::{
        contender::{Contender, OnTrack, Rows},
        million, peers, prefixes,
        report::{Missing, Report, Row},
        subject,
        track::Track,
        two_cpus,
    },
    lab::interrupt,
};

/// Everything that takes part on these CPUs.
#[must_use]
pub fn contenders(cpus: &[usize]) -> Rows {
    let subjects: Vec<_> = subject::all().into_iter().map(Rc::new).collect();
    let track = Rc::new(Track::new());
    let on_track = |subject: &Rc<_>| {
        let contender = OnTrack {
            subject: Rc::clone(subject),
            track: Rc::clone(&track),
        };
        (
            contender.subject.name,
            Ok(Box::new(contender) as Box<dyn Contender>),
        )
    };
    let mut rows: Rows = subjects.iter().map(on_track).collect();
    rows.extend(peers::all());
    rows.extend(million::all(&track));
    rows.extend(prefixes::all(&track));
    rows.extend(two_cpus::all(&subjects, cpus));
    rows
}

/// Measures them `rounds` times, after a round that warms everything up: caches, pages, and each ban's first drop, which
/// sends an event. One that fails once is not measured again, and has no figures.
///
/// # Panics
///
/// When interrupted.
#[must_use]
pub fn measure(contenders: Rows, rounds: usize) -> Report {
    let (mut contenders, mut rows): (Vec<_>, Vec<_>) = contenders
        .into_iter()
        .map(|(name, contender)| match contender {
            Ok(contender) => (Some(contender), Row::new(name)),
            Err(reason) => (None, Row::without_figures(name, Missing::NotRun(reason))),
        })
        .unzip();
    for round in 0..=rounds {
        for at in order(round, rows.len()) {
            let (place, row) = (&mut contenders[at], &mut rows[at]);
            let Some(contender) = place else { continue };
            interrupt::heed();
            match contender.sample() {
                Ok(_) if round == 0 => {}
                Ok(sample) => row.add(contender.is_plain_drop(), sample),
                Err(reason) => {
                    *row = Row::without_figures(contender.name(), Missing::Failed(reason));
                    *place = None;
                }
            }
        }
    }
    Report { rows }
}

/// The order of a round: there, and back in the next, so that nobody always runs in the wake of the same other.
fn order(round: usize, len: usize) -> Vec<usize> {
    let there = 0..len;
    if round.is_multiple_of(2) {
        there.collect()
    } else {
        there.rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn every_other_round_goes_backwards() {
        assert_eq!([order(0, 3), order(1, 3)], [[0, 1, 2], [2, 1, 0]]);
    }
}
