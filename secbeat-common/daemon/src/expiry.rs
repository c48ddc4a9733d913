//! Expiry of the certificates of NATS: of the authority in a member's credentials, and of each server.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    },
};
use tracing::{debug, error, warn};
use utoipa::ToSchema;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::{
    config::{NatsServers, NatsUrl},
    credentials::Membership,
    time::{now_ms, rfc3339},
};

/// Interval at which certificates are looked at.
const PERIOD: Duration = Duration::from_secs(6 * 3600);
/// When a server that was not reached is asked again.
const RETRY: Duration = Duration::from_secs(30);
/// Time that a server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long before its end a certificate is an alarm, in milliseconds.
const SOON_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// `fleet-ca`, or `nats-server` with its address.
    pub name: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// When a certificate of NATS ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// `fleet-ca`, or `nats-server` with its address.
    pub name: String,
    /// RFC 3339.
    pub expires_at: String,
    /// Unix time.
    pub expires_at_seconds: i64,
    /// Whether it ends within 30 days, or has.
    pub soon: bool,
}

impl CertificateView {
    /// `expiry` as of `now_ms`.
    #[must_use]
    pub fn new(expiry: &Expiry, now_ms: i64) -> Self {
        Self {
            name: expiry.name.clone(),
            expires_at: rfc3339(expiry.at_ms),
            expires_at_seconds: expiry.at_ms / 1000,
            soon: is_soon(expiry, now_ms),
        }
    }

    /// All of `seen` as of now.
    #[must_use]
    pub fn all(seen: &watch::Receiver<Vec<Expiry>>) -> Vec<Self> {
        let now_ms = now_ms();
        seen.borrow()
            .iter()
            .map(|expiry| Self::new(expiry, now_ms))
            .collect()
    }

    /// Its line in `status`.
    #[must_use]
    pub fn line(&self) -> String {
        let alarm = if self.soon { "EXPIRES SOON: " } else { "" };
        format!("{alarm}{} until {}", self.name, self.expires_at)
    }
}

fn is_soon(expiry: &Expiry, now_ms: i64) -> bool {
    expiry.at_ms.saturating_sub(now_ms) < SOON_MS
}

/// Looks at the certificates of the bus of `member` for as long as the future is polled, which never ends. There are none unless it
/// has credentials with an authority.
pub fn watch_certificates(
    member: &Membership,
) -> (watch::Receiver<Vec<Expiry>>, impl Future<Output = ()> + use<>) {
    let (tell, seen) = watch::channel(Vec::new());
    let authority = member.login.as_ref().and_then(|login| login.authority.clone());
    let servers = member.servers.clone();
    let watching = async move {
        match authority {
            Some(authority) => look_for_ever(&authority, &servers, &tell).await,
            None => std::future::pending().await,
        }
    };
    (seen, watching)
}

async fn look_for_ever(authority: &str, servers: &NatsServers, tell: &watch::Sender<Vec<Expiry>>) {
    let mut known = BTreeMap::new();
    loop {
        match of_authority(authority) {
            Ok(at_ms) => drop(known.insert("fleet-ca".to_owned(), at_ms)),
            Err(error) => debug!("reading the certificate of the fleet failed: {error:#}"),
        }
        let mut all = true;
        for url in servers.urls() {
            match timeout(PATIENCE, of_server(url))
                .await
                .context("no answer")
                .flatten()
            {
                Ok(at_ms) => drop(known.insert(format!("nats-server {url}"), at_ms)),
                Err(error) => {
                    all = false;
                    debug!("asking {url} for its certificate failed: {error:#}");
                }
            }
        }
        let seen = known.iter().map(|(name, at_ms)| Expiry {
            name: name.clone(),
            at_ms: *at_ms,
        });
        let seen: Vec<_> = seen.collect();
        if all {
            alarm(&seen, now_ms());
        }
        tell.send_replace(seen);
        tokio::time::sleep(if all { PERIOD } else { RETRY }).await;
    }
}

fn alarm(seen: &[Expiry], now_ms: i64) {
    for expiry in seen.iter().filter(|expiry| is_soon(expiry, now_ms)) {
        let (certificate, ends) = (&expiry.name, rfc3339(expiry.at_ms));
        match (expiry.at_ms - now_ms) / DAY_MS {
            days if expiry.at_ms > now_ms => warn!(
                certificate,
                ends,
                days,
                "a certificate of NATS ends soon: `secbeat-orchestrator init --renew` makes new ones"
            ),
            _ => error!(
                certificate,
                ends, "a certificate of NATS has ended: `secbeat-orchestrator init --renew` makes new ones"
            ),
        }
    }
}

/// Returns when the first to end of the certificates in `pem` does, milliseconds since the Unix epoch.
fn of_authority(pem: &str) -> anyhow::Result<i64> {
    let ends = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|certificate| end(&certificate?));
    let ends = ends.collect::<anyhow::Result<Vec<_>>>()?;
    ends.into_iter().max().context("no certificate")
}

/// Returns when a certificate ends, milliseconds since the Unix epoch.
///
/// # Errors
///
/// Returns an error if it is invalid.
pub fn end(certificate: &CertificateDer<'_>) -> anyhow::Result<i64> {
    let (_, parsed) = parse_x509_certificate(certificate).context("reading a certificate")?;
    Ok(parsed.validity().not_after.timestamp().saturating_mul(1000))
}

/// The names and addresses that a certificate is for.
///
/// # Errors
///
/// Returns an error if it is invalid, or names nobody.
pub fn names(certificate: &CertificateDer<'_>) -> anyhow::Result<Vec<String>> {
    let (_, parsed) = parse_x509_certificate(certificate).context("reading a certificate")?;
    let names = parsed.subject_alternative_name()?.context("it names no server")?;
    let names = names.value.general_names.iter();
    Ok(names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Returns when the certificate ends that a server shows, be it valid or not; milliseconds since the Unix epoch. Nothing is sent
/// to it.
async fn of_server(url: &NatsUrl) -> anyhow::Result<i64> {
    let stream = TcpStream::connect((url.host(), url.port())).await?;
    // The server speaks first, in the clear: what it is, and that TLS follows.
    let mut stream = BufReader::new(stream);
    let mut info = String::new();
    stream.read_line(&mut info).await?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Look(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(url.host().to_owned())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream.into_inner())
        .await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    end(certificates.first().context("it shows no certificate")?)
}

/// Takes every certificate: one that has ended is to be looked at, too.
#[derive(Debug)]
struct Look(Arc<CryptoProvider>);

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_an_alarm_thirty_days_before_its_end() {
        let view = |days: i64| {
            let expiry = Expiry {
                name: "fleet-ca".to_owned(),
                at_ms: days * DAY_MS,
            };
            CertificateView::new(&expiry, 0)
        };
        assert_eq!(view(31).line(), "fleet-ca until 1970-02-01T00:00:00.000Z");
        assert_eq!(
            view(29).line(),
            "EXPIRES SOON: fleet-ca until 1970-01-30T00:00:00.000Z"
        );
        assert!(view(-1).soon);
    }
}
