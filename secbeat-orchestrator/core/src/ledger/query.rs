//! Some of the bans in force, sorted.

use std::{cmp::Ordering, collections::BTreeSet, fmt, net::IpAddr, ops::Bound, str::FromStr};

use secbeat_common::{
    prefix::{Prefix, PrefixError},
    wire::{Labels, Layer, Reason},
};

use super::{ActiveBan, Ledger};

/// The bans that are asked for; everything unless set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanQuery {
    /// Bans of exactly these.
    pub targets: Option<BTreeSet<Prefix>>,
    pub reason: Option<Reason>,
    pub layer: Option<Layer>,
    pub issuer: Option<String>,
    /// Bans of this network and of what lies in it.
    pub within: Option<Prefix>,
    /// Bans that this address falls under.
    pub contains: Option<IpAddr>,
    /// Bans that say this in their target, reason, issuer or note, in letters of either case.
    pub text: Option<String>,
    /// Bans that one of these edges, each with its labels, is to enforce.
    pub edges: Option<Vec<(String, Labels)>>,
    /// Bans that were issued at this time or later, and before that one; milliseconds since the Unix epoch.
    pub issued_from_ms: Option<i64>,
    pub issued_before_ms: Option<i64>,
    pub order: BanOrder,
    /// Only bans behind this place in that order.
    pub after: Option<Place>,
    /// Most bans on a page.
    pub limit: Option<usize>,
}

/// The order of bans; those that are equal in it are in the order of their targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BanOrder {
    pub by: SortKey,
    /// The greatest first.
    pub is_descending: bool,
}

/// Sort key of bans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    #[default]
    Target,
    /// When they were issued.
    Issued,
    /// When they end; those without end are the last.
    Expires,
    Strikes,
}

/// The place of a ban among the sorted ones. It stays where it is when the ban ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The value of the [`SortKey`]; 0 for [`SortKey::Target`].
    key: i64,
    target: Prefix,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    pub bans: Vec<&'a ActiveBan>,
    /// The place of the last ban on this page, if there are more.
    pub next: Option<Place>,
    /// All bans that are asked for; only on the first page.
    pub total: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            0 => write!(f, "{}", self.target),
            key => write!(f, "{key},{}", self.target),
        }
    }
}

impl FromStr for Place {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (key, target) = match text.split_once(',') {
            None => (0, text),
            Some((key, target)) => {
                let key = key.parse().map_err(|_| PrefixError::Syntax(text.to_owned()))?;
                (key, target)
            }
        };
        let target = target.parse()?;
        Ok(Self { key, target })
    }
}

impl BanOrder {
    fn place(self, ban: &ActiveBan) -> Place {
        let command = &ban.command;
        let key = match self.by {
            SortKey::Target => 0,
            SortKey::Issued => command.issued_at_ms,
            SortKey::Expires => command.expires_at_ms,
            SortKey::Strikes => i64::from(command.strikes),
        };
        let target = command.target;
        Place { key, target }
    }

    fn compare(self, one: Place, other: Place) -> Ordering {
        let order = (one.key, one.target).cmp(&(other.key, other.target));
        match self.is_descending {
            true => order.reverse(),
            false => order,
        }
    }
}

impl BanQuery {
    fn matches(&self, ban: &ActiveBan) -> bool {
        let command = &ban.command;
        self.targets
            .as_ref()
            .is_none_or(|targets| targets.contains(&command.target))
            && self.reason.is_none_or(|reason| reason == command.reason)
            && self.layer.is_none_or(|layer| layer == command.layer)
            && self
                .issuer
                .as_ref()
                .is_none_or(|issuer| *issuer == command.issuer)
            && self
                .contains
                .is_none_or(|address| command.target.contains(address))
            && self
                .issued_from_ms
                .is_none_or(|from| command.issued_at_ms >= from)
            && self
                .issued_before_ms
                .is_none_or(|before| command.issued_at_ms < before)
            && self.edges.as_ref().is_none_or(|edges| {
                edges
                    .iter()
                    .any(|(edge, labels)| command.scope.holds_on(edge, labels))
            })
            && self.text.as_ref().is_none_or(|text| {
                says(&command.note, text)
                    || says(command.reason.name(), text)
                    || says(&command.issuer, text)
                    || says(&command.target.to_string(), text)
            })
    }

    /// Whether no ban is left out.
    fn takes_all(&self) -> bool {
        self.targets.is_none()
            && self.reason.is_none()
            && self.layer.is_none()
            && self.issuer.is_none()
            && self.within.is_none()
            && self.contains.is_none()
            && self.text.is_none()
            && self.edges.is_none()
            && self.issued_from_ms.is_none()
            && self.issued_before_ms.is_none()
    }
}

