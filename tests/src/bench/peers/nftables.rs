//! nftables: a set whose elements end by themselves, as CrowdSec's bouncer keeps it, at one of three hooks.

use std::fmt::Write as _;

use secbeat_common::prefix::Prefix;
use secbeat_programs::FilterPeer;
use serde_json::Value;

use super::{Dropped, tool};
use crate::{
    bench::{
        sources::{BANNED_V4, others},
        track::RECEIVER_END,
    },
    lab::netns::Namespace,
};

const TABLE: &str = "bans";

/// Where the set is looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// On the interface, before IP.
    Ingress,
    /// Before routing and connection tracking.
    Raw,
    /// For packets to this host: where CrowdSec's bouncer looks by default.
    Input,
}

impl Hook {
    fn family(self) -> &'static str {
        match self {
            Self::Ingress => "netdev",
            Self::Raw | Self::Input => "ip",
        }
    }

    fn declaration(self) -> String {
        match self {
            Self::Ingress => format!("hook ingress device \"{RECEIVER_END}\" priority -500"),
            Self::Raw => "hook prerouting priority -300".to_owned(),
            Self::Input => "hook input priority -10".to_owned(),
        }
    }
}

pub(super) fn install(host: &Namespace, hook: Hook) -> Result<Dropped, String> {
    let (family, declaration) = (hook.family(), hook.declaration());
    let mut ruleset = format!(
        "table {family} {TABLE} {{\n\
         set banned {{ type ipv4_addr; flags timeout; }}\n\
         chain filter {{ type filter {declaration}; policy accept; ip saddr @banned counter drop\n}}\n\
         }}\n\
         add element {family} {TABLE} banned {{ {BANNED_V4} timeout 4h"
    );
    for other in others() {
        // Writing to a string does not fail.
        let _ = write!(ruleset, ", {other} timeout 4h");
    }
    ruleset.push_str(" }\n");
    tool::run(host, FilterPeer::Nft, &["-f", "-"], &ruleset)?;
    let host = host.clone();
    Ok(Box::new(move || {
        let listed = tool::run(
            &host,
            FilterPeer::Nft,
            &["-j", "list", "chain", family, TABLE, "filter"],
            "",
        )?;
        let listed: Value = serde_json::from_str(&listed).map_err(|error| format!("nft: {error}"))?;
        counter_of_rule(&listed)
            .map(Some)
            .ok_or_else(|| "nft lists no rule with a counter".to_owned())
    }))
}

/// The same on the interface, with a set of networks, of which no two are one.
pub(in crate::bench) fn install_intervals(
    host: &Namespace,
    nets: impl Iterator<Item = Prefix>,
) -> Result<(), String> {
    let declaration = Hook::Ingress.declaration();
    let nets: Vec<_> = nets.map(|net| net.to_string()).collect();
    let ruleset = format!(
        "table netdev {TABLE} {{\n\
         set banned {{ type ipv4_addr; flags interval; }}\n\
         chain filter {{ type filter {declaration}; policy accept; ip saddr @banned drop\n}}\n\
         }}\n\
         add element netdev {TABLE} banned {{ {} }}\n",
        nets.join(", ")
    );
    tool::run(host, FilterPeer::Nft, &["-f", "-"], &ruleset).map(drop)
}

/// Packets counted by the first rule that counts.
fn counter_of_rule(listed: &Value) -> Option<u64> {
    let objects = listed["nftables"].as_array()?;
    let mut statements = objects
        .iter()
        .filter_map(|object| object["rule"]["expr"].as_array())
        .flatten();
    statements.find_map(|statement| statement["counter"]["packets"].as_u64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::counter_of_rule;

    #[test]
    fn the_rules_counter_is_found() {
        let listed = json!({ "nftables": [
            { "metainfo": { "json_schema_version": 1 } },
            { "table": { "family": "ip", "name": "bans" } },
            { "rule": { "expr": [ { "match": {} }, { "counter": { "packets": 7, "bytes": 420 } }, { "drop": null } ] } },
        ] });
        assert_eq!(counter_of_rule(&listed), Some(7));
    }
}
