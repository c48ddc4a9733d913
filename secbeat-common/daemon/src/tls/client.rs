//! TLS towards servers of others.

use std::{io, path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// A connection, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects to servers that the system's certificates, or those in a file, vouch for.
pub struct ClientTls(TlsConnector);

impl ClientTls {
    /// # Errors
    ///
    /// Returns an error if there is no certificate in `ca_file`, or none on the system.
    pub fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let reading = || format!("reading certificates in {}", path.display());
                for certificate in CertificateDer::pem_file_iter(path).with_context(reading)? {
                    roots
                        .add(certificate.with_context(reading)?)
                        .with_context(reading)?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        ensure!(
            !roots.is_empty(),
            "there is no certificate that could vouch for a server"
        );
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("setting up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config).into()))
    }

    /// Greets the server called `host` over `stream`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not that server, or does not speak TLS.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<Box<dyn Duplex>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Box::new(self.0.connect(name, stream).await?))
    }
}
