//! Orders for the detectors of edges.

use secbeat_common::maps::allow;
use secbeat_orchestrator_core::{ProtectedNet, analyzers::DetectConfig, stand_in::Orders};

use super::Config;

impl Config {
    /// Returns what the detectors of edges go by while no orchestrator decides: only what is the same for all orchestrators, so
    /// that they write the same.
    #[must_use]
    pub fn orders(&self) -> Orders {
        let configured = self.protect.entries().into_iter().map(|entry| ProtectedNet {
            network: entry.network,
            code: allow::CONFIGURED,
            comment: String::new(),
            until_ms: entry.until.map(|until| until.as_millisecond()),
        });
        let proxies = self.trusted_proxies.iter().map(|network| ProtectedNet {
            network: *network,
            code: allow::TRUSTED_PROXY,
            comment: String::new(),
            until_ms: None,
        });
        let mut protected: Vec<_> = configured.chain(proxies).collect();
        protected.sort_by_key(|net| (net.network, net.code));
        let mut detect = DetectConfig {
            max_sources: DetectConfig::default().max_sources,
            ..self.detector()
        };
        // An edge does not know whose network a client is in.
        detect.rules.retain(|rule| !rule.counts_clients());
        Orders {
            detect,
            ledger: self.ledger(Vec::new()),
            protected,
            max_age: self.max_age(),
            cleanup_interval: Self::default().cleanup_interval.0,
            unban_grace: self.ban.unban_grace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_told_whom_the_config_protects_and_what_it_bans_for() {
        let config: Config = toml::from_str(
            "trusted_proxies = [\"192.0.2.1\"]\n[protect]\nnetworks = [\"203.0.113.0/24\"]\n\
             [ban]\nduration = \"10m\"\n[[rule]]\nname = \"error-flood\"\nthreshold = 7\n",
        )
        .unwrap();
        let orders = Orders::hear(&config.directives().detection).unwrap();
        let protected: Vec<_> = orders
            .protected
            .iter()
            .map(|net| net.network.to_string())
            .collect();
        assert_eq!(protected, ["192.0.2.1/32", "203.0.113.0/24"]);
        assert_eq!(orders.ledger.ban.as_secs(), 600);
        assert_eq!(orders.detect.rules[0].threshold.count.get(), 7);
        // What an orchestrator keeps in memory is its own matter, and all write the same.
        let other: Config = toml::from_str("[detect]\nmax_sources = 5\n").unwrap();
        assert_eq!(other.orders(), Config::default().orders());
    }
}
