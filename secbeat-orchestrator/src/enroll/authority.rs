//! The certificate authority of a fleet's bus.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, Error, IsCa, Issuer, KeyPair, KeyUsagePurpose};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Time that a server's certificate holds: two years.
const SERVER_LIFE: Duration = DAY.saturating_mul(2 * 365);
/// Time that the authority's holds: ten years.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(10 * 365);

/// Vouches for the bus's server, and for nothing else.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate with its key, both PEM.
pub(super) struct Certified {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Result<Self, Error> {
        Self::of(KeyPair::generate()?)
    }

    /// The authority of this key (PEM), with a new certificate: anyone who trusts the one before takes what it signs.
    pub(super) fn again(key: &str) -> Result<Self, Error> {
        Self::of(KeyPair::from_pem(key)?)
    }

    fn of(key: KeyPair) -> Result<Self, Error> {
        let mut params = named("SecBeat fleet", Vec::new())?;
        params.not_after = (SystemTime::now() + AUTHORITY_LIFE).into();
        // Of servers alone, and of no further authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// PEM.
    pub(super) fn certificate(&self) -> &String {
        &self.certificate
    }

    /// PEM.
    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server that is reached by these names and addresses.
    pub(super) fn server(&self, hosts: &[String]) -> Result<Certified, Error> {
        let key = KeyPair::generate()?;
        let certificate = named("SecBeat NATS", hosts.to_vec())?.signed_by(&key, &self.issuer)?;
        Ok(Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn named(name: &str, hosts: Vec<String>) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(hosts)?;
    let now = SystemTime::now();
    // Clocks of a fleet differ.
    params.not_before = (now - DAY).into();
    params.not_after = (now + SERVER_LIFE).into();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
