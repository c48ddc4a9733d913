//! Safety limits, which keep the detector from banning too many at once.
//!
//! The brakes look at the automatic bans of the last 60 s: an absolute number, a share of the sources that behave, and a number
//! for each edge whose reports led to them, so that one which lies cannot use up the others' room. No network has more than a part
//! of that room either, since addresses of one network may all be one attacker's, who would use them up as a shield. While a brake
//! holds nothing is banned automatically, or nothing on that edge's word or in that network; it lets go by itself as bans leave the
//! 60 s, and what it held back is [decided then](super::held).

use std::collections::{HashMap, VecDeque};

use secbeat_common::{maps::MAX_BANNED_NETS, prefix::Prefix};
use strum::IntoStaticStr;

use super::LedgerConfig;

/// How far back the brakes look.
const SPAN_MS: i64 = 60_000;
/// Bans that a network may always have within that time, if all together may have as many.
const LEAST_OF_NETWORK: u64 = 16;

/// What the brakes have to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brakes<'a> {
    /// Sources seen lately that led to no finding, as far as is known.
    pub well_behaved: Option<u64>,
    /// The edge whose report completed the finding.
    pub edge: Option<&'a str>,
    /// Whether the finding was held back, and its turn has come.
    pub waited: bool,
}

/// A brake that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, thiserror::Error)]
#[strum(const_into_str, serialize_all = "lowercase")]
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
    /// [`parts`].
    #[error("more bans within a minute in {0} than one network's part of what is configured")]
    Network(Prefix),
    /// Sources are networks here, and edges have no room for one more.
    #[error("{MAX_BANNED_NETS} networks are banned, and no edge holds more")]
    Networks,
}

impl Brake {
    /// The word in statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// When the bans of the last 60 s were issued, ascending.
#[derive(Debug, Default)]
struct Issued(VecDeque<i64>);

impl Issued {
    /// Returns how many there were since `start_ms`.
    fn since(&mut self, start_ms: i64) -> u64 {
        while self.0.pop_front_if(|at| *at <= start_ms).is_some() {}
        self.0.len() as u64
    }
}

/// The automatic bans of the last 60 s.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// No more than the first brake allows.
    all: Issued,
    of_edges: HashMap<String, Issued>,
    of_networks: HashMap<Prefix, Issued>,
}

/// The networks around a source, each with the part of all bans that it may have: an IPv4 /16, which one provider commonly holds;
/// an IPv6 /48, which one site has, and the /32 of its provider (RFC 6177).
pub(super) fn parts(source: &Prefix) -> impl Iterator<Item = (Prefix, u64)> {
    let parts: &[(u8, u64)] = match source.addr().is_ipv4() {
        true => &[(16, 2)],
        false => &[(48, 8), (32, 4)],
    };
    let source = *source;
    parts.iter().map(move |(len, part)| (source.widened(*len), *part))
}

impl Recent {
    /// The brake that holds at `now_ms` against any source.
    pub(super) fn brake(&mut self, config: &LedgerConfig, brakes: Brakes<'_>, now_ms: i64) -> Option<Brake> {
        let start_ms = now_ms.saturating_sub(SPAN_MS);
        let bans = self.all.since(start_ms);
        if bans >= u64::from(config.max_bans_per_minute) {
            return Some(Brake::Rate);
        }
        let of_edge = brakes.edge.and_then(|edge| self.of_edges.get_mut(edge));
        if of_edge.is_some_and(|of| of.since(start_ms) >= u64::from(config.max_bans_per_minute_per_edge)) {
            return Some(Brake::Edge);
        }
        let behaving = behaving(config, brakes)?;
        (bans >= config.max_share.of(behaving)).then_some(Brake::Share(behaving))
    }

    /// The brake that holds at `now_ms` against `source`.
    pub(super) fn brake_on(
        &mut self,
        source: &Prefix,
        config: &LedgerConfig,
        brakes: Brakes<'_>,
        now_ms: i64,
    ) -> Option<Brake> {
        if let Some(brake) = self.brake(config, brakes, now_ms) {
            return Some(brake);
        }
        let rate = u64::from(config.max_bans_per_minute);
        let allowed = behaving(config, brakes).map_or(rate, |sources| config.max_share.of(sources).min(rate));
        let start_ms = now_ms.saturating_sub(SPAN_MS);
        let used_up = parts(source).find(|(network, part)| {
            let most = (allowed / part).max(LEAST_OF_NETWORK);
            let issued = self.of_networks.get_mut(network);
            issued.is_some_and(|issued| issued.since(start_ms) >= most)
        });
        used_up.map(|(network, _)| Brake::Network(network))
    }

