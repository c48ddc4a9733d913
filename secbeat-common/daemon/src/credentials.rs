//! One file that makes a daemon a member of the fleet: where the bus is, who the daemon is there, and whose commands count.
//! `secbeat-orchestrator init` and `enroll` write such files.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use nkeys::{KeyPair, KeyPairType};
use schemars::JsonSchema;
use secbeat_common::{
    sign::{PublicKey, SecretKey, Signer, Trust},
    subjects,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use strum::Display;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    config::{self, NatsServers, NatsUrl, schema},
    whole_file::{self, Outlives, Readers},
};

/// The connection to NATS, as a config file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// Address of NATS, if there are no credentials. Default: `nats://127.0.0.1:4222`. Without credentials NATS
    /// has no authentication: anyone who can connect can issue bans. Bind it to 127.0.0.1.
    pub url: Option<NatsUrl>,
    /// Addresses of all servers of a NATS cluster, in place of `url`. The daemon connects to one of them, and to
    /// another one when that fails.
    pub urls: Vec<NatsUrl>,
    /// File with this daemon's credentials: the address of NATS, its login, and the keys it trusts. Default:
    /// `edge.credentials` or `orchestrator.credentials`, if that exists. A name without a folder is looked for in
    /// `$CREDENTIALS_DIRECTORY` (systemd), then beside the config.
    #[schemars(with = "Option<schema::File>")]
    pub credentials: Option<PathBuf>,
}

impl Nats {
    /// Returns how this daemon takes part in the fleet: by its credentials, if there are any. `config` is the config file's path.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be used, or were named and are not there.
    pub fn membership(&self, role: Role, config: &Path) -> anyhow::Result<Membership> {
        let path = self.path(role, config);
        let is_there = path.try_exists();
        if self.credentials.is_none()
            && !is_there.with_context(|| format!("looking for {}", path.display()))?
        {
            ensure!(
                self.url.is_none() || self.urls.is_empty(),
                "nats.url: nats.urls names the servers as well; one of both has to go"
            );
            return Ok(Membership::anonymous(self.servers()));
        }
        if let Some(key) = self.stated() {
            bail!(
                "nats.{key}: the credentials in {} say where the server is; one of both has to go",
                path.display()
            );
        }
        let credentials = Credentials::load(&path, role);
        credentials.and_then(|credentials| credentials.membership())
    }

    /// Returns where the credentials are, or would be.
    #[must_use]
    pub fn path(&self, role: Role, config: &Path) -> PathBuf {
        let name = self.credentials.clone();
        let name = name.unwrap_or_else(|| format!("{role}.credentials").into());
        let loaded = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(&name));
        // Where there is none, a unit loads one without content.
        let is_there =
            |path: &PathBuf| fs::read(path).is_ok_and(|credentials| !credentials.trim_ascii().is_empty());
        loaded
            .filter(is_there)
            .unwrap_or_else(|| config.parent().unwrap_or(Path::new("")).join(&name))
    }

    /// Returns where the servers are, as far as this config says.
    #[must_use]
    pub fn servers(&self) -> NatsServers {
        let urls = self.urls.iter().chain(&self.url).cloned().collect();
        NatsServers::new(urls).unwrap_or_default()
    }

    /// The key that says where the servers are.
    fn stated(&self) -> Option<&'static str> {
        match (&self.url, self.urls.is_empty()) {
            (Some(_), _) => Some("url"),
            (None, false) => Some("urls"),
            (None, true) => None,
        }
    }
}

/// What a member of the fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    Edge,
    Orchestrator,
}

/// What the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub role: Role,
    /// An edge's id on the bus, or an orchestrator's name: one [token](subjects::is_token).
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The NATS server, `tls://host:4222`, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The servers of a NATS cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The seed of the NATS user's nkey, `SU…`.
    pub nkey: Secret,
    /// The certificate (PEM) that vouches for the server; the system's do if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Public keys of those whose commands count, `V…`.
    pub trusted_keys: Vec<String>,
    /// An orchestrator's own, `SV…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<Secret>,
}

/// A text that is nobody's business.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match subjects::is_token(&name) {
        true => Ok(name),
        false => Err(D::Error::custom(format!(
            "invalid name `{name}`: expected up to 64 letters, digits, `-` and `_`"
        ))),
    }
}

