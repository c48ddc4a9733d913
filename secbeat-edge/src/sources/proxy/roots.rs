//! Certificates of those who may vouch for whom the proxy connects to.

use std::path::Path;

use anyhow::Context;
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Those in a file, in PEM.
pub(super) fn from_file(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let reading = || format!("reading {}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).with_context(reading)? {
        roots
            .add(certificate.with_context(reading)?)
            .with_context(reading)?;
    }
    Ok(roots)
}

/// Those of the system.
pub(super) fn from_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
