//! The proxy's knowledge of the servers behind it.

use std::sync::Arc;

use super::forward::Forwarder;

/// The servers of the running proxy.
#[derive(Clone)]
pub(crate) struct Servers(Arc<Forwarder>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerState {
    /// The upstream's name.
    pub upstream: String,
    pub url: String,
    /// Whether it gets requests.
    pub up: bool,
}

impl Servers {
    pub(super) fn of(forwarder: &Arc<Forwarder>) -> Self {
        Self(forwarder.clone())
    }

    /// All of them, as things are now.
    #[must_use]
    pub(crate) fn states(&self) -> Vec<ServerState> {
        let site = self.0.site.load();
        let upstreams = site.upstreams().iter();
        upstreams
            .flat_map(|upstream| {
                upstream.servers().iter().map(|server| ServerState {
                    upstream: upstream.config.name.clone(),
                    url: server.url.to_string(),
                    up: server.is_up(),
                })
            })
            .collect()
    }
}
