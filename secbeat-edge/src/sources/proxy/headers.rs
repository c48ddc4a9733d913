//! Which headers a proxy passes on (RFC 9110 §7.6) and which it adds.

use std::net::IpAddr;

use hyper::{
    HeaderMap,
    header::{
        CONNECTION, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE, VIA,
    },
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Name of this proxy in `Via`.
const PSEUDONYM: &str = "1.1 secbeat";

/// Removes what is meant for one hop alone: `Connection`, whatever it names, and the classics. hyper frames bodies itself.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        // A client must not be able to strip what the upstream relies on.
        .filter(|name| *name != HOST && !name.as_str().starts_with("x-forwarded-"))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// Adds who asked, by what protocol and for which host.
pub(super) fn add_forwarding(headers: &mut HeaderMap, client: IpAddr) {
    append(headers, FORWARDED_FOR, &client.to_string());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    append(headers, VIA, PSEUDONYM);
}

/// Adds `Via` to an answer.
pub(super) fn add_via(headers: &mut HeaderMap) {
    append(headers, VIA, PSEUDONYM);
}

/// Appends to a comma-separated list, which becomes one header.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let before: Vec<_> = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
    let list = before.into_iter().chain([element]).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&list) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hop_by_hop_headers_go_and_end_to_end_headers_stay() {
        let mut headers = headers(&[
            ("connection", "keep-alive, x-private, Host, X-Forwarded-For"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic x"),
            ("host", "example.org"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host", "x-forwarded-for"]);
    }

    #[test]
    fn the_client_is_appended_to_what_came_with_the_request() {
        let mut headers = headers(&[("x-forwarded-for", "192.0.2.1"), ("host", "example.org"), ("via", "1.0 other")]);
        add_forwarding(&mut headers, "2001:db8::1".parse().unwrap());
        assert_eq!(headers[FORWARDED_FOR], "192.0.2.1, 2001:db8::1");
        assert_eq!(headers[FORWARDED_PROTO], "http");
        assert_eq!(headers[FORWARDED_HOST], "example.org");
        assert_eq!(headers[VIA], "1.0 other, 1.1 secbeat");
    }
}
