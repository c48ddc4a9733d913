//! Changes of a server's head on its way to the client.

use hyper::{
    HeaderMap, Response, StatusCode, Version,
    body::Body,
    ext::ReasonPhrase,
    header::{self, HeaderValue},
    http::response::Parts,
};

use super::headers::{Coding, ask_for_upgrade, coding, list, strip_hop_by_hop};

/// Turns a server's head into one for the client.
///
/// # Errors
///
/// What is wrong with the answer, where it is none to pass on.
pub(super) fn to_client(head: &mut Parts) -> Result<(), &'static str> {
    if head.status.is_informational() {
        return Err("the upstream switched protocols unasked");
    }
    match coding(&head.headers) {
        Coding::None => one_length(&mut head.headers)?,
        // It alone says where the body ends (RFC 9112 §6.3).
        Coding::Chunked => drop(head.headers.remove(header::CONTENT_LENGTH)),
        Coding::Unknown => return Err("the upstream answers in an unknown transfer coding"),
    }
    // The protocol to ask for is the whole answer (RFC 9110 §15.5.22).
    let protocol = match head.status {
        StatusCode::UPGRADE_REQUIRED => head.headers.remove(header::UPGRADE),
        _ => None,
    };
    strip_hop_by_hop(&mut head.headers);
    if let Some(protocol) = protocol {
        ask_for_upgrade(&mut head.headers, protocol);
    }
    head.version = Version::HTTP_11;
    let said = head.extensions.remove::<ReasonPhrase>();
    head.extensions.clear();
    // Otherwise hyper says what is usual, and `<none>` where nothing is.
    let reason = match said.filter(|reason| !reason.as_bytes().is_empty()) {
        None if head.status.canonical_reason().is_none() => Some(ReasonPhrase::from_static(b"")),
        said => said,
    };
    if let Some(reason) = reason {
        head.extensions.insert(reason);
    }
    Ok(())
}

/// Whether a client of HTTP/1.0 asks that its connection is kept (RFC 9112 §9.3).
pub(super) fn asks_to_keep(headers: &HeaderMap) -> bool {
    has_option(headers, b"keep-alive") && !has_option(headers, b"close")
}

/// Finishes a response for a client of HTTP/1.0. Its connection is kept if the client `asks`, and the end of the body is known
/// without its close; hyper would say that it is kept in any case.
pub(super) fn for_http10(response: &mut Response<impl Body>, asks: bool) {
    *response.version_mut() = Version::HTTP_10;
    let body = response.body();
    let has_end = body.is_end_stream() || body.size_hint().exact().is_some();
    if asks && has_end && !has_option(response.headers(), b"close") {
        let keep = HeaderValue::from_static("keep-alive");
        response.headers_mut().insert(header::CONNECTION, keep);
    }
}

fn has_option(headers: &HeaderMap, name: &[u8]) -> bool {
    list(headers, &header::CONNECTION).any(|option| option.eq_ignore_ascii_case(name))
}

/// Makes one length of several that are the same (RFC 9110 §8.6).
fn one_length(headers: &mut HeaderMap) -> Result<(), &'static str> {
    let length = {
        let mut lengths = list(headers, &header::CONTENT_LENGTH);
        let (first, second) = (lengths.next(), lengths.next());
        let (Some(first), Some(second)) = (first, second) else {
            return Ok(());
        };
        if second != first || lengths.any(|other| other != first) {
            return Err("the upstream names two lengths");
        }
        HeaderValue::from_bytes(first).map_err(|_| "the upstream names no length")?
    };
    headers.insert(header::CONTENT_LENGTH, length);
    Ok(())
}
