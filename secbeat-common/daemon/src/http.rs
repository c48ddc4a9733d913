//! Clients of HTTP, that block.

mod get;
mod post;
mod unix;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use tokio_rustls::rustls::crypto::ring;
use ureq::{
    Agent, Proxy,
    config::ConfigBuilder,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    typestate::AgentScope,
};

use self::unix::{NoResolver, SocketConnector};
pub use self::{
    get::{Getter, Got, Validators},
    post::{Answer, Post, Poster},
};

/// A client that trusts `roots` alone. Any status is an answer, redirects are not followed and proxies not used: what a call
/// shows is for whom it calls. It may take as long as `patience`.
pub(super) fn client(roots: RootCerts, patience: Duration) -> Agent {
    client_by(None, roots, patience)
}

/// The same by a proxy.
fn client_by(proxy: Option<Proxy>, roots: RootCerts, patience: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    config(patience).tls_config(tls).proxy(proxy).build().into()
}

/// The same of the program that listens on a Unix socket, if it is a user that `of` accepts.
pub(super) fn client_on(socket: &Path, of: Option<fn(u32) -> bool>, patience: Duration) -> Agent {
    Agent::with_parts(
        config(patience).build(),
        SocketConnector {
            path: socket.to_owned(),
            of,
        },
        NoResolver,
    )
}

fn config(patience: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
}

/// The certificates to trust: those in `file` (PEM), or else the system's.
///
/// # Errors
///
/// Returns an error if there are none in `file`.
pub(super) fn roots(file: Option<&Path>) -> anyhow::Result<RootCerts> {
    match file {
        Some(path) => read(path).with_context(|| format!("reading certificates in {}", path.display())),
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            let roots = system.iter().map(|der| Certificate::from_der(der).to_owned());
            Ok(RootCerts::from(roots.collect::<Vec<_>>()))
        }
    }
}

fn read(path: &Path) -> anyhow::Result<RootCerts> {
    let pem = std::fs::read(path)?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item? {
            roots.push(certificate);
        }
    }
    ensure!(!roots.is_empty(), "there is none");
    Ok(RootCerts::from(roots))
}
