//! Upstreams: servers that answer alike, their connections and their health.

mod connect;
mod health;
mod http1;
mod http2;
mod lease;
mod server;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

pub(super) use self::{
    connect::{ClientTls, ConnectError},
    http1::{Exchanged, wait_late},
    http2::is_refused,
    lease::Lease,
    server::{Connection, ConnectionPolicy, Server},
};
use super::config::{ProxyConfig, UpstreamConfig};

/// Idle connections that are kept of a server.
const IDLE: usize = 256;
/// How long they are kept: less than the usual server does.
const IDLE_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// One `[[proxy.upstream]]`.
pub(super) struct Upstream {
    /// What it was made of, so that a reload knows one that has not changed.
    pub(super) config: UpstreamConfig,
    /// Its index among the names in telemetry.
    pub(super) index: u16,
    servers: Vec<Arc<Server>>,
    next: AtomicUsize,
}

impl Upstream {
    /// Starts to ask after the servers' health, if that is wanted, for as long as the upstream lives. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the certificates for `https://` servers cannot be had.
    pub(super) fn start(upstream: &UpstreamConfig, index: u16, config: &ProxyConfig) -> anyhow::Result<Self> {
        let tls = ClientTls::new(upstream)?;
        let servers: Vec<_> = upstream
            .servers
            .iter()
            .map(|url| Arc::new(Server::new(url.clone(), tls.clone(), config)))
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
            next: AtomicUsize::new(0),
        })
    }

    /// The server whose turn it is among those that are up and not `avoided`. With none of these, one is better than none.
    pub(super) fn pick(&self, avoided: Option<&Arc<Server>>) -> Option<&Arc<Server>> {
        let count = self.servers.len();
        if count == 1 {
            return self.servers.first();
        }
        let turn = self.next.fetch_add(1, Relaxed);
        let in_turn = || (0..count).filter_map(|offset| self.servers.get(turn.wrapping_add(offset) % count));
        let is_avoided = |server: &Arc<Server>| avoided.is_some_and(|avoided| Arc::ptr_eq(avoided, server));
        in_turn()
            .find(|server| server.is_up() && !is_avoided(server))
            .or_else(|| in_turn().find(|server| !is_avoided(server)))
    }

    /// Its servers.
    pub(super) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Whether there is more than one server.
    pub(super) fn has_several(&self) -> bool {
        self.servers.len() > 1
    }
}