/// Whether `text` has `part` in it, whatever the case of ASCII letters.
fn says(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty()
        || text
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part))
}

impl Ledger {
    /// The bans that `query` asks for.
    #[must_use]
    pub fn page(&self, query: &BanQuery) -> Page<'_> {
        match query.order {
            BanOrder {
                by: SortKey::Target,
                is_descending: false,
            } => self.page_by_target(query),
            _ => self.page_sorted(query),
        }
    }

    /// Those that `query` asks for behind `after`, by target.
    fn matching<'a, 'q>(
        &'a self,
        query: &'q BanQuery,
        after: Option<Prefix>,
    ) -> impl Iterator<Item = &'a ActiveBan> + use<'a, 'q> {
        // What lies within a network follows it without a gap.
        let start = match (query.within, after) {
            (Some(within), Some(after)) if after >= within => Bound::Excluded(after),
            (Some(within), _) => Bound::Included(within),
            (None, Some(after)) => Bound::Excluded(after),
            (None, None) => Bound::Unbounded,
        };
        self.active
            .range((start, Bound::Unbounded))
            .take_while(|(target, _)| query.within.is_none_or(|within| within.covers(target)))
            .map(|(_, ban)| ban)
            .filter(|ban| query.matches(ban))
    }

    /// As the ledger has them.
    fn page_by_target(&self, query: &BanQuery) -> Page<'_> {
        let mut matching = self.matching(query, query.after.map(|place| place.target));
        let limit = query.limit.unwrap_or(usize::MAX);
        let bans: Vec<_> = matching.by_ref().take(limit).collect();
        let is_first = query.after.is_none();
        let mut rest = 0;
        if is_first && !query.takes_all() {
            rest = matching.count();
        } else if matching.next().is_some() {
            rest = self.active.len() - bans.len();
        }
        let last = bans.last().map(|ban| query.order.place(ban));
        Page {
            next: last.filter(|_| rest > 0),
            total: is_first.then_some(bans.len() + rest),
            bans,
        }
    }

    fn page_sorted(&self, query: &BanQuery) -> Page<'_> {
        let (order, limit) = (query.order, query.limit.unwrap_or(usize::MAX));
        let by_place = |one: &(Place, &ActiveBan), other: &(Place, &ActiveBan)| order.compare(one.0, other.0);
        // One more than the page has tells that there is another one.
        let most = limit.saturating_add(1);
        let (mut found, mut total) = (Vec::new(), 0);
        // The last of those that may be on the page, once there are enough.
        let mut last = None;
        for ban in self.matching(query, None) {
            total += 1;
            let place = order.place(ban);
            let is_behind = |other| order.compare(place, other) == Ordering::Greater;
            if !query.after.is_none_or(is_behind) || last.is_some_and(is_behind) {
                continue;
            }
            found.push((place, ban));
            // It is cut rarely, and so that no ban is looked at twice: that is what takes time.
            if found.len() >= most.saturating_mul(2) {
                found.select_nth_unstable_by(limit, by_place);
                found.truncate(most);
                last = found.last().map(|(place, _)| *place);
            }
        }
        found.sort_unstable_by(by_place);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|(place, _)| *place);
        Page {
            next: last.filter(|_| has_more),
            bans: found.into_iter().map(|(_, ban)| ban).collect(),
            total: query.after.is_none().then_some(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{LedgerConfig, ManualBan};

    fn ledger(targets: &[&str]) -> Ledger {
        let mut ledger = Ledger::new(LedgerConfig::default());
        for (n, target) in targets.iter().enumerate() {
            let issuer = if n % 2 == 0 { "alice" } else { "bob" }.to_owned();
            let ban = ManualBan::new(target.parse().unwrap(), 1000, String::new(), issuer);
            ledger.ban(ban, 0, Uuid::from_u128(n as u128)).unwrap();
        }
        ledger
    }

    fn targets(page: &Page<'_>) -> Vec<String> {
        page.bans
            .iter()
            .map(|ban| ban.command.target.to_string())
            .collect()
    }

    #[test]
    fn filters_hold_together() {
        let ledger = ledger(&[
            "203.0.113.0/24",
            "203.0.113.7",
            "198.51.100.7",
            "2001:db8::1",
            "2001:db8::/48",
        ]);
        let asked = |query: BanQuery| targets(&ledger.page(&query));
        assert_eq!(
            asked(BanQuery::default()),
            [
                "198.51.100.7/32",
                "203.0.113.0/24",
                "203.0.113.7/32",
                "2001:db8::/48",
                "2001:db8::/64"
            ]
        );
        let within = |net: &str| BanQuery {
            within: Some(net.parse().unwrap()),
            ..BanQuery::default()
        };
        assert_eq!(
            asked(within("203.0.113.0/24")),
            ["203.0.113.0/24", "203.0.113.7/32"]
        );
        assert_eq!(asked(within("203.0.113.0/25")), ["203.0.113.7/32"]);
        let contains = |address: &str| BanQuery {
            contains: Some(address.parse().unwrap()),
            ..BanQuery::default()
        };
        assert_eq!(
            asked(contains("203.0.113.7")),
            ["203.0.113.0/24", "203.0.113.7/32"]
        );
        assert_eq!(asked(contains("2001:db8:0:1::9")), ["2001:db8::/48"]);
        let names = ["203.0.113.7", "192.0.2.1"].map(|name| name.parse::<Prefix>().unwrap());
        let named = BanQuery {
            targets: Some(BTreeSet::from(names)),
            ..BanQuery::default()
        };
        assert_eq!(ledger.page(&named).total, Some(1));
        assert_eq!(asked(named), ["203.0.113.7/32"]);
        let bobs = BanQuery {
            issuer: Some("bob".to_owned()),
            ..within("203.0.113.0/24")
        };
        assert_eq!(asked(bobs), ["203.0.113.7/32"]);
        let by_rule = BanQuery {
            reason: Some(Reason::ErrorFlood),
            ..BanQuery::default()
        };
        assert!(asked(by_rule).is_empty());
        let at_l7 = BanQuery {
            layer: Some(Layer::L7),
            ..BanQuery::default()
        };
        assert!(asked(at_l7).is_empty());
        for (text, expected) in [
            ("BOB", &["203.0.113.7/32", "2001:db8::/64"][..]),
            ("113.7", &["203.0.113.7/32"]),
            (
                "manual",
                &[
                    "198.51.100.7/32",
                    "203.0.113.0/24",
                    "203.0.113.7/32",
                    "2001:db8::/48",
                    "2001:db8::/64",
                ],
            ),
            ("nobody", &[]),
        ] {
            let text = Some(text.to_owned());
            assert_eq!(
                asked(BanQuery {
                    text,
                    ..BanQuery::default()
                }),
                expected
            );
        }
        // All of them hold on all edges, and were issued at 0.
        let count = |query: BanQuery| ledger.page(&query).total;
        let edges = Some(vec![("web-1".to_owned(), Labels::new())]);
        assert_eq!(
            count(BanQuery {
                edges,
                ..BanQuery::default()
            }),
            Some(5)
        );
        let edges = Some(Vec::new());
        assert_eq!(
            count(BanQuery {
                edges,
                ..BanQuery::default()
            }),
            Some(0)
        );
        for (from, before, expected) in [
            (Some(0), None, 5),
            (Some(1), None, 0),
            (None, Some(1), 5),
            (None, Some(0), 0),
        ] {
            let query = BanQuery {
                issued_from_ms: from,
                issued_before_ms: before,
                ..BanQuery::default()
            };
            assert_eq!(count(query), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn pages_are_the_whole_cut_up(
            hosts in prop::collection::btree_set(0..40_u8, 0..30),
            limit in 1..10_usize,
            within in prop::option::of(24..=32_u8),
            by in prop::sample::select(vec![SortKey::Target, SortKey::Issued, SortKey::Expires, SortKey::Strikes]),
            is_descending in any::<bool>(),
        ) {
            let mut ledger = Ledger::new(LedgerConfig::default());
            for (n, host) in (0..).zip(hosts) {
                let target = format!("203.0.113.{host}").parse().unwrap();
                // Several end at once.
                let ban = ManualBan::new(target, 100_000 + i64::from(host % 3), String::new(), String::new());
                ledger.ban(ban, n % 4, Uuid::from_u128(u128::from(host))).unwrap();
            }
            let within = within.map(|len| format!("203.0.113.16/{len}").parse().unwrap());
            let order = BanOrder { by, is_descending };
            let mut query = BanQuery { within, order, ..BanQuery::default() };
            let whole = ledger.page(&query);
            let in_order = |pair: &[&ActiveBan]| order.compare(order.place(pair[0]), order.place(pair[1])) == Ordering::Less;
            prop_assert!(whole.bans.windows(2).all(in_order));
            prop_assert_eq!(whole.total, Some(whole.bans.len()));
            let whole = targets(&whole);
            query.limit = Some(limit);
            let mut pages = Vec::new();
            loop {
                let page = ledger.page(&query);
                pages.extend(targets(&page));
                prop_assert!(page.bans.len() == limit || page.next.is_none());
                prop_assert_eq!(page.total, query.after.is_none().then_some(whole.len()));
                // As it goes through a URL.
                query.after = page.next.map(|place| place.to_string().parse().unwrap());
                if query.after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(pages, whole);
        }
    }
}
