//! Errors as problem details for HTTP APIs (RFC 9457).

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Longest sentence of a refusal that is not ours, in bytes.
const MAX_DETAIL: usize = 16 * 1024;

/// The body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says of what kind it is.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request, as a sentence for whoever made it.
    pub detail: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// An error answer: its status, and what is wrong as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub StatusCode, pub String);

/// The answer to a value at `key` that cannot be used.
pub fn bad_request(key: &str, error: impl std::fmt::Display) -> Failure {
    Failure(StatusCode::BAD_REQUEST, format!("{key}: {error}"))
}

/// What went wrong in the daemon itself.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
    }
}

impl From<&Failure> for Problem {
    fn from(Failure(status, detail): &Failure) -> Self {
        Self {
            kind: about_blank(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.clone(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&Problem::from(&self)).unwrap_or_default();
        (self.0, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
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
    let (made, body) = Failure(status, detail).into_response().into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.extend(made.headers);
    Response::from_parts(head, Body::new(body))
}
