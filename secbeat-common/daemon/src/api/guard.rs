//! What keeps web pages away from an API on loopback that asks for no token: a page of another origin (CSRF), and one whose
//! name was made to point here (DNS rebinding).

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{HOST, ORIGIN},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Failure;

/// Refuses what a browser sends on behalf of a page. A layer for [`axum::middleware::from_fn`].
pub async fn no_browsers(request: Request, next: Next) -> Response {
    match refusal(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(failure) => failure.into_response(),
    }
}

fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<Failure> {
    if headers.contains_key(ORIGIN) {
        let why = "requests of web pages (with Origin) are refused";
        return Some(Failure::new(StatusCode::FORBIDDEN, why));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => host.and_then(|host| host.parse::<Authority>().ok()),
    };
    if authority.is_some_and(|authority| is_loopback(authority.host())) {
        return None;
    }
    let why = format!(
        "`{}` is not this host: ask for 127.0.0.1, [::1] or localhost",
        host.unwrap_or_default()
    );
    Some(Failure::new(StatusCode::MISDIRECTED_REQUEST, why))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn status(host: &'static str, origin: Option<&'static str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let refusal = refusal(&Uri::from_static("/api/v1/bans"), &headers);
        refusal.map(|failure| failure.status().as_u16())
    }

    #[test]
    fn only_who_asks_for_loopback_is_served() {
        for host in [
            "127.0.0.1:3030",
            "127.0.0.2",
            "[::1]:3030",
            "localhost:3030",
            "LocalHost",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(status(host, None), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3030",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.0.2.1:3030",
            "",
            "a b",
        ] {
            assert_eq!(status(host, None), Some(421), "{host}");
        }
        assert_eq!(
            refusal(&Uri::from_static("/"), &HeaderMap::new())
                .unwrap()
                .status()
                .as_u16(),
            421
        );
    }

    #[test]
    fn web_pages_are_refused() {
        assert_eq!(status("127.0.0.1:3030", Some("https://evil.example")), Some(403));
        assert_eq!(status("127.0.0.1:3030", Some("null")), Some(403));
    }
}
