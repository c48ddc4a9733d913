//! Some of the bans in force, by target.

use std::{net::IpAddr, ops::Bound};

use secbeat_common::{
    prefix::Prefix,
    wire::{Layer, Reason},
};

use super::{ActiveBan, Ledger};

/// Which bans are asked for; everything unless set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanQuery {
    pub reason: Option<Reason>,
    pub layer: Option<Layer>,
    pub issuer: Option<String>,
    /// Bans of this network and of what lies in it.
    pub within: Option<Prefix>,
    /// Bans that this address falls under.
    pub contains: Option<IpAddr>,
    /// Only targets after this one.
    pub after: Option<Prefix>,
    /// Most bans on a page.
    pub limit: Option<usize>,
}

/// The answer, sorted by target.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    pub bans: Vec<&'a ActiveBan>,
    /// The last target on this page, if there are more.
    pub next: Option<Prefix>,
}

impl BanQuery {
    fn matches(&self, ban: &ActiveBan) -> bool {
        let command = &ban.command;
        self.reason.is_none_or(|reason| reason == command.reason)
            && self.layer.is_none_or(|layer| layer == command.layer)
            && self
                .issuer
                .as_ref()
                .is_none_or(|issuer| *issuer == command.issuer)
            && self
                .contains
                .is_none_or(|address| command.target.contains(address))
    }
}

impl Ledger {
    /// The bans that `query` asks for.
    #[must_use]
    pub fn page(&self, query: &BanQuery) -> Page<'_> {
        // What lies within a network follows it without a gap.
        let start = match (query.within, query.after) {
            (Some(within), Some(after)) if after >= within => Bound::Excluded(after),
            (Some(within), _) => Bound::Included(within),
            (None, Some(after)) => Bound::Excluded(after),
            (None, None) => Bound::Unbounded,
        };
        let mut matching = self
            .active
            .range((start, Bound::Unbounded))
            .take_while(|(target, _)| query.within.is_none_or(|within| within.covers(target)))
            .map(|(_, ban)| ban)
            .filter(|ban| query.matches(ban));
        let limit = query.limit.unwrap_or(usize::MAX);
        let bans: Vec<_> = matching.by_ref().take(limit).collect();
        let last = bans.last().map(|ban| ban.command.target);
        Page {
            next: last.filter(|_| matching.next().is_some()),
            bans,
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
    }

    proptest! {
        #[test]
        fn pages_are_the_whole_cut_up(
            hosts in prop::collection::btree_set(0..40_u8, 0..30),
            limit in 1..10_usize,
            within in prop::option::of(24..=32_u8),
        ) {
            let hosts: Vec<_> = hosts.into_iter().map(|host| format!("203.0.113.{host}")).collect();
            let ledger = ledger(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
            let within = within.map(|len| format!("203.0.113.16/{len}").parse().unwrap());
            let mut query = BanQuery { within, ..BanQuery::default() };
            let whole = targets(&ledger.page(&query));
            query.limit = Some(limit);
            let mut pages = Vec::new();
            loop {
                let page = ledger.page(&query);
                pages.extend(targets(&page));
                prop_assert!(page.bans.len() == limit || page.next.is_none());
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(pages, whole);
        }
    }
}
