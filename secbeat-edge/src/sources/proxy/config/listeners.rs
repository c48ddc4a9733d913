//! `[[proxy.listener]]`: the addresses to listen on.

use std::{collections::HashSet, net::SocketAddr, num::NonZeroU16, path::PathBuf};

use schemars::JsonSchema;
use secbeat_daemon::{config::schema, tls::CertificateFiles};
use serde::Deserialize;

use super::{ListenerConfig, contradiction::Contradiction};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerFile {
    /// Address to listen on.
    #[schemars(with = "schema::Listen")]
    address: SocketAddr,
    /// The certificate chain (PEM), for TLS. Reloaded when it changes.
    #[schemars(with = "Option<schema::File>")]
    certificate: Option<PathBuf>,
    /// The certificate's key (PEM). Reloaded when it changes.
    #[schemars(with = "Option<schema::File>")]
    key: Option<PathBuf>,
    /// Certificates for further names.
    #[serde(default)]
    more_certificates: Vec<CertificateFiles>,
    /// Use the certificates of `[proxy.acme]`, for TLS.
    #[serde(default)]
    acme: bool,
    /// Also accept HTTP/2 in plain text, by prior knowledge.
    #[serde(default)]
    h2c: bool,
    /// Require a PROXY header of a trusted proxy on each connection.
    #[serde(default)]
    proxy_protocol: bool,
    /// Redirect every request to the same host and path with https:// (status 308). Only without a certificate.
    #[serde(default)]
    redirect_to_https: bool,
    /// Port to which `redirect_to_https` leads, where clients reach TLS at another one than 443. Default: 443.
    https_port: Option<NonZeroU16>,
}

/// The port of `https://` (RFC 9110, section 4.2.2).
const HTTPS: NonZeroU16 = NonZeroU16::new(443).unwrap();

/// Checks what stands in the tables.
pub(super) fn listeners(files: &[ListenerFile]) -> Result<Vec<ListenerConfig>, Contradiction> {
    let mut addresses = HashSet::new();
    let listener = |(index, listener): (usize, &ListenerFile)| {
        let key = |name: &str| format!("proxy.listener[{index}].{name}");
        if !addresses.insert(listener.address) {
            let message = format!("{} is listened on twice", listener.address);
            return Err(Contradiction::new(key("address"), message));
        }
        let mut certificates = Vec::new();
        match (&listener.certificate, &listener.key) {
            (Some(_), Some(_)) if listener.acme => {
                let message = "the first certificate stands either here or in [proxy.acme]; further ones in more_certificates";
                return Err(Contradiction::new(key("acme"), message));
            }
            (Some(certificate), Some(key)) => certificates.push(CertificateFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (Some(_), None) => {
                return Err(Contradiction::new(key("certificate"), "its key is missing"));
            }
            (None, Some(_)) => {
                return Err(Contradiction::new(key("key"), "its certificate is missing"));
            }
            (None, None) if !listener.acme && !listener.more_certificates.is_empty() => {
                let message = "the first certificate stands in certificate and key";
                return Err(Contradiction::new(key("more_certificates"), message));
            }
            (None, None) => {}
        }
        certificates.extend_from_slice(&listener.more_certificates);
        let has_tls = listener.acme || !certificates.is_empty();
        if listener.h2c && has_tls {
            let message = "it is for plain HTTP; with a certificate HTTP/2 is negotiated";
            return Err(Contradiction::new(key("h2c"), message));
        }
        if listener.redirect_to_https && has_tls {
            let message = "with a certificate it is for https:// already";
            return Err(Contradiction::new(key("redirect_to_https"), message));
        }
        if listener.https_port.is_some() && !listener.redirect_to_https {
            let message = "it is for redirect_to_https = true";
            return Err(Contradiction::new(key("https_port"), message));
        }
        Ok(ListenerConfig {
            address: listener.address,
            certificates,
            acme: listener.acme,
            obtained: Vec::new(),
            h2c: listener.h2c,
            proxy_protocol: listener.proxy_protocol,
            redirect_to_https: listener
                .redirect_to_https
                .then(|| listener.https_port.unwrap_or(HTTPS).get()),
        })
    };
    files.iter().enumerate().map(listener).collect()
}
