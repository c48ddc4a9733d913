//! New connections to servers, in plain TCP or TLS.

use std::{io, sync::Arc, time::Duration};

use anyhow::Context;
use socket2::SockRef;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector, TlsStream,
    rustls::{
        ClientConfig,
        crypto::ring,
        pki_types::{InvalidDnsNameError, ServerName},
    },
};

use crate::sources::proxy::{
    config::{Place, ServerUrl, Transport, UpstreamConfig},
    roots,
    stream::Stream,
};

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ConnectError {
    #[error("the server did not accept in time")]
    Late,
    #[error("other requests were first to connect")]
    Busy,
    #[error("the server closed the connection")]
    Closed,
    #[error("the server could not be reached just before")]
    Unreached,
    #[error("cannot connect")]
    Io(#[from] io::Error),
    #[error("the server's name cannot be in a certificate")]
    Name(#[from] InvalidDnsNameError),
    #[error("cannot speak HTTP with the server")]
    Http(#[from] hyper::Error),
}

/// What is offered to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    Both,
    Http1,
}

/// How to speak TLS to the servers of an upstream.
#[derive(Clone)]
pub(in super::super) struct ClientTls(Option<Configs>);

#[derive(Clone)]
struct Configs {
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl ClientTls {
    /// # Errors
    ///
    /// Returns an error if there are `https://` servers and no certificates to trust.
    pub(super) fn new(upstream: &UpstreamConfig) -> anyhow::Result<Self> {
        if upstream
            .servers
            .iter()
            .all(|server| server.url.transport() != Transport::Tls)
        {
            return Ok(Self(None));
        }
        let roots = match &upstream.ca {
            Some(path) => {
                roots::from_file(path).with_context(|| format!("ca of upstream `{}`", upstream.name))?
            }
            None => roots::from_system(),
        };
        anyhow::ensure!(
            !roots.is_empty(),
            "there is no certificate that could vouch for the servers of upstream `{}`; set its ca",
            upstream.name
        );
        let config = |protocols: &[&[u8]]| -> anyhow::Result<Arc<ClientConfig>> {
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .context("setting up TLS")?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self(Some(Configs {
            both: config(&[b"h2", b"http/1.1"])?,
            http1: config(&[b"http/1.1"])?,
        })))
    }
}

/// Connects within `within`. A server that takes nothing for `idle` is cut off by the kernel (tcp(7), TCP_USER_TIMEOUT).
pub(super) async fn connect(
    url: &ServerUrl,
    tls: &ClientTls,
    alpn: Alpn,
    within: Duration,
    idle: Duration,
) -> Result<Stream, ConnectError> {
    let connecting = async {
        let (host, port) = match url.place() {
            Place::Tcp { host, port } => (host, port),
            Place::Unix(path) => return Ok(Stream::Unix(UnixStream::connect(path).await?)),
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(idle))?;
        let Some(configs) = tls.0.as_ref().filter(|_| url.transport() == Transport::Tls) else {
            return Ok(Stream::Plain(stream));
        };
        let config = match alpn {
            Alpn::Both => &configs.both,
            Alpn::Http1 => &configs.http1,
        };
        let name = ServerName::try_from(host)?;
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    };
    timeout(within, connecting)
        .await
        .map_err(|_| ConnectError::Late)?
}
