//! TLS towards clients: certificates by the name asked for, read anew when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

use super::config::schema;

/// A certificate chain and its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The chain, its own certificate first.
    #[schemars(with = "schema::File")]
    pub certificate: PathBuf,
    /// Its key.
    #[schemars(with = "schema::File")]
    pub key: PathBuf,
}

/// The TLS of one listener.
pub struct ServerTls {
    files: Vec<CertificateFiles>,
    certificates: Arc<Certificates>,
    config: Arc<ServerConfig>,
    /// The files as they were when last looked at.
    stamp: Mutex<Vec<Stamp>>,
}

/// What changes when a file does.
type Stamp = Option<(SystemTime, u64, u64)>;

#[derive(Debug)]
struct Certificates(ArcSwap<Vec<Arc<CertifiedKey>>>);

impl ServerTls {
    /// Reads `files`, of which there is at least one. `protocols` are what it speaks (ALPN), the best first.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or a key does not go with its certificate.
    pub fn new(files: &[CertificateFiles], protocols: &[&str]) -> anyhow::Result<Self> {
        let stamp = stamps(files);
        let certificates = Arc::new(Certificates(ArcSwap::from_pointee(load(files)?)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("setting up TLS")?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        config.ticketer = ring::Ticketer::new().context("setting up TLS")?;
        Ok(Self {
            files: files.to_vec(),
            certificates,
            config: Arc::new(config),
            stamp: stamp.into(),
        })
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }

    /// Reads the files again if they have changed. What cannot be used leaves the certificates as they were, and is
    /// tried again with the next change.
    pub fn refresh(&self) {
        let stamp = stamps(&self.files);
        {
            let mut last = self.stamp.lock();
            if *last == stamp {
                return;
            }
            *last = stamp;
        }
        match load(&self.files) {
            Ok(certificates) => {
                self.certificates.0.store(Arc::new(certificates));
                tracing::info!("new certificates are in use");
            }
            Err(error) => {
                tracing::error!(
                    "the certificates have changed and cannot be used; the old ones stay: {error:#}"
                );
            }
        }
    }
}

fn stamps(files: &[CertificateFiles]) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &Path| -> io::Result<(SystemTime, u64, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len(), metadata.ino()))
    };
    let both = |files: &CertificateFiles| [stamp(&files.certificate).ok(), stamp(&files.key).ok()];
    files.iter().flat_map(both).collect()
}

fn load(files: &[CertificateFiles]) -> anyhow::Result<Vec<Arc<CertifiedKey>>> {
    files.iter().map(|files| load_one(files).map(Arc::new)).collect()
}

fn load_one(files: &CertificateFiles) -> anyhow::Result<CertifiedKey> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let reading = || format!("reading certificate {certificate}");
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .with_context(reading)?
        .collect::<Result<_, _>>()
        .with_context(reading)?;
    ensure!(!chain.is_empty(), "{certificate} has no certificate");
    let reading = || format!("reading key {key}");
    let private = PrivateKeyDer::from_pem_file(&files.key).with_context(reading)?;
    let certified = CertifiedKey::from_der(chain, private, &ring::default_provider())
        .with_context(|| format!("key {key} does not go with certificate {certificate}"))?;
    webpki::EndEntityCert::try_from(&certified.cert[0])
        .with_context(|| format!("{certificate} is no certificate of a server"))?;
    Ok(certified)
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let is_for = |certified: &&Arc<CertifiedKey>| {
            let name = name.as_ref()?;
            let certificate = webpki::EndEntityCert::try_from(certified.cert.first()?).ok()?;
            certificate.verify_is_valid_for_subject_name(name).ok()
        };
        let several = certificates.len() > 1;
        let named = several.then(|| certificates.iter().find(|certified| is_for(certified).is_some()));
        named.flatten().or_else(|| certificates.first()).cloned()
    }
}
