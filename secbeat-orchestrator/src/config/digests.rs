//! Parts of the config that are to be the same for all orchestrators of a fleet.

use std::fmt::Debug;

use secbeat_common::wire::ConfigDigests;

use super::Config;

/// The keys whose content is digested. The rest is each orchestrator's own: where it listens, how much it remembers.
pub(crate) const DIGESTED: [&str; 7] = [
    "rule",
    "detect.sources",
    "detect.agreeing_edges",
    "ban",
    "protect",
    "trusted_proxies",
    "feed",
];

impl Config {
    /// The digests of what decides who is banned, as it is in force: neither the order of keys, comments, nor defaults that are
    /// written out matter.
    #[must_use]
    pub fn digests(&self) -> ConfigDigests {
        let protected = self.protect.entries().into_iter();
        let contents = [
            in_any_order(&self.rules.0),
            format!("{:?}", self.detect.sources),
            format!("{:?}", self.detect.agreeing_edges),
            format!("{:?}", self.ban),
            in_any_order(protected.map(|entry| (entry.network, entry.until))),
            in_any_order(&self.trusted_proxies),
            in_any_order(&self.feeds),
        ];
        ConfigDigests::new(env!("CARGO_PKG_VERSION"), DIGESTED.into_iter().zip(contents))
    }
}

fn in_any_order<T: Debug>(items: impl IntoIterator<Item = T>) -> String {
    let mut shown: Vec<_> = items.into_iter().map(|item| format!("{item:?}")).collect();
    shown.sort_unstable();
    shown.dedup();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(one: &str, other: &str) -> Vec<String> {
        let digests = |text: &str| toml::from_str::<Config>(text).unwrap().digests();
        let (one, other) = (digests(one), digests(other));
        let keys = one.differing(&other).into_iter().map(str::to_owned);
        keys.collect()
    }

    const SCAN: &str = "[[rule]]\nname = \"path-scan\"\n";
    const LOGIN: &str = "[[rule]]\nname = \"login\"\ncounts = \"requests\"\npaths = [\"/login\"]\nthreshold = 5\nwindow = \"5m\"\n";

    #[test]
    fn how_a_config_is_written_makes_no_difference() {
        for (one, other) in [
            ("", "[ban]\nduration = \"300s\" # five minutes\n"),
            (
                "[ban]\nduration = \"1h\"\nmax_duration = \"2h\"",
                "[ban]\nmax_duration = \"120m\"\nduration = \"60m\"",
            ),
            (&format!("{SCAN}{LOGIN}"), &format!("{LOGIN}{SCAN}")),
            ("", "[[rule]]\nname = \"error-flood\"\nthreshold = 50\n"),
            (
                "[protect]\nnetworks = [\"192.0.2.0/24\", \"198.51.100.7\"]",
                "[[protect.allow]]\nnetwork = \"198.51.100.7\"\ncomment = \"office\"\n[protect]\nnetworks = [\"192.0.2.0/24\"]",
            ),
            (
                "",
                "cleanup_interval = \"1m\"\n[api]\nlisten = \"127.0.0.1:3031\"\n[detect]\nmax_sources = 7",
            ),
        ] {
            assert_eq!(differing(one, other), [""; 0], "{one} against {other}");
        }
    }

    #[test]
    fn what_differs_is_named_by_its_key() {
        for (other, expected) in [
            (LOGIN, "rule"),
            ("[[rule]]\nname = \"error-flood\"\nthreshold = 10", "rule"),
            ("[[rule]]\nname = \"error-flood\"\nenabled = false", "rule"),
            ("[detect]\nsources = { ipv4 = 24, ipv6 = 64 }", "detect.sources"),
            ("[detect]\nagreeing_edges = 2", "detect.agreeing_edges"),
            ("[ban]\nmax_per_minute = 7", "ban"),
            ("[protect]\nnetworks = [\"192.0.2.0/24\"]", "protect"),
            ("trusted_proxies = [\"192.0.2.1\"]", "trusted_proxies"),
            ("[[feed]]\nname = \"a\"\npreset = \"tor-exits\"", "feed"),
        ] {
            assert_eq!(differing("", other), [expected], "{other}");
        }
    }
}
