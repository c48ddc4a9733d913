//! TLS towards clients: certificates by the name asked for, read again when their files change. And towards servers.

mod client;

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

pub use self::client::{ClientTls, Duplex};
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
    /// Those that may not be there yet.
    obtained: Vec<CertificateFiles>,
    certificates: Arc<Certificates>,
    config: Arc<ServerConfig>,
    /// The files as they were when last looked at.
    stamp: Mutex<Vec<Stamp>>,
}

/// What changes when a file does.
type Stamp = Option<(SystemTime, u64, u64)>;

#[derive(Debug)]
struct Certificates(ArcSwap<Loaded>);

#[derive(Debug)]
struct Loaded {
    certified: Vec<Arc<CertifiedKey>>,
    /// Whether some are not there yet. Then no other is shown in their place: a client would take that for an attack.
    lacks_some: bool,
}

impl ServerTls {
    /// Reads `files`, of which there is at least one. `protocols` are what it speaks (ALPN), the best first.
    ///
    /// # Errors
    ///
    /// Returns an error if one cannot be read, or a key does not go with its certificate.
    pub fn new(files: &[CertificateFiles], protocols: &[&str]) -> anyhow::Result<Self> {
        Self::with_obtained(files, &[], protocols)
    }

    /// As [`new`](Self::new), and first among the certificates are those `obtained`, of which some may not be there yet. `files` may
    /// be empty then.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_obtained(
        files: &[CertificateFiles],
        obtained: &[CertificateFiles],
        protocols: &[&str],
    ) -> anyhow::Result<Self> {
        let stamp = stamps(obtained.iter().chain(files));
        let loaded = load(files, obtained)?;
        let certificates = Arc::new(Certificates(ArcSwap::from_pointee(loaded)));
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
            obtained: obtained.to_vec(),
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
        let stamp = stamps(self.obtained.iter().chain(&self.files));
        {
            let mut last = self.stamp.lock();
            if *last == stamp {
                return;
            }
            *last = stamp;
        }
        match load(&self.files, &self.obtained) {
            Ok(loaded) => {
                self.certificates.0.store(Arc::new(loaded));
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

fn stamps<'a>(files: impl Iterator<Item = &'a CertificateFiles>) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &Path| -> io::Result<(SystemTime, u64, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len(), metadata.ino()))
    };
    let both = |files: &CertificateFiles| [stamp(&files.certificate).ok(), stamp(&files.key).ok()];
    files.flat_map(both).collect()
}

fn load(files: &[CertificateFiles], obtained: &[CertificateFiles]) -> anyhow::Result<Loaded> {
    let there: Vec<_> = obtained
        .iter()
        .filter(|files| files.certificate.exists())
        .collect();
    let lacks_some = there.len() < obtained.len();
    let all = there.into_iter().chain(files);
    Ok(Loaded {
        certified: all
            .map(|files| load_one(files).map(Arc::new))
            .collect::<anyhow::Result<_>>()?,
        lacks_some,
    })
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
        .with_context(|| format!("{certificate} is not a server certificate"))?;
    Ok(certified)
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.0.load();
        let certificates = &loaded.certified;
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let is_for = |certified: &&Arc<CertifiedKey>| {
            let name = name.as_ref()?;
            let certificate = webpki::EndEntityCert::try_from(certified.cert.first()?).ok()?;
            certificate.verify_is_valid_for_subject_name(name).ok()
        };
        let several = certificates.len() > 1 || loaded.lacks_some;
        let named = several.then(|| certificates.iter().find(|certified| is_for(certified).is_some()));
        let first = || {
            certificates
                .first()
                .filter(|_| !loaded.lacks_some || name.is_none())
        };
        named.flatten().or_else(first).cloned()
    }
}
