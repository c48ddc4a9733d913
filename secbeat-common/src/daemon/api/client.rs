//! The client of both APIs.

use serde::{Serialize, de::DeserializeOwned};

use super::Problem;

/// A client of a daemon's API on this host.
#[derive(Debug, Clone)]
pub struct ApiClient {
    base: String,
    agent: ureq::Agent,
}

/// Why a call of the API failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens: the daemon is not running, or elsewhere.
    #[error("no daemon answers at {0}")]
    Unreachable(String),
    #[error("{}", .0.detail)]
    Refused(Problem),
    #[error("{0}")]
    Other(String),
}

impl ApiClient {
    /// `addr` is where the daemon's API listens.
    #[must_use]
    pub fn new(addr: std::net::SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(std::time::Duration::from_secs(10)))
            .http_status_as_error(false)
            .build();
        Self {
            base: format!("http://{addr}"),
            agent: config.into(),
        }
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.read(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// As [`get`](Self::get), with keys and values that are added to `path`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn query<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, CallError> {
        let pairs = query.iter().map(|(key, value)| (*key, value.as_str()));
        let request = self.agent.get(format!("{}{path}", self.base));
        self.read(request.query_pairs(pairs).call())
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        self.read(self.agent.post(format!("{}{path}", self.base)).send_json(body))
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        self.read(self.agent.put(format!("{}{path}", self.base)).send_json(body))
    }

    /// # Errors
    ///
    /// See [`CallError`].
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.read(self.agent.delete(format!("{}{path}", self.base)).call())
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, CallError> {
        let mut answer = answer.map_err(|error| match error {
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => CallError::Unreachable(self.base.clone()),
            error => CallError::Other(format!("calling {}: {error}", self.base)),
        })?;
        let status = answer.status();
        if status.is_success() {
            return answer
                .body_mut()
                .read_json()
                .map_err(|error| CallError::Other(error.to_string()));
        }
        match answer.body_mut().read_json() {
            Ok(problem) => Err(CallError::Refused(problem)),
            Err(_) => Err(CallError::Other(format!("{} answered {status}", self.base))),
        }
    }
}
