//! `[audit]`: where the audit goes, beside NATS.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use schemars::JsonSchema;
use secbeat_daemon::config::schema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Copies of the audit, beside NATS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditOut {
    /// A file of JSON lines. Every orchestrator that has this table writes a file with the audit of the whole fleet.
    pub file: Option<AuditFile>,
    /// A syslog server. Of the orchestrators that have this table, one sends.
    pub syslog: Option<AuditSyslog>,
}

impl AuditOut {
    /// Files of certificates without a folder lie in `folder`, that of the config.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        if let Some(file) = self.syslog.as_mut().and_then(|syslog| syslog.ca_file.as_mut()) {
            *file = folder.join(&*file);
        }
    }

    /// The key that does not do, and why.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        let is_in_tls = |syslog: &AuditSyslog| matches!(syslog.server, SyslogServer::Tls { .. });
        if let Some(file) = self.file.as_ref().filter(|file| !file.path.is_absolute()) {
            let path = file.path.display();
            return Some((
                "audit.file.path",
                format!("invalid path `{path}`: expected an absolute one"),
            ));
        }
        let plain = self.syslog.as_ref().filter(|syslog| !is_in_tls(syslog));
        let trusts = plain.is_some_and(|syslog| syslog.ca_file.is_some());
        trusts.then(|| ("audit.syslog.ca_file", "it is for tls:// alone".to_owned()))
    }
}

/// A file of JSON lines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditFile {
    /// The file, which is appended to, and reopened once it was renamed or removed. Beside it lies PATH.position: how far
    /// the audit was written.
    #[schemars(with = "schema::File")]
    pub path: PathBuf,
    /// Names of the fields.
    #[serde(default)]
    pub format: Format,
}

/// A syslog server (RFC 5424).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditSyslog {
    /// Where it listens: `tls://HOST:6514` (RFC 5425), `tcp://HOST:601`, `udp://HOST:514`, or `unix:/dev/log`.
    #[schemars(with = "String")]
    pub server: SyslogServer,
    /// Names of the fields in the message, which is JSON.
    #[serde(default)]
    pub format: Format,
    /// File with the certificates (PEM) to trust instead of the system's, for `tls://`.
    #[schemars(with = "Option<schema::File>")]
    pub ca_file: Option<PathBuf>,
}

/// Names of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Those of `GET /api/v1/audit`.
    #[default]
    Secbeat,
    /// Those of the Elastic Common Schema.
    Ecs,
}

/// Address of a syslog server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    Tls { host: String, port: u16 },
    Tcp { host: String, port: u16 },
    Udp { host: String, port: u16 },
    Unix(PathBuf),
}

impl FromStr for SyslogServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "invalid server `{text}`: expected tls://HOST:6514, tcp://HOST:601, udp://HOST:514 or unix:/dev/log"
            )
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path.to_owned()))
            } else {
                Err(invalid())
            };
        }
        let (scheme, authority) = text.split_once("://").ok_or_else(invalid)?;
        let (host, port) = authority.rsplit_once(':').ok_or_else(invalid)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().map_err(|_| invalid())?;
        if host.is_empty() || host.contains(['/', '@']) {
            return Err(invalid());
        }
        match scheme {
            "tls" => Ok(Self::Tls { host, port }),
            "tcp" => Ok(Self::Tcp { host, port }),
            "udp" => Ok(Self::Udp { host, port }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Tls { host, port } => ("tls", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Udp { host, port } => ("udp", host, port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl<'de> Deserialize<'de> for SyslogServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}
