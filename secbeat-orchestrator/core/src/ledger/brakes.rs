//! What keeps the detector from banning too many at once.
//!
//! The brakes look at the automatic bans of the last 60 s: an absolute number, a share of the sources that behave, and a number
//! for each edge whose reports led to them, so that one which lies cannot use up the others' room. While one holds nothing is
//! banned automatically, or nothing on that edge's word; it lets go by itself as bans leave the 60 s.

use std::collections::{HashMap, VecDeque};

use secbeat_common::maps::MAX_BANNED_NETS;

use super::LedgerConfig;

/// How far back the brakes look.
const SPAN_MS: i64 = 60_000;

/// What the brakes have to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brakes<'a> {
    /// Sources seen lately that led to no finding, as far as is known.
    pub well_behaved: Option<u64>,
    /// Whose report completed the finding.
    pub edge: Option<&'a str>,
}

/// A brake that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Brake {
    /// [`LedgerConfig::max_bans_per_minute`].
    #[error("more bans within a minute than configured")]
    Rate,
    /// [`LedgerConfig::max_share`].
    #[error("more bans within a minute than the configured share of the {0} sources that behave")]
    Share(u64),
    /// [`LedgerConfig::max_bans_per_minute_per_edge`].
    #[error("more bans within a minute on one edge's reports than configured")]
    Edge,
    /// Sources are networks here, and edges have no room for one more.
    #[error("{MAX_BANNED_NETS} networks are banned, and no edge holds more")]
    Networks,
}

impl Brake {
    /// The word in statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Share(_) => "share",
            Self::Edge => "edge",
            Self::Networks => "networks",
        }
    }
}

/// The automatic bans of the last 60 s.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// When they were issued, ascending; no more than the first brake allows.
    at_ms: VecDeque<i64>,
    /// The same of each edge.
    of_edges: HashMap<String, VecDeque<i64>>,
}

impl Recent {
    /// The brake that holds at `now_ms`.
    pub(super) fn brake(&mut self, config: &LedgerConfig, brakes: Brakes<'_>, now_ms: i64) -> Option<Brake> {
        let start = now_ms.saturating_sub(SPAN_MS);
        let lately = |at_ms: &mut VecDeque<i64>| {
            while at_ms.pop_front_if(|at| *at <= start).is_some() {}
            at_ms.len() as u64
        };
        let bans = lately(&mut self.at_ms);
        if bans >= u64::from(config.max_bans_per_minute) {
            return Some(Brake::Rate);
        }
        let of_edge = brakes.edge.and_then(|edge| self.of_edges.get_mut(edge));
        if of_edge.is_some_and(|of| lately(of) >= u64::from(config.max_bans_per_minute_per_edge)) {
            return Some(Brake::Edge);
        }
        let behaving = brakes
            .well_behaved
            .filter(|&sources| sources >= config.share_from_sources)?;
        (bans >= config.max_share.of(behaving)).then_some(Brake::Share(behaving))
    }

    /// Counts a ban issued at `now_ms` on the word of `edge`; one that is issued out of order counts as the latest.
    pub(super) fn count(&mut self, now_ms: i64, edge: Option<&str>) {
        let latest = self.at_ms.back().copied().unwrap_or(now_ms).max(now_ms);
        self.at_ms.push_back(latest);
        if let Some(edge) = edge {
            match self.of_edges.get_mut(edge) {
                Some(of_edge) => of_edge.push_back(latest),
                None => drop(self.of_edges.insert(edge.to_owned(), [latest].into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::share::Share, *};

    const NOW: i64 = 1_795_168_800_000;

    fn config(max_share: f64) -> LedgerConfig {
        LedgerConfig {
            max_share: Share::new(max_share).unwrap(),
            share_from_sources: 1000,
            ..LedgerConfig::default()
        }
    }

    fn behaving(sources: u64) -> Brakes<'static> {
        Brakes {
            well_behaved: Some(sources),
            edge: None,
        }
    }

    fn on_the_word_of(edge: &str) -> Brakes<'_> {
        Brakes {
            well_behaved: None,
            edge: Some(edge),
        }
    }

    #[test]
    fn an_edge_uses_up_its_own_room_and_nobody_elses() {
        let (config, mut recent) = (config(1.0), Recent::default());
        for n in 0..3000 {
            assert_eq!(recent.brake(&config, on_the_word_of("liar"), NOW + n), None);
            recent.count(NOW + n, Some("liar"));
        }
        assert_eq!(
            recent.brake(&config, on_the_word_of("liar"), NOW + 3000),
            Some(Brake::Edge)
        );
        assert_eq!(recent.brake(&config, on_the_word_of("other"), NOW + 3000), None);
        assert_eq!(
            recent.brake(&config, on_the_word_of("liar"), NOW + 60_000),
            None,
            "one has left"
        );
    }

    #[test]
    fn a_share_is_above_nothing_and_at_most_all() {
        for part in [0.0, -0.1, 1.000_001, 0.000_000_1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(part), None, "{part}");
        }
        assert_eq!(Share::new(0.25).unwrap().of(1001), 250);
        assert_eq!(Share::new(1.0).unwrap().of(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_second_brake_holds_at_its_share_and_lets_go_as_bans_leave_the_minute() {
        let (config, mut recent) = (config(0.01), Recent::default());
        for n in 0..20 {
            assert_eq!(recent.brake(&config, behaving(2000), NOW + n), None, "ban {n}");
            recent.count(NOW + n, None);
        }
        let holds = Some(Brake::Share(2000));
        assert_eq!(recent.brake(&config, behaving(2000), NOW + 20), holds);
        assert_eq!(
            recent.brake(&config, behaving(2099), NOW + 20),
            Some(Brake::Share(2099))
        );
        assert_eq!(
            recent.brake(&config, behaving(2100), NOW + 20),
            None,
            "21 are allowed"
        );
        assert_eq!(recent.brake(&config, behaving(2000), NOW + 59_999), holds);
        assert_eq!(
            recent.brake(&config, behaving(2000), NOW + 60_000),
            None,
            "one has left"
        );
        recent.count(NOW + 60_000, None);
        assert_eq!(recent.brake(&config, behaving(2000), NOW + 60_000), holds);
    }

    #[test]
    fn the_second_brake_is_off_with_few_sources_or_an_unknown_number() {
        let (config, mut recent) = (config(0.01), Recent::default());
        for n in 0..500 {
            recent.count(NOW + n, None);
        }
        assert_eq!(recent.brake(&config, behaving(999), NOW + 500), None);
        assert_eq!(recent.brake(&config, Brakes::default(), NOW + 500), None);
        assert_eq!(
            recent.brake(&config, behaving(1000), NOW + 500),
            Some(Brake::Share(1000))
        );
    }

    #[test]
    fn a_late_ban_counts_from_when_it_was_issued_last() {
        let (config, mut recent) = (config(0.001), Recent::default());
        recent.count(NOW, None);
        recent.count(NOW - 50_000, None);
        let holds = |recent: &mut Recent, at| recent.brake(&config, behaving(2000), at).is_some();
        assert!(holds(&mut recent, NOW + 59_999));
        assert!(!holds(&mut recent, NOW + 60_000));
    }
}
