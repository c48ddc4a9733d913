//! The client of both APIs.

use std::{
    io::{self, BufReader, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Serialize, de::DeserializeOwned};
use strum::Display;
use ureq::{
    Agent, RequestBuilder,
    http::{Response, header::AUTHORIZATION},
    tls::RootCerts,
};

use super::{
    Problem,
    listeners::{Target, owners},
    peer::is_ours,
};
use crate::http;

/// Time that a call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Address of a daemon, and the token for it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub struct Remote {
    /// The daemon's address, as https://orchestrator.example:3030 or unix:/run/secbeat-orchestrator/api.sock [default: the
    /// socket of the config if it is there, else where the config says it listens].
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SECBEAT_URL",
        hide_env_values = true
    )]
    url: Option<String>,
    /// File with the token to show; without one the token is taken from the environment, SECBEAT_TOKEN.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SECBEAT_TOKEN_FILE",
        hide_env_values = true
    )]
    token_file: Option<PathBuf>,
    /// File with the certificates (PEM) to trust instead of the system's.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SECBEAT_CA_FILE",
        hide_env_values = true
    )]
    ca_file: Option<PathBuf>,
    /// Show the token also in plain text, over http to another host, or to a stranger's program on this one.
    #[arg(long, global = true)]
    insecure: bool,
}

impl Remote {
    /// Whether a daemon is named, which may be another host's.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// A client of the daemon at the address given, or else of the one that has this `socket`, or listens on `listen`, in TLS
    /// if `tls`.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is none, a file cannot be read, or the token would be shown to others.
    pub fn client(
        &self,
        socket: Option<&Path>,
        listen: SocketAddr,
        tls: Scheme,
    ) -> anyhow::Result<ApiClient> {
        let token = self.token()?;
        let base = match &self.url {
            None => match socket {
                Some(socket) => return Ok(ApiClient::on(socket, token, self.insecure)),
                None => format!("{tls}://{}", reachable(listen)),
            },
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                url.trim_end_matches('/').to_owned()
            }
            Some(url) => match url.strip_prefix("unix:") {
                Some(path) if path.starts_with('/') => {
                    return Ok(ApiClient::on(Path::new(path), token, self.insecure));
                }
                _ => bail!(
                    "invalid --url `{url}`: expected an address as https://orchestrator.example:3030, or unix:/PATH"
                ),
            },
        };
        if token.is_some() && !self.insecure {
            let target = Target::of(&base);
            if target == Target::Network {
                bail!(
                    "the token would cross the network to {base} in plain text: use https, or --insecure if something else encrypts it"
                );
            }
            if let Target::ThisHost(addresses) = target {
                require_ours(&base, &addresses)?;
            }
        }
        Ok(ApiClient::at(base, token, http::roots(self.ca_file.as_deref())?))
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let token = match &self.token_file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("reading the token in {}", path.display()))?,
            ),
            None => std::env::var("SECBEAT_TOKEN").ok(),
        };
        Ok(token
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty()))
    }
}

/// Any user can listen where the daemon does not.
fn require_ours(base: &str, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let mut owners = addresses.iter().map(|address| owners(*address));
    let owners: Vec<u32> = owners.try_fold(Vec::new(), |all, next| anyhow::Ok([all, next?].concat()))?;
    if owners.is_empty() {
        return Err(CallError::Unreachable(base.trim_start_matches("http://").to_owned()).into());
    }
    match owners.iter().find(|owner| !is_ours(**owner)) {
        None => Ok(()),
        Some(owner) => bail!(
            "the token is not sent to {base}: a program of the user {owner} listens there, and not the daemon (--insecure sends it)"
        ),
    }
}

/// Returns where a client on this host reaches `listen`: an address for all of its addresses stands for loopback.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// Protocol of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

/// A client of a daemon's API.
#[derive(Clone, Debug)]
pub struct ApiClient {
    base: String,
    /// The daemon's place, for messages.
    place: String,
    /// The header that shows the token.
    authorization: Option<String>,
    agent: Agent,
    /// Time that a call may take, if not as long as usual.
    patience: Option<Duration>,
}

/// The reason why a call of the API failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens: the daemon is not running, or elsewhere.
    #[error("no daemon answers at {0}")]
    Unreachable(String),
    /// Somebody listens, and did not answer in time: what was asked for may be done later.
    #[error("the daemon at {0} does not answer in time: it hangs, or has too much to do")]
    Late(String),
    /// The daemon says no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    #[error("{0}")]
    Other(String),
}

