//! Errors as problem details for HTTP APIs (RFC 9457).

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{self, CONTENT_LENGTH, CONTENT_TYPE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use secbeat_common::prefix::Prefix;
use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Longest sentence of a refusal that is not ours, in bytes.
const MAX_DETAIL: usize = 16 * 1024;

/// When to ask again after 503: a daemon reconnects to NATS within seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The body of every error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`: `code` says of what kind the error is.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The reason for programs, in snake case, such as `allowlisted`; one of the status where no other is known, such as `not_found`.
    #[serde(default)]
    pub code: String,
    /// Reason for the failure, as a sentence for people.
    pub detail: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// An error response: its status, the reason as a code for programs, and as a sentence for people.
///
/// A response with 503 carries `Retry-After`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    code: Option<&'static str>,
    detail: String,
}

impl Failure {
    /// A failure with the code of its status, such as `not_found`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            detail: detail.into(),
        }
    }

    /// Returns it with a code of its own, in snake case.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for programs.
    #[must_use]
    pub fn code(&self) -> String {
        self.code
            .map_or_else(|| snake_case(title(self.status)), ToOwned::to_owned)
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

fn snake_case(words: &str) -> String {
    words.to_ascii_lowercase().replace([' ', '-'], "_")
}

/// The response to a value at `key` that cannot be used.
pub fn bad_request(key: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, format!("{key}: {error}"))
}

/// The network that `text` at `key` names: a CIDR, or an address, which stands for its source.
///
/// # Errors
///
/// Returns an error if it names none. Also when its address has bits behind its length, such as 198.51.100.7/24, unless
/// `is_network` says what is meant.
pub fn named_target(key: &str, text: &str, is_network: bool) -> Result<Prefix, Failure> {
    let network: Prefix = text.parse().map_err(|error| bad_request(key, error))?;
    match Prefix::cleared(text) {
        Some(address) if !is_network && Prefix::single(address) != network => {
            let why = format!(
                "{address} with the length of its network may mean the network {network} or {address} alone: say `{network}` or `{address}`"
            );
            Err(bad_request(key, why).with_code("ambiguous"))
        }
        _ => Ok(network),
    }
}

/// An error of the daemon itself.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
    }
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: about_blank(),
            title: title(failure.status).to_owned(),
            status: failure.status.as_u16(),
            code: failure.code(),
            detail: failure.detail.clone(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&Problem::from(&self)).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// Makes problems of all errors that handlers did not make themselves: of bodies, paths and queries that cannot be read,
/// and of paths and methods that do not exist. A layer for [`axum::middleware::from_fn`].
pub async fn as_problems(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let problem = HeaderValue::from_static(PROBLEM_JSON);
    if !is_error || response.headers().get(CONTENT_TYPE) == Some(&problem) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let text = to_bytes(body, MAX_DETAIL).await.unwrap_or_default();
    let detail = match String::from_utf8_lossy(&text).trim() {
        "" if status == StatusCode::NOT_FOUND => format!("there is no {path}"),
        "" if status == StatusCode::METHOD_NOT_ALLOWED => {
            format!("{path} does not take this method; `Allow` says which")
        }
        "" => status.canonical_reason().unwrap_or("Error").to_owned(),
        said => said.to_owned(),
    };
    let (made, body) = Failure::new(status, detail).into_response().into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.extend(made.headers);
    Response::from_parts(head, Body::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(failure: &Failure) -> serde_json::Value {
        serde_json::to_value(Problem::from(failure)).unwrap()
    }

    #[test]
    fn a_problem_has_a_code_for_programs() {
        let failure = Failure::new(StatusCode::NOT_FOUND, "192.0.2.1/32 is not banned");
        assert_eq!(
            problem(&failure),
            serde_json::json!({
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "code": "not_found",
                "detail": "192.0.2.1/32 is not banned",
            })
        );
        let refused = Failure::new(StatusCode::CONFLICT, "").with_code("allowlisted");
        assert_eq!(problem(&refused)["code"], "allowlisted");
        let unavailable = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "");
        assert_eq!(unavailable.code(), "service_unavailable");
    }

    #[test]
    fn an_address_with_the_length_of_its_network_is_not_guessed() {
        for (text, is_network, expected) in [
            ("198.51.100.7", false, Ok("198.51.100.7/32")),
            ("198.51.100.0/24", false, Ok("198.51.100.0/24")),
            ("198.51.100.7/32", false, Ok("198.51.100.7/32")),
            ("198.51.100.7/24", true, Ok("198.51.100.0/24")),
            ("198.51.100.7/24", false, Err("ambiguous")),
            ("2001:db8::1/48", false, Err("ambiguous")),
            ("2001:db8::1/64", false, Ok("2001:db8::/64")),
            ("office", true, Err("bad_request")),
        ] {
            let named = named_target("target", text, is_network);
            let named = named
                .map(|network| network.to_string())
                .map_err(|failure| failure.code());
            assert_eq!(
                named,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
        let why = named_target("target", "198.51.100.7/24", false).unwrap_err();
        assert!(
            why.detail().ends_with("say `198.51.100.0/24` or `198.51.100.7`"),
            "{why:?}"
        );
    }

    #[test]
    fn only_what_is_unavailable_says_when_to_ask_again() {
        let retry_after = |status| {
            let response = Failure::new(status, "").into_response();
            response.headers().get(header::RETRY_AFTER).cloned()
        };
        assert_eq!(
            retry_after(StatusCode::SERVICE_UNAVAILABLE),
            Some(HeaderValue::from_static("5"))
        );
        for status in [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY] {
            assert_eq!(retry_after(status), None, "{status}");
        }
    }

    #[test]
    fn a_problem_of_an_older_daemon_has_no_code() {
        let older = r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"x"}"#;
        let problem: Problem = serde_json::from_str(older).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (409, ""));
    }
}
