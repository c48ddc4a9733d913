//! Upstreams: servers that answer alike, their connections and their health.

#[expect(unsafe_code, reason = "TCP_INFO has no safe interface")]
mod acked;
mod connect;
mod health;
mod http1;
mod http2;
mod lease;
mod lenient;
mod server;
mod settings;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use secbeat_common::prefix::Prefix;

pub(super) use self::{
    connect::{ClientTls, ConnectError},
    http1::{Exchanged, wait_late},
    http2::{Verdict, verdict},
    lease::Lease,
    server::{Connection, ConnectionPolicy, Server},
};
use super::config::{ProxyConfig, ServerConfig, Transport, UpstreamConfig};

/// Idle connections that are kept of a server.
const IDLE: usize = 256;
/// Time that they are kept: less than the usual server does.
const IDLE_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// One `[[proxy.upstream]]`.
pub(super) struct Upstream {
    /// What it was made of, so that a reload knows one that has not changed.
    pub(super) config: UpstreamConfig,
    /// Its index among the names in telemetry.
    pub(super) index: u16,
    servers: Vec<Arc<Server>>,
    /// Indices of the servers, each as often as its weight says, spread evenly.
    turns: Vec<usize>,
    next: AtomicUsize,
}

impl Upstream {
    /// Starts to ask after the servers' health, if that is wanted, for as long as the upstream lives. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the certificates for `https://` servers cannot be had.
    pub(super) fn start(upstream: &UpstreamConfig, index: u16, config: &ProxyConfig) -> anyhow::Result<Self> {
        let tls = ClientTls::new(upstream)?;
        let servers: Vec<_> = upstream
            .servers
            .iter()
            .map(|server| Arc::new(Server::new(server.url.clone(), tls.clone(), config)))
            .collect();
        for server in &servers {
            tokio::spawn(server::reap(Arc::downgrade(server)));
            if let Some(health) = &upstream.health {
                let name = upstream.name.clone();
                tokio::spawn(health::watch(name, Arc::downgrade(server), health.clone()));
            }
        }
        Ok(Self {
            config: upstream.clone(),
            index,
            servers,
            turns: turns(&upstream.servers),
            next: AtomicUsize::new(0),
        })
    }

    /// The server for a request of `client` among those that are up and not `avoided`: whose turn it is, or the client's own where
    /// clients have one. With none of these, one is better than none.
    pub(super) fn pick(&self, client: IpAddr, avoided: Option<&Arc<Server>>) -> Option<&Arc<Server>> {
        if self.servers.len() == 1 {
            return self.servers.first();
        }
        let is_avoided = |server: &Arc<Server>| avoided.is_some_and(|avoided| Arc::ptr_eq(avoided, server));
        if self.config.sticky {
            let rank = |(server, config): &(&Arc<Server>, &ServerConfig)| {
                (!is_avoided(server), server.is_up(), affinity(client, config))
            };
            let servers = self.servers.iter().zip(&self.config.servers);
            return servers.max_by_key(rank).map(|(server, _)| server);
        }
        let count = self.turns.len();
        let turn = self.next.fetch_add(1, Relaxed);
        let in_turn = || {
            (0..count).filter_map(|offset| self.servers.get(self.turns[turn.wrapping_add(offset) % count]))
        };
        in_turn()
            .find(|server| server.is_up() && !is_avoided(server))
            .or_else(|| in_turn().find(|server| !is_avoided(server)))
    }

    /// Its servers.
    pub(super) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Whether a request to it may switch protocols: HTTP/2 has no way to.
    pub(super) fn speaks_http1(&self) -> bool {
        let mut servers = self.config.servers.iter();
        servers.any(|server| server.url.transport() != Transport::H2c)
    }

    /// Whether there is more than one server.
    pub(super) fn has_several(&self) -> bool {
        self.servers.len() > 1
    }
}

/// The order in which servers take turns: smooth weighted round robin, so that a heavy one has no burst.
fn turns(servers: &[ServerConfig]) -> Vec<usize> {
    let weights: Vec<i32> = servers.iter().map(|server| server.weight.get().into()).collect();
    let total: i32 = weights.iter().sum();
    let mut credits = vec![0; servers.len()];
    let turn = |_| {
        credits
            .iter_mut()
            .zip(&weights)
            .for_each(|(credit, weight)| *credit += weight);
        let (index, credit) = credits
            .iter_mut()
            .enumerate()
            .rev()
            .max_by_key(|(_, credit)| **credit)?;
        *credit -= total;
        Some(index)
    };
    (0..total).filter_map(turn).collect()
}

/// Returns how much a client belongs to a server: weighted rendezvous hashing, so that a server that comes or goes moves only its
/// own clients. For numbers above 0, bits sort as the numbers do.
fn affinity(client: IpAddr, server: &ServerConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    (Prefix::single(client), &server.url).hash(&mut hasher);
    // Within (0, 1), in 52 bits.
    let uniform = ((hasher.finish() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    (f64::from(server.weight.get()) / -uniform.ln()).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(weights: &[u8]) -> Vec<ServerConfig> {
        let server = |(index, weight): (usize, &u8)| ServerConfig {
            url: format!("http://10.0.0.{index}").parse().unwrap(),
            weight: (*weight).try_into().unwrap(),
        };
        weights.iter().enumerate().map(server).collect()
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        assert_eq!(turns(&servers(&[1, 1, 1])), [0, 1, 2]);
        assert_eq!(turns(&servers(&[5, 1, 1])), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn clients_spread_by_weight_and_stay_when_another_server_goes() {
        let servers = servers(&[3, 1, 1]);
        let of = |client: IpAddr, servers: &[ServerConfig]| {
            let best = servers.iter().max_by_key(|server| affinity(client, server));
            best.unwrap().url.to_string()
        };
        let mut counts = std::collections::HashMap::<String, u32>::new();
        for index in 0..5000_u32 {
            let client = IpAddr::from(index.to_be_bytes());
            let own = of(client, &servers);
            let after = of(client, &servers[..2]);
            assert!(after == own || own == servers[2].url.to_string());
            *counts.entry(own).or_default() += 1;
        }
        let heavy = counts[&servers[0].url.to_string()];
        assert!((2800..3200).contains(&heavy), "{counts:?}");
    }
}