    /// Counts a ban of `source` issued at `now_ms` on the word of `edge`; one that is issued out of order counts as the latest.
    pub(super) fn count(&mut self, source: &Prefix, now_ms: i64, edge: Option<&str>) {
        let latest = self.all.0.back().copied().unwrap_or(now_ms).max(now_ms);
        self.all.since(latest.saturating_sub(SPAN_MS));
        self.all.0.push_back(latest);
        for (network, _) in parts(source) {
            self.of_networks.entry(network).or_default().0.push_back(latest);
        }
        if let Some(edge) = edge {
            match self.of_edges.get_mut(edge) {
                Some(of_edge) => of_edge.0.push_back(latest),
                None => drop(self.of_edges.insert(edge.to_owned(), Issued([latest].into()))),
            }
        }
        // Two networks for each ban that still counts, and as many again.
        if self.of_networks.len() > 4 * self.all.0.len() + 64 {
            let start_ms = latest.saturating_sub(SPAN_MS);
            self.of_networks.retain(|_, issued| issued.since(start_ms) > 0);
        }
    }
}

/// The sources that behave, if a share of them says anything.
fn behaving(config: &LedgerConfig, brakes: Brakes<'_>) -> Option<u64> {
    brakes
        .well_behaved
        .filter(|&sources| sources >= config.share_from_sources)
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
            ..Brakes::default()
        }
    }

    /// One of many, each in a network of its own.
    fn source(n: i64) -> Prefix {
        format!("10.{}.0.{}", n % 250, n / 250 % 250).parse().unwrap()
    }

    fn on_the_word_of(edge: &str) -> Brakes<'_> {
        Brakes {
            edge: Some(edge),
            ..Brakes::default()
        }
    }

    #[test]
    fn brakes_have_the_names_of_the_statistics() {
        let brakes = [
            Brake::Rate,
            Brake::Share(7),
            Brake::Edge,
            Brake::Network(source(0)),
            Brake::Networks,
        ];
        assert_eq!(
            brakes.map(Brake::name),
            ["rate", "share", "edge", "network", "networks"]
        );
    }

    #[test]
    fn an_edge_uses_up_its_own_room_and_nobody_elses() {
        let (config, mut recent) = (config(1.0), Recent::default());
        for n in 0..3000 {
            assert_eq!(recent.brake(&config, on_the_word_of("liar"), NOW + n), None);
            recent.count(&source(n), NOW + n, Some("liar"));
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
    fn no_network_has_more_than_its_part_and_the_others_keep_theirs() {
        let (config, mut recent) = (config(0.25), Recent::default());
        let all = behaving(1600);
        let mut ban = |source: &str| {
            let source: Prefix = source.parse().unwrap();
            let brake = recent.brake_on(&source, &config, all, NOW);
            if brake.is_none() {
                recent.count(&source, NOW, None);
            }
            brake
        };
        // Of 400 in all.
        for n in 0..50 {
            assert_eq!(ban(&format!("2001:db8:5:{n:x}::/64")), None, "{n}");
        }
        let site = "2001:db8:5::/48".parse().unwrap();
        assert_eq!(ban("2001:db8:5:ffff::/64"), Some(Brake::Network(site)));
        for n in 0..50 {
            assert_eq!(ban(&format!("2001:db8:{:x}::/64", n + 6)), None, "{n}");
        }
        let provider = "2001:db8::/32".parse().unwrap();
        assert_eq!(ban("2001:db8:ffff::/64"), Some(Brake::Network(provider)));
        for n in 0..200 {
            assert_eq!(ban(&format!("203.0.113.{n}")), None, "{n}");
        }
        let provider = "203.0.0.0/16".parse().unwrap();
        assert_eq!(ban("203.0.1.1"), Some(Brake::Network(provider)));
        assert_eq!(ban("198.51.100.1"), None);
    }

    #[test]
    fn what_left_the_minute_takes_no_memory() {
        let mut recent = Recent::default();
        for n in 0..100_000_i64 {
            recent.count(&source(n), NOW + n * 1000, None);
        }
        assert!(recent.all.0.len() <= 61, "{}", recent.all.0.len());
        assert!(recent.of_networks.len() <= 400, "{}", recent.of_networks.len());
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
            recent.count(&source(n), NOW + n, None);
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
        recent.count(&source(0), NOW + 60_000, None);
        assert_eq!(recent.brake(&config, behaving(2000), NOW + 60_000), holds);
    }

    #[test]
    fn the_second_brake_is_off_with_few_sources_or_an_unknown_number() {
        let (config, mut recent) = (config(0.01), Recent::default());
        for n in 0..500 {
            recent.count(&source(n), NOW + n, None);
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
        recent.count(&source(0), NOW, None);
        recent.count(&source(0), NOW - 50_000, None);
        let holds = |recent: &mut Recent, at| recent.brake(&config, behaving(2000), at).is_some();
        assert!(holds(&mut recent, NOW + 59_999));
        assert!(!holds(&mut recent, NOW + 60_000));
    }
}
