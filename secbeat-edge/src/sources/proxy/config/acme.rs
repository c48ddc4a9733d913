//! `[proxy.acme]`: certificates that the proxy gets itself.

use std::{
    collections::HashSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

use hyper::Uri;
use schemars::JsonSchema;
use secbeat_daemon::{config::schema, tls::CertificateFiles};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{ListenerConfig, contradiction::Contradiction};

/// The table `[proxy.acme]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcmeFile {
    /// Names to get a certificate for, one each. Wildcards need a DNS-01 challenge, which there is not.
    #[schemars(with = "Vec<schema::Host>")]
    domains: Vec<String>,
    /// Whether you agree to the terms of the certificate authority. It must be `true`.
    #[serde(default)]
    accept_terms: bool,
    /// Mail addresses that the certificate authority may write to. Default: none.
    #[serde(default)]
    contact: Vec<String>,
    /// Directory of the certificate authority. Default: Let's Encrypt's. To try things out, use its staging one, which browsers do not trust:
    /// `https://acme-staging-v02.api.letsencrypt.org/directory`.
    #[serde(default = "lets_encrypt", deserialize_with = "directory")]
    #[schemars(with = "schema::Server")]
    directory: Uri,
    /// How the certificate authority sees that a name leads here: `tls-alpn-01` at port 443, or `http-01` at port 80.
    #[serde(default)]
    challenge: Challenge,
    /// CA certificates (PEM) that vouch for the directory's server. Default: the system's.
    #[schemars(with = "Option<schema::File>")]
    ca_file: Option<PathBuf>,
    /// Account at the certificate authority that is bound to the new one, if it wants that.
    external_account: Option<ExternalAccount>,
}

/// How a name is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Challenge {
    /// RFC 8737.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// RFC 8555, section 8.3.
    #[serde(rename = "http-01")]
    Http01,
}

impl Challenge {
    /// Returns the port to which the certificate authority connects.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::TlsAlpn01 => 443,
            Self::Http01 => 80,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// External account binding (RFC 8555, section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// Identifier of its key.
    pub kid: String,
    /// File with the HMAC key, in base64url as the certificate authority shows it.
    #[schemars(with = "schema::File")]
    pub hmac_key_file: PathBuf,
}

/// Certificates that the proxy gets itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// Domains, in lower case; no two alike.
    pub domains: Vec<String>,
    /// Contacts of the account, as URLs.
    pub contact: Vec<String>,
    pub directory: String,
    pub challenge: Challenge,
    /// Certificates, in PEM, of those who may vouch for the directory's server; the system's unless set.
    pub ca: Option<PathBuf>,
    pub external_account: Option<ExternalAccount>,
    /// Folder of the account and the certificates: those of another directory lie elsewhere.
    pub folder: PathBuf,
}

impl AcmeConfig {
    /// Returns where the certificate of `domain` is kept, with its key in the same file: both change at once.
    pub(crate) fn files(&self, domain: &str) -> CertificateFiles {
        let file = self.folder.join(format!("{domain}.pem"));
        CertificateFiles {
            certificate: file.clone(),
            key: file,
        }
    }
}

impl AcmeFile {
    /// Checks what stands in the table, beside the listeners, which get to know where their certificates will be.
    pub(super) fn check(
        &self,
        listeners: &mut [ListenerConfig],
        state_dir: &Path,
    ) -> Result<AcmeConfig, Contradiction> {
        let contradiction =
            |key: &str, message: String| Contradiction::new(format!("proxy.acme.{key}"), message);
        if self.domains.is_empty() {
            return Err(contradiction("domains", "there is no name".to_owned()));
        }
        let mut domains = Vec::new();
        let mut seen = HashSet::new();
        for (index, text) in self.domains.iter().enumerate() {
            let key = format!("domains[{index}]");
            let domain = domain(text).map_err(|message| contradiction(&key, message))?;
            if !seen.insert(domain.clone()) {
                return Err(contradiction(&key, format!("`{domain}` stands there twice")));
            }
            domains.push(domain);
        }
        if !self.accept_terms {
            let message =
                "the certificate authority wants its terms agreed to: read them, and set it to true";
            return Err(contradiction("accept_terms", message.to_owned()));
        }
        let contact = self.contact.iter().enumerate().map(|(index, text)| {
            let key = format!("contact[{index}]");
            contact(text).map_err(|message| contradiction(&key, message))
        });
        if self.challenge == Challenge::Http01 && listeners.iter().all(ListenerConfig::has_tls) {
            let message = "http-01 needs a [[proxy.listener]] without TLS, to which requests at port 80 come";
            return Err(contradiction("challenge", message.to_owned()));
        }
        let config = AcmeConfig {
            contact: contact.collect::<Result<_, _>>()?,
            directory: self.directory.to_string(),
            challenge: self.challenge,
            ca: self.ca_file.clone(),
            external_account: self.external_account.clone(),
            folder: state_dir.join("acme").join(folder_name(&self.directory)),
            domains,
        };
        let mut is_used = false;
        for listener in listeners.iter_mut().filter(|listener| listener.acme) {
            is_used = true;
            listener.obtained = config.domains.iter().map(|domain| config.files(domain)).collect();
        }
        if !is_used {
            let message = "no [[proxy.listener]] has `acme = true`, which makes it use these certificates";
            return Err(Contradiction::new("proxy.acme", message));
        }
        Ok(config)
    }
}

fn lets_encrypt() -> Uri {
    Uri::from_static("https://acme-v02.api.letsencrypt.org/directory")
}

fn directory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    let uri = text.parse::<Uri>().ok();
    let fits = |uri: &Uri| {
        uri.scheme_str() == Some("https")
            && uri
                .authority()
                .is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
    };
    uri.filter(fits).ok_or_else(|| {
        D::Error::custom(format!(
            "invalid directory `{text}`: expected a URL such as https://acme.example.org/directory"
        ))
    })
}

/// A name that a certificate can be for (RFC 1123, section 2.1), in lower case.
fn domain(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let invalid = |expected: &str| Err(format!("invalid name `{text}`: {expected}"));
    if name.starts_with("*.") {
        return invalid(
            "a wildcard needs the challenge dns-01, which there is not; list the names one by one",
        );
    }
    if name.parse::<IpAddr>().is_ok() {
        return invalid("expected a DNS name, not an address");
    }
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_public = name.len() <= 253 && name.contains('.') && name.split('.').all(fits);
    if !is_public {
        return invalid(
            "expected a DNS name such as www.example.org (other alphabets in their ASCII form, xn--…)",
        );
    }
    Ok(name)
}

fn contact(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_graphic() && !b",?\"<>".contains(&byte);
    match address.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() && address.bytes().all(fits) => {
            Ok(format!("mailto:{address}"))
        }
        _ => Err(format!(
            "invalid contact `{text}`: expected a mail address such as admin@example.org"
        )),
    }
}

/// A name for a directory's folder that tells directories apart.
fn folder_name(directory: &Uri) -> String {
    let text = directory.to_string();
    let text = text.strip_prefix("https://").unwrap_or(&text);
    let keep = |char: char| char.is_ascii_alphanumeric() || "-.".contains(char);
    text.trim_end_matches('/').replace(|char| !keep(char), "_")
}
