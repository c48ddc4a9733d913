//! The sockets that the daemon listens on.

use std::net::TcpListener;

use anyhow::Context;

use crate::{config::Config, sources::proxy::listen};

/// The sockets that the daemon listens on, made before anything else: the ports may need root, and an address that is
/// wrong or taken shall leave the host as it was.
#[derive(Debug)]
pub struct Listeners {
    inputs: InputSockets,
    api: TcpListener,
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
    /// When an address cannot be listened on; the error names its key.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let listeners = config.proxy().into_iter().flat_map(|proxy| &proxy.listeners);
        let proxy = listeners.map(|listener| listen(listener.address));
        let authz = config.authz.listen.map(listen).transpose();
        Ok(Self {
            inputs: InputSockets {
                proxy: proxy.collect::<Result<_, _>>().context("proxy.listen")?,
                authz: authz.context("authz.listen")?,
            },
            api: listen(config.api_listen).context("api_listen")?,
        })
    }

    pub(super) fn split(self) -> (InputSockets, TcpListener) {
        (self.inputs, self.api)
    }
}
