//! Files that outlive the daemon: the account, certificates with their keys, and how attempts went. Nobody else may read it.

use std::{
    fs::{self, DirBuilder},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use instant_acme::{AccountCredentials, CertificateIdentifier};
use secbeat_daemon::credentials::write_private;
use secbeat_edge_core::Life;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_rustls::rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    sign::CertifiedKey,
};
use webpki::EndEntityCert;
use x509_parser::parse_x509_certificate;

use super::super::config::AcmeConfig;

/// The folder of one directory.
#[derive(Clone, Debug)]
pub(super) struct Store {
    config: AcmeConfig,
}

/// The account at the certificate authority.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedAccount {
    pub(super) contact: Vec<String>,
    pub(super) credentials: AccountCredentials,
}

/// How attempts to get one certificate went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attempts {
    pub(super) obtained_ms: Option<i64>,
    pub(super) tried_ms: Option<i64>,
    pub(super) failures: u32,
    pub(super) unfinished: u32,
    pub(super) wait_until_ms: Option<i64>,
    pub(super) error: Option<String>,
    /// When the certificate authority wants it renewed: from and until.
    pub(super) window_ms: Option<(i64, i64)>,
    /// Time at which to ask for that again.
    pub(super) ask_window_ms: Option<i64>,
}

/// What is known of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) life: Life,
    /// What the certificate authority calls it (RFC 9773); `None` if it cannot be called anything.
    pub(super) id: Option<CertificateIdentifier<'static>>,
    /// From 0 to 1, and always the same for one certificate.
    pub(super) jitter: f64,
}

impl Store {
    /// Makes the folder.
    ///
    /// # Errors
    ///
    /// Returns an error if that is not possible.
    pub(super) fn open(config: &AcmeConfig) -> anyhow::Result<Self> {
        let folder = &config.folder;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("making {}", folder.display()))?;
        Ok(Self {
            config: config.clone(),
        })
    }

    fn account_file(&self) -> PathBuf {
        self.config.folder.join("account.json")
    }

    fn attempts_file(&self, domain: &str) -> PathBuf {
        self.config.folder.join(format!("{domain}.json"))
    }

    /// # Errors
    ///
    /// Returns an error if there is one that cannot be read: another account would lose what this one may do.
    pub(super) fn account(&self) -> anyhow::Result<Option<SavedAccount>> {
        read_json(&self.account_file())
    }

    pub(super) fn save_account(&self, account: &SavedAccount) -> anyhow::Result<()> {
        write_private(&self.account_file(), &serde_json::to_vec(account)?, true)
    }

    /// Lets go of an account that the certificate authority does not know any more.
    pub(super) fn forget_account(&self) -> anyhow::Result<()> {
        let file = self.account_file();
        fs::rename(&file, file.with_extension("json.unknown"))
            .with_context(|| format!("renaming {}", file.display()))
    }

    /// Returns how attempts went, as far as that is known.
    pub(super) fn attempts(&self, domain: &str) -> Attempts {
        let read = read_json(&self.attempts_file(domain));
        read.unwrap_or_else(|error| {
            tracing::warn!("how attempts to get a certificate went is forgotten: {error:#}");
            None
        })
        .unwrap_or_default()
    }

    pub(super) fn save_attempts(&self, domain: &str, attempts: &Attempts) -> anyhow::Result<()> {
        write_private(&self.attempts_file(domain), &serde_json::to_vec(attempts)?, true)
    }

    /// The certificate of `domain`, if there is one that can be used.
    pub(super) fn certificate(&self, domain: &str) -> Option<Certificate> {
        certificate(&self.config, domain)
    }

    /// Writes a certificate and its key, in PEM.
    pub(super) fn save_certificate(&self, domain: &str, pem: &[u8]) -> anyhow::Result<()> {
        write_private(&self.config.files(domain).certificate, pem, true)
    }
}

/// The certificate of `domain` that is there, if it can be used.
pub(super) fn certificate(config: &AcmeConfig, domain: &str) -> Option<Certificate> {
    let pem = fs::read(config.files(domain).certificate).ok()?;
    inspect(&pem, domain).ok()
}

/// Puts what cannot be used of the certificates aside: they are obtained again, and the rest of the proxy is not held up.
pub(in super::super) fn set_broken_aside(config: &AcmeConfig) {
    for domain in &config.domains {
        let file = config.files(domain).certificate;
        let looked = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read.map_err(Into::into).and_then(|pem| inspect(&pem, domain)),
        };
        let Err(error) = looked else { continue };
        let aside = file.with_extension("pem.broken");
        tracing::error!(
            "{} cannot be used and becomes {}: {error:#}",
            file.display(),
            aside.display()
        );
        if let Err(error) = fs::rename(&file, &aside) {
            tracing::error!(%error, "renaming {}", file.display());
        }
    }
}

/// Looks at a chain of certificates and its key, in PEM.
///
/// # Errors
///
/// Returns an error if they cannot be used, or are not for `domain`.
pub(super) fn inspect(pem: &[u8], domain: &str) -> anyhow::Result<Certificate> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .context("reading the chain of certificates")?;
    let own = chain.first().context("there is no certificate")?.clone();
    let key = PrivateKeyDer::from_pem_slice(pem).context("reading the key")?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .context("the key does not match the certificate")?;
    let name = ServerName::try_from(domain).context("the name")?;
    EndEntityCert::try_from(&own)
        .and_then(|certificate| certificate.verify_is_valid_for_subject_name(&name))
        .with_context(|| format!("the certificate is not for {domain}"))?;
    let (_, parsed) = parse_x509_certificate(&own).context("reading the certificate")?;
    let validity = parsed.validity();
    let life = Life {
        from_ms: validity.not_before.timestamp().saturating_mul(1000),
        until_ms: validity.not_after.timestamp().saturating_mul(1000),
    };
    ensure!(
        life.from_ms < life.until_ms,
        "the certificate ends before it begins"
    );
    Ok(Certificate {
        life,
        id: CertificateIdentifier::try_from(&own)
            .ok()
            .map(CertificateIdentifier::into_owned),
        jitter: f64::from(crc32fast::hash(&own)) / f64::from(u32::MAX),
    })
}

fn read_json<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Option<T>> {
    let bytes = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("reading {}", file.display()))?,
    };
    let value = serde_json::from_slice(&bytes);
    value
        .with_context(|| format!("reading {}", file.display()))
        .map(Some)
}
