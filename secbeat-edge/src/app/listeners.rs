//! The sockets that the daemon listens on.

use std::net::TcpListener;

use anyhow::Context;
use secbeat_daemon::{
    api::LocalSocket,
    sockets::{self, Inherited},
};

use crate::{
    config::{Config, PROGRAM},
    sources::proxy::listen,
};

/// The sockets that the daemon listens on, made before anything else: the ports may need root, and an address that is
/// wrong or taken shall leave the host as it was.
#[derive(Debug)]
pub struct Listeners {
    inputs: InputSockets,
    api: ApiSockets,
}

/// Those of the local API.
#[derive(Debug)]
pub(super) struct ApiSockets {
    pub(super) tcp: TcpListener,
    pub(super) local: Option<LocalSocket>,
}

/// Those by which requests come.
#[derive(Debug)]
pub(super) struct InputSockets {
    /// In the order of the proxy's listeners.
    pub(super) proxy: Vec<TcpListener>,
    pub(super) authz: Option<TcpListener>,
}

impl Listeners {
    /// # Errors
    ///
    /// Returns an error if an address cannot be listened on; the error names its key. Sockets that systemd passes on are taken
    /// over.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let mut inherited = Inherited::take();
        let mut open = |address| match inherited.at(address) {
            Some(listener) => Ok(listener),
            None => listen(address),
        };
        let listeners = config.proxy().into_iter().flat_map(|proxy| &proxy.listeners);
        let proxy = listeners.map(|listener| open(listener.address));
        let proxy = proxy.collect::<Result<_, _>>().context("proxy.listen")?;
        let authz = config.authz.listen.map(&mut open).transpose();
        let authz = authz.context("authz.listen")?;
        if let (Some(authz), Some(address)) = (&authz, config.authz.listen) {
            sockets::keep(authz, address);
        }
        inherited.close_rest();
        Ok(Self {
            inputs: InputSockets { proxy, authz },
            api: ApiSockets {
                tcp: listen(config.api_listen).context("api_listen")?,
                local: config.api_socket.open(PROGRAM).context("api_socket")?,
            },
        })
    }

    pub(super) fn split(self) -> (InputSockets, ApiSockets) {
        (self.inputs, self.api)
    }
}