impl Credentials {
    /// Reads and checks the file at `path`, which must be for `role` and nobody else's to read.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be used, in one line without a secret.
    pub fn load(path: &Path, role: Role) -> anyhow::Result<Self> {
        let shown = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("credentials {shown}"))?;
        ensure!(
            metadata.mode() & 0o027 == 0,
            "credentials {shown}: others may read or write the file (mode {:o}); it holds secrets, so make it 0600",
            metadata.mode() & 0o777
        );
        let credentials: Self = config::load(path)?;
        ensure!(
            credentials.role == role,
            "credentials {shown}: they are those of the {} {}, not of an {role}",
            credentials.role,
            credentials.name
        );
        credentials
            .membership()
            .with_context(|| format!("credentials {shown}"))?;
        Ok(credentials)
    }

    /// Returns what the daemon goes by.
    ///
    /// # Errors
    ///
    /// Returns an error if a key or a certificate is none.
    pub fn membership(&self) -> anyhow::Result<Membership> {
        let servers = self.servers()?;
        let user = KeyPair::from_seed(&self.nkey.0).ok();
        let user = user.filter(|user| user.key_pair_type() == KeyPairType::User);
        ensure!(
            user.is_some(),
            "nkey: not the seed of a user, which begins with SU"
        );
        let keys = self.trusted_keys.iter().map(|key| key.parse());
        let keys = keys
            .collect::<Result<Vec<PublicKey>, _>>()
            .context("trusted_keys")?;
        ensure!(
            !keys.is_empty(),
            "trusted_keys: without any, no command would count"
        );
        let secret = self.signing_key.as_ref().map(|key| key.0.parse::<SecretKey>());
        let secret = secret.transpose().context("signing_key")?;
        match (self.role, &secret) {
            (Role::Edge, Some(_)) => bail!("signing_key: an edge signs nothing"),
            (Role::Orchestrator, None) => bail!("signing_key: an orchestrator without one cannot ban"),
            (Role::Orchestrator, Some(secret)) if !keys.contains(secret.public()) => {
                bail!(
                    "trusted_keys: the public half of signing_key, {}, is not among them",
                    secret.public()
                )
            }
            _ => {}
        }
        Ok(Membership {
            servers,
            login: Some(Login {
                name: self.name.clone(),
                nkey: self.nkey.clone(),
                authority: self.ca.as_deref().map(authority).transpose().context("ca")?,
            }),
            trust: keys.iter().collect(),
            signer: secret.into(),
        })
    }

    /// Returns where the servers are.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not say so.
    pub fn servers(&self) -> anyhow::Result<NatsServers> {
        let one = self.url.iter().map(|url| (url, "url"));
        let all = one.chain(self.urls.iter().map(|url| (url, "urls")));
        let urls = all.map(|(url, key)| url.parse().context(key));
        let urls = urls.collect::<anyhow::Result<Vec<NatsUrl>>>()?;
        NatsServers::new(urls).context("urls: none says where the NATS server is")
    }

    /// Writes them to `path`, which nobody else may read; what is there stays, unless `replace`.
    ///
    /// # Errors
    ///
    /// Returns an error if that cannot be written.
    pub fn save(&self, path: &Path, replace: bool) -> anyhow::Result<()> {
        let text = toml::to_string(self).context("writing credentials as TOML")?;
        let text = format!(
            "# SecBeat credentials of the {} {}. Secret.\n{text}",
            self.role, self.name
        );
        write_private(path, text.as_bytes(), replace)
    }
}

/// Writes a file that nobody else may read, whole or not at all.
///
/// # Errors
///
/// Returns an error if it cannot be written, or is there and not to be replaced.
pub fn write_private(path: &Path, bytes: &[u8], replace: bool) -> anyhow::Result<()> {
    let shown = path.display();
    ensure!(replace || !path.exists(), "{shown} exists already");
    whole_file::replace(path, bytes, Readers::Owner, Outlives::PowerCut)
        .with_context(|| format!("writing {shown}"))
}

/// How a daemon takes part in the fleet.
#[derive(Clone, Debug)]
pub struct Membership {
    pub servers: NatsServers,
    /// Where there is none, everybody who reaches the server may do everything.
    pub login: Option<Login>,
    pub trust: Trust,
    pub signer: Signer,
}

impl Membership {
    /// One that knows no secret: the server takes it as it is, and all commands count.
    #[must_use]
    pub fn anonymous(servers: NatsServers) -> Self {
        Self {
            servers,
            login: None,
            trust: Trust::default(),
            signer: Signer::default(),
        }
    }
}

/// Who a daemon is on the bus.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub nkey: Secret,
    /// The certificate (PEM) that vouches for the server; the system's trust store if `None`.
    pub authority: Option<String>,
}

/// `pem`, if it is the certificate of an authority.
fn authority(pem: &str) -> anyhow::Result<String> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.context("not a certificate in PEM")?;
    ensure!(!certificates.is_empty(), "no certificate in PEM");
    for certificate in &certificates {
        webpki::anchor_from_trusted_cert(certificate).context("not a certificate of an authority")?;
    }
    Ok(pem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn roles_are_shown_as_the_file_names_them() {
        let roles = [Role::Edge, Role::Orchestrator];
        assert_eq!(roles.map(|role| role.to_string()), ["edge", "orchestrator"]);
    }
}
