//! Challenges that a certificate authority is shown when it asks whether a name leads here: while an order is open, and only what
//! that asks for.

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::ClientHello,
    sign::{CertifiedKey, SingleCertAndKey},
};

/// RFC 8737, section 6.2.
const ACME_TLS: &[u8] = b"acme-tls/1";
/// RFC 8555, section 8.3.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// The open challenge, if there is one: orders follow one another, and each is for one name.
#[derive(Debug, Default)]
pub(in super::super) struct Challenges(ArcSwapOption<Open>);

#[derive(Debug)]
enum Open {
    Http { token: String, answer: Bytes },
    Tls { name: String, config: Arc<ServerConfig> },
}

/// Ends the challenge when it is dropped.
pub(in super::super) struct Posed(Arc<Challenges>, Arc<Open>);

impl Drop for Posed {
    fn drop(&mut self) {
        let open = &self.0.0;
        if open
            .load()
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, &self.1))
        {
            open.store(None);
        }
    }
}

impl Challenges {
    /// Answers requests for `token` with the key authorization `answer` (RFC 8555, section 8.3).
    pub(in super::super) fn pose_http(self: &Arc<Self>, token: &str, answer: &str) -> Posed {
        self.pose(Open::Http {
            token: token.to_owned(),
            answer: Bytes::from(answer.to_owned()),
        })
    }

    /// Shows clients that ask for `name` by the protocol `acme-tls/1` a certificate with the digest of the key authorization (RFC 8737).
    ///
    /// # Errors
    ///
    /// Returns an error if that certificate cannot be made.
    pub(in super::super) fn pose_tls(self: &Arc<Self>, name: &str, digest: &[u8]) -> anyhow::Result<Posed> {
        let config = tls_config(name, digest).context("making a challenge's certificate")?;
        Ok(self.pose(Open::Tls {
            name: name.to_owned(),
            config: Arc::new(config),
        }))
    }

    fn pose(self: &Arc<Self>, open: Open) -> Posed {
        let open = Arc::new(open);
        self.0.store(Some(open.clone()));
        Posed(self.clone(), open)
    }

    /// The body of the answer to a request for `path`, if that is the open challenge's.
    pub(in super::super) fn http_answer(&self, path: &str) -> Option<Bytes> {
        let asked = path.strip_prefix(WELL_KNOWN)?;
        match self.0.load().as_deref() {
            Some(Open::Http { token, answer }) if token == asked => Some(answer.clone()),
            _ => None,
        }
    }

    /// Whether a handshake could be part of a challenge.
    pub(in super::super) fn may_come_by_tls(&self) -> bool {
        matches!(self.0.load().as_deref(), Some(Open::Tls { .. }))
    }

    /// Returns how to go on with a handshake that is part of the open challenge: its client offers this protocol alone.
    pub(in super::super) fn tls_answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        let asked = hello.server_name()?;
        match self.0.load().as_deref() {
            Some(Open::Tls { name, config }) if name.eq_ignore_ascii_case(asked) => Some(config.clone()),
            _ => None,
        }
    }
}

fn tls_config(name: &str, digest: &[u8]) -> anyhow::Result<ServerConfig> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    // Not with what would look at the certificate: that knows nothing of this extension, which is critical.
    let certified = CertifiedKey::new(
        vec![certificate.der().clone()],
        ring::sign::any_supported_type(&key)?,
    );
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}
