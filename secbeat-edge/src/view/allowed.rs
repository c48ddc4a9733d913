//! Who is protected and why: the JSON of `/api/v1/allowed`.

use std::collections::HashMap;

use secbeat_bus::Allowlist;
use secbeat_common::{maps::allow, prefix::Prefix};
use secbeat_daemon::{
    protect::{Allowed, reason_name},
    time::rfc3339,
};
use serde::{Deserialize, Serialize};

/// One protected network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllowedView {
    /// CIDR.
    pub network: String,
    pub reason: String,
    /// Of the config, or of the entry of the fleet's allowlist.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// RFC 3339; protected without end, as far as is known, where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Networks with their codes of [`allow`], sorted. Comments and ends are those of the entries in `configured` that hold
/// at `now_ms`; without the daemon they are not known.
#[must_use]
pub(crate) fn views(
    nets: &HashMap<Prefix, u32>,
    configured: &[Allowed],
    fleet: &Allowlist,
    now_ms: i64,
) -> Vec<AllowedView> {
    let mut nets: Vec<_> = nets.iter().collect();
    nets.sort();
    let view = |(network, &reason): (&Prefix, &u32)| {
        let entry = (reason == allow::CONFIGURED)
            .then(|| entry_of(network, configured, now_ms))
            .flatten();
        if let Some(entry) = fleet.entries.get(network).filter(|_| reason == allow::FLEET) {
            return AllowedView {
                network: network.to_string(),
                reason: reason_name(reason).to_owned(),
                comment: entry.comment.clone(),
                until: entry.until_ms.map(rfc3339),
            };
        }
        AllowedView {
            network: network.to_string(),
            reason: reason_name(reason).to_owned(),
            comment: entry.map_or_else(String::new, |entry| entry.comment.clone()),
            until: entry
                .and_then(|entry| entry.until)
                .map(|until| rfc3339(until.as_millisecond())),
        }
    };
    nets.into_iter().map(view).collect()
}

/// Of several entries the one that holds longest.
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
        ]);
        let now_ms = 1_795_168_800_000; // 2026-11-20T10:00:00Z
        let view = |network: &str, reason: &str, comment: &str, until: Option<&str>| AllowedView {
            network: network.to_owned(),
            reason: reason.to_owned(),
            comment: comment.to_owned(),
            until: until.map(ToOwned::to_owned),
        };
        assert_eq!(
            views(&nets, &configured, &Allowlist::default(), now_ms),
            [
                view("192.0.2.1/32", "gateway", "", None),
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
