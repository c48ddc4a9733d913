//! Protected networks and the reasons: the JSON of `/api/v1/allowed`.

use std::collections::HashMap;

use secbeat_bus::Allowlist;
use secbeat_common::{maps::allow, prefix::Prefix, wire::AllowEntry};
use secbeat_daemon::{
    protect::{Allowed, reason_name},
    time::rfc3339,
};
use secbeat_edge_core::LocalAllowlist;
use serde::{Deserialize, Serialize};

/// One protected network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllowedView {
    /// CIDR.
    pub network: String,
    pub reason: String,
    /// Comment of the config, or of the entry of the fleet's or this host's allowlist.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// RFC 3339; protected without end, as far as is known, where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Origin of allowlist entries that have comments and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commented<'a> {
    pub configured: &'a [Allowed],
    pub fleet: &'a Allowlist,
    pub local: &'a LocalAllowlist,
}

impl Commented<'_> {
    /// The comment and the end of the entry of `network` that holds at `now_ms`, if it is there for `reason`.
    fn of(&self, network: &Prefix, reason: u32, now_ms: i64) -> Option<(String, Option<i64>)> {
        let of_entry = |entry: &AllowEntry| (entry.comment.clone(), entry.until_ms);
        match reason {
            allow::CONFIGURED => entry_of(network, self.configured, now_ms).map(|entry| {
                let until = entry.until.map(|until| until.as_millisecond());
                (entry.comment.clone(), until)
            }),
            allow::FLEET => self.fleet.entries.get(network).map(of_entry),
            allow::LOCAL => self.local.get(network).map(of_entry),
            _ => None,
        }
    }
}

/// Networks with their codes of [`allow`], sorted, with what is known of comments and ends at `now_ms`.
#[must_use]
pub(crate) fn views(nets: &HashMap<Prefix, u32>, commented: &Commented<'_>, now_ms: i64) -> Vec<AllowedView> {
    let mut nets: Vec<_> = nets.iter().collect();
    nets.sort();
    let view = |(network, &reason): (&Prefix, &u32)| {
        let (comment, until_ms) = commented.of(network, reason, now_ms).unwrap_or_default();
        AllowedView {
            network: network.to_string(),
            reason: reason_name(reason).to_owned(),
            comment,
            until: until_ms.map(rfc3339),
        }
    };
    nets.into_iter().map(view).collect()
}

/// The longest of several entries.
fn entry_of<'a>(network: &Prefix, configured: &'a [Allowed], now_ms: i64) -> Option<&'a Allowed> {
    configured
        .iter()
        .filter(|entry| entry.network == *network && entry.holds_at(now_ms))
        .max_by_key(|entry| entry.until.map_or(i64::MAX, |until| until.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_shown_with_the_entry_that_holds_longest() {
        let entry = |comment: &str, until: Option<&str>| Allowed {
            network: "203.0.113.0/24".parse().unwrap(),
            comment: comment.to_owned(),
            until: until.map(|until| until.parse().unwrap()),
        };
        let configured = [
            entry("over", Some("2026-11-20T09:00:00Z")),
            entry("longer", Some("2026-11-20T12:00:00Z")),
            entry("shorter", Some("2026-11-20T11:00:00Z")),
        ];
        let nets = HashMap::from([
            ("203.0.113.0/24".parse().unwrap(), allow::CONFIGURED),
            ("192.0.2.1/32".parse().unwrap(), allow::GATEWAY),
            ("198.51.100.7/32".parse().unwrap(), allow::LOCAL),
        ]);
        let local = AllowEntry {
            network: "198.51.100.7".parse().unwrap(),
            comment: "exempt".to_owned(),
            until_ms: Some(1_795_176_000_000),
            added_by: "root".to_owned(),
            added_at_ms: 0,
        };
        let commented = Commented {
            configured: &configured,
            fleet: &Allowlist::default(),
            local: &LocalAllowlist::new([local], 0),
        };
        let now_ms = 1_795_168_800_000; // 2026-11-20T10:00:00Z
        let view = |network: &str, reason: &str, comment: &str, until: Option<&str>| AllowedView {
            network: network.to_owned(),
            reason: reason.to_owned(),
            comment: comment.to_owned(),
            until: until.map(ToOwned::to_owned),
        };
        assert_eq!(
            views(&nets, &commented, now_ms),
            [
                view("192.0.2.1/32", "gateway", "", None),
                view(
                    "198.51.100.7/32",
                    "local",
                    "exempt",
                    Some("2026-11-20T12:00:00.000Z")
                ),
                view(
                    "203.0.113.0/24",
                    "configured",
                    "longer",
                    Some("2026-11-20T12:00:00.000Z")
                ),
            ]
        );
    }
}