impl ApiClient {
    /// A client without a token of the daemon that listens on `addr`.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self::at(
            format!("http://{}", reachable(addr)),
            None,
            RootCerts::from(Vec::new()),
        )
    }

    /// A client without a token of the daemon of this host that has this `socket`, or listens on `addr`.
    #[must_use]
    pub fn local(socket: Option<&Path>, addr: SocketAddr) -> Self {
        match socket {
            Some(socket) => Self::on(socket, None, false),
            None => Self::new(addr),
        }
    }

    fn on(socket: &Path, token: Option<String>, insecure: bool) -> Self {
        let of: Option<fn(u32) -> bool> = match token {
            Some(_) if !insecure => Some(is_ours),
            _ => None,
        };
        Self {
            base: "http://localhost".to_owned(),
            place: socket.display().to_string(),
            authorization: authorization(token),
            agent: http::client_on(socket, of, PATIENCE),
            patience: None,
        }
    }

    fn at(base: String, token: Option<String>, roots: RootCerts) -> Self {
        Self {
            place: base.strip_prefix("http://").unwrap_or(&base).to_owned(),
            base,
            authorization: authorization(token),
            agent: http::client(roots, PATIENCE),
            patience: None,
        }
    }

    /// A client of the same daemon whose calls may take as long as `patience`.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.read(self.signed(self.agent.get(self.url(path))).call())
    }

    /// The answer as text.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn text(&self, path: &str) -> Result<String, CallError> {
        self.checked(self.signed(self.agent.get(self.url(path))).call())?
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_to_string()
            .map_err(|error| CallError::Other(error.to_string()))
    }

    /// Returns where the daemon is, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// As [`get`](Self::get), with keys and values that are added to `path`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn query<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, CallError> {
        let pairs = query.iter().map(|(key, value)| (*key, value.as_str()));
        let request = self.signed(self.agent.get(self.url(path)));
        self.read(request.query_pairs(pairs).call())
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        self.read(self.signed(self.agent.post(self.url(path))).send_json(body))
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        self.read(self.signed(self.agent.put(self.url(path))).send_json(body))
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.delete_with(path, &[])
    }

    /// Deletes with a query.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn delete_with<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, CallError> {
        let pairs = query.iter().map(|(key, value)| (*key, value.as_str()));
        let request = self.signed(self.agent.delete(self.url(path)));
        self.read(request.query_pairs(pairs).call())
    }

    /// Opens a stream of server-sent events after the event `after`, to be read line by line for as long as it lasts.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn stream(
        &self,
        path: &str,
        after: Option<&str>,
    ) -> Result<BufReader<ureq::BodyReader<'static>>, CallError> {
        let mut request = self.signed(self.agent.get(self.url(path)));
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        let request = request
            .config()
            .timeout_global(None)
            .timeout_recv_response(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE));
        let answer = self.checked(request.build().call())?;
        Ok(BufReader::new(answer.into_body().into_reader()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn signed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = match self.patience {
            Some(patience) => request.config().timeout_global(Some(patience)).build(),
            None => request,
        };
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, CallError> {
        self.checked(answer)?
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_json()
            .map_err(|error| CallError::Other(error.to_string()))
    }

    fn checked(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Response<ureq::Body>, CallError> {
        let mut answer = answer.map_err(|error| match error {
            ureq::Error::Io(error) if is_of_tls(&error) || error.kind() == ErrorKind::PermissionDenied => {
                CallError::Other(format!("calling {}: {error}", self.place))
            }
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => CallError::Unreachable(self.place.clone()),
            ureq::Error::Timeout(_) => CallError::Late(self.place.clone()),
            error => CallError::Other(format!("calling {}: {error}", self.place)),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        match answer.body_mut().read_json() {
            Ok(problem) => Err(CallError::Refused(problem)),
            Err(_) => Err(CallError::Other(format!("{} answered {status}", self.place))),
        }
    }
}

fn authorization(token: Option<String>) -> Option<String> {
    token.map(|token| format!("Bearer {token}"))
}

/// Whether somebody answered, but not as TLS demands.
fn is_of_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_those_of_urls() {
        let schemes = [Scheme::Http, Scheme::Https].map(|scheme| scheme.to_string());
        assert_eq!(schemes, ["http", "https"]);
    }
}
