//! Well-known public feeds. None is fetched unless a config names it: each has terms of its own.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A public feed, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    FireholLevel1,
    FireholLevel2,
    SpamhausDrop,
    SpamhausDropV6,
    TorExits,
    DshieldBlock,
    BlocklistDe,
    CinsArmy,
    FeodoTracker,
}

/// What is known of a public feed.
#[derive(Clone, Copy, Debug)]
pub struct PublicFeed {
    pub preset: Preset,
    pub name: &'static str,
    pub url: &'static str,
    /// Interval at which it is asked.
    pub every: Duration,
    /// What is in it.
    pub what: &'static str,
    /// Under which terms, and where these are. They are their publisher's, and may have changed.
    pub terms: &'static str,
}

const HOUR: Duration = Duration::from_secs(3600);

/// All presets.
pub const PUBLIC_FEEDS: [PublicFeed; 9] = [
    PublicFeed {
        preset: Preset::FireholLevel1,
        name: "firehol-level1",
        url: "https://raw.githubusercontent.com/firehol/blocklist-ipsets/master/firehol_level1.netset",
        every: Duration::from_secs(6 * 3600),
        what: "attacks and hijacked networks of several lists, with few false positives; holds private networks, which are left out",
        terms: "those of each list in it: https://iplists.firehol.org/?ipset=firehol_level1",
    },
    PublicFeed {
        preset: Preset::FireholLevel2,
        name: "firehol-level2",
        url: "https://raw.githubusercontent.com/firehol/blocklist-ipsets/master/firehol_level2.netset",
        every: Duration::from_secs(6 * 3600),
        what: "attacks of the last 48 hours of several lists",
        terms: "those of each list in it: https://iplists.firehol.org/?ipset=firehol_level2",
    },
    PublicFeed {
        preset: Preset::SpamhausDrop,
        name: "spamhaus-drop",
        url: "https://www.spamhaus.org/drop/drop.txt",
        every: Duration::from_secs(12 * 3600),
        what: "IPv4 networks that criminals hold",
        terms: "free of charge, with the publisher named: https://www.spamhaus.org/blocklists/do-not-route-or-peer/",
    },
    PublicFeed {
        preset: Preset::SpamhausDropV6,
        name: "spamhaus-drop-v6",
        url: "https://www.spamhaus.org/drop/dropv6.txt",
        every: Duration::from_secs(12 * 3600),
        what: "IPv6 networks that criminals hold",
        terms: "free of charge, with the publisher named: https://www.spamhaus.org/blocklists/do-not-route-or-peer/",
    },
    PublicFeed {
        preset: Preset::TorExits,
        name: "tor-exits",
        url: "https://check.torproject.org/torbulkexitlist",
        every: HOUR,
        what: "exits of Tor: anonymous users, most of whom do not attack",
        terms: "public data of the Tor Project: https://check.torproject.org/",
    },
    PublicFeed {
        preset: Preset::DshieldBlock,
        name: "dshield-block",
        url: "https://feeds.dshield.org/block.txt",
        every: HOUR,
        what: "the 20 networks of size /24 that attack most",
        terms: "CC BY-NC-SA, not for commercial use: https://isc.sans.edu/feeds/",
    },
    PublicFeed {
        preset: Preset::BlocklistDe,
        name: "blocklist-de",
        url: "https://lists.blocklist.de/lists/all.txt",
        every: HOUR,
        what: "addresses that attacked services of its members in the last 48 hours",
        terms: "free of charge: https://www.blocklist.de/en/export.html",
    },
    PublicFeed {
        preset: Preset::CinsArmy,
        name: "cins-army",
        url: "https://cinsscore.com/list/ci-badguys.txt",
        every: HOUR,
        what: "addresses of bad reputation with intrusion detection systems",
        terms: "free of charge: https://cinsscore.com/",
    },
    PublicFeed {
        preset: Preset::FeodoTracker,
        name: "feodo-tracker",
        url: "https://feodotracker.abuse.ch/downloads/ipblocklist.txt",
        every: HOUR,
        what: "servers that control botnets",
        terms: "CC0: https://feodotracker.abuse.ch/blocklist/",
    },
];

impl Preset {
    /// Returns what is known of it.
    #[must_use]
    pub fn feed(self) -> PublicFeed {
        let found = PUBLIC_FEEDS.iter().find(|feed| feed.preset == self);
        *found.unwrap_or(&PUBLIC_FEEDS[0])
    }
}

/// The presets as a table for the docs.
#[must_use]
pub fn table() -> String {
    let rows = PUBLIC_FEEDS.iter().map(|feed| {
        let every = secbeat_daemon::config::HumanDuration(feed.every);
        format!("| `{}` | {} | {every} | {} |\n", feed.name, feed.what, feed.terms)
    });
    let head = "| `preset` | holds | asked every | terms |\n|---|---|---|---|\n";
    head.to_owned() + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_called_as_configs_call_them() {
        for feed in PUBLIC_FEEDS {
            assert_eq!(serde_json::to_value(feed.preset).unwrap(), feed.name);
            assert_eq!(feed.preset.feed().name, feed.name);
            assert!(
                feed.url.starts_with("https://") && feed.terms.contains("https://"),
                "{feed:?}"
            );
        }
    }
}
