//! `[api]`: where the REST API listens, and whom it lets in.

use std::{net::SocketAddr, path::PathBuf};

use axum::http::uri::Authority;
use schemars::JsonSchema;
use secbeat_daemon::{
    api::{Scheme, SocketPath},
    config::schema,
    tls::CertificateFiles,
};
use serde::Deserialize;

use crate::token::Token;

/// The table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address to listen on. Beyond loopback it requires tokens and TLS.
    #[schemars(with = "schema::Listen")]
    pub listen: SocketAddr,
    /// Unix socket, also served. Root and members of the group `secbeat` may do everything by it; other users of this
    /// host, what they may without a token. `""` for none.
    #[schemars(with = "schema::Socket")]
    pub socket: SocketPath,
    /// Allow tokens over plain HTTP beyond loopback, where something else encrypts the connection.
    pub insecure: bool,
    /// Name by which browsers reach the dashboard, such as `bans.example.org` or `bans.example.org:8443`, where a proxy or a DNS
    /// name leads to it. Other names are refused; loopback and the address of `listen` are always accepted.
    pub public_host: Option<String>,
    /// Folder of access logs on this host by which the dashboard and `POST /api/v1/rules/try` may try changed rules: its files, without
    /// folders in it and without links. Tokens of the role `operate` see by it how the clients in these logs would be judged. The daemon's
    /// user has to be able to read it.
    #[schemars(with = "Option<schema::Folder>")]
    pub logs: Option<PathBuf>,
    /// HTTPS. Changed files are reloaded. Without this table: plain HTTP.
    pub tls: Option<CertificateFiles>,
    /// Who may do what. `secbeat-orchestrator token create`, on one host `secbeat token create`, makes a token and this table, which
    /// has only its hash. Without tokens, all users of this host may read what quotes no client's request.
    pub token: Vec<Token>,
}

/// The daemon's name.
pub const PROGRAM: &str = "secbeat-orchestrator";

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3030)),
            socket: SocketPath::of(PROGRAM),
            insecure: false,
            public_host: None,
            logs: None,
            tls: None,
            token: Vec::new(),
        }
    }
}

impl ApiConfig {
    /// The key that contradicts another one, and how.
    #[must_use]
    pub fn contradiction(&self) -> Option<(String, String)> {
        let Self {
            listen,
            insecure,
            tls,
            ..
        } = self;
        for (index, token) in self.token.iter().enumerate() {
            if self.token[..index].iter().any(|before| before.name == token.name) {
                let message = format!("two tokens are named `{}`", token.name.as_str());
                return Some((format!("api.token[{index}].name"), message));
            }
        }
        if let Some(host) = &self.public_host
            && !host
                .parse::<Authority>()
                .is_ok_and(|authority| authority.as_str() == host && !host.contains('@'))
        {
            let message = format!(
                "invalid host `{host}`: expected one such as bans.example.org or bans.example.org:8443"
            );
            return Some(("api.public_host".to_owned(), message));
        }
        if let Some(folder) = self.logs.as_ref().filter(|folder| !folder.is_absolute()) {
            let message = format!(
                "invalid folder `{}`: expected a path from the root, as /var/log/nginx",
                folder.display()
            );
            return Some(("api.logs".to_owned(), message));
        }
        if listen.ip().to_canonical().is_loopback() {
            return None;
        }
        let message = if self.token.is_empty() {
            format!(
                "anyone who can connect to {listen} could read who is banned: without an [[api.token]] the API listens on loopback alone"
            )
        } else if tls.is_none() && !insecure {
            format!(
                "tokens would cross the network to {listen} in plain text: set [api.tls], or insecure = true if something else encrypts"
            )
        } else {
            return None;
        };
        Some(("api.listen".to_owned(), message))
    }

    /// Returns where the Unix socket is, if there is one.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.socket.find(PROGRAM)
    }

    /// Returns how clients speak to it.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Role, TokenHash};

    #[test]
    fn logs_lie_at_a_path_from_the_root() {
        let wrong = |folder: &str| {
            let logs = Some(folder.into());
            let config = ApiConfig {
                logs,
                ..ApiConfig::default()
            };
            config.contradiction().map(|(key, _)| key)
        };
        assert_eq!(wrong("/var/log/nginx"), None);
        assert_eq!(wrong("log").as_deref(), Some("api.logs"));
        assert_eq!(wrong("").as_deref(), Some("api.logs"));
    }

    #[test]
    fn beyond_loopback_takes_tokens_and_tls_or_a_word() {
        let token = |name: &str| Token {
            name: name.parse().unwrap(),
            role: Role::Read,
            hash: TokenHash::of(name),
        };
        let files = || CertificateFiles {
            certificate: "a.crt".into(),
            key: "a.key".into(),
        };
        let refused = |listen: &str, tokens: &[&str], tls: Option<CertificateFiles>, insecure| {
            let config = ApiConfig {
                listen: listen.parse().unwrap(),
                insecure,
                tls,
                token: tokens.iter().map(|name| token(name)).collect(),
                ..ApiConfig::default()
            };
            config.contradiction().map(|(key, _)| key)
        };
        for listen in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(refused(listen, &[], None, false), None, "{listen}");
        }
        let listen = Some("api.listen".to_owned());
        for public in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "10.0.0.1:1"] {
            assert_eq!(refused(public, &[], None, false), listen, "{public}");
            assert_eq!(refused(public, &[], Some(files()), true), listen, "{public}");
            assert_eq!(refused(public, &["a"], None, false), listen, "{public}");
            assert_eq!(refused(public, &["a"], None, true), None, "{public}");
            assert_eq!(refused(public, &["a"], Some(files()), false), None, "{public}");
        }
        assert_eq!(
            refused("127.0.0.1:1", &["a", "b", "a"], None, false).as_deref(),
            Some("api.token[2].name")
        );
    }
}
