//! A POST to a server of somebody else.

use std::{path::Path, time::Duration};

use ureq::{Agent, Error, http::header::RETRY_AFTER};

use super::{client, roots};

/// Longest part of an answer that is read, in bytes.
const MAX_ANSWER: u64 = 4096;

/// Posts to servers that the system's certificates, or those in a file, vouch for. It follows no redirect and uses no proxy.
#[derive(Debug)]
pub struct Poster {
    agent: Agent,
    patience: Duration,
}

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    pub url: &'a str,
    pub headers: &'a [(String, String)],
    pub body: &'a str,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// `Retry-After` in seconds, where it has that form.
    pub retry_after_s: Option<u64>,
    /// The first 4096 bytes.
    pub body: String,
}

impl Poster {
    /// A client that waits for each answer as long as `patience`.
    ///
    /// # Errors
    ///
    /// Returns an error if `ca_file` has no certificate.
    pub fn new(ca_file: Option<&Path>, patience: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            agent: client(roots(ca_file)?, patience),
            patience,
        })
    }

    /// Posts once.
    ///
    /// # Errors
    ///
    /// Why there is no answer, without the URL.
    pub fn post(&self, post: &Post<'_>) -> Result<Answer, String> {
        let mut request = self.agent.post(post.url);
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let response = request.send(post.body);
        let mut response = response.map_err(|error| self.why(&error))?;
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after_s = retry_after.and_then(|said| said.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .lossy_utf8(true);
        Ok(Answer {
            status,
            retry_after_s,
            // A longer one is not needed, and says nothing that the status does not.
            body: body.read_to_string().unwrap_or_default(),
        })
    }

    fn why(&self, error: &Error) -> String {
        match error {
            Error::Timeout(_) => format!("no answer within {} s", self.patience.as_secs_f64()),
            Error::BadUri(_) | Error::Http(_) => "invalid URL or header".to_owned(),
            Error::HostNotFound => "there is no host of that name".to_owned(),
            Error::Io(error) => error.to_string(),
            error => error.to_string(),
        }
    }
}
