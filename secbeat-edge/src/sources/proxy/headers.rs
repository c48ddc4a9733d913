//! What a proxy does to heads: fields of one hop end here (RFC 9110 §7.6.1), and the upstream learns who asked.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method, Uri, Version,
    body::Body,
    header::{self, HeaderName, HeaderValue},
    http::{request, uri::Authority},
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Takes out what is meant for this hop alone.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
}

/// Why a request is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400
    Malformed,
    /// 501
    Connect,
}

/// The host that a request is for: of the target in absolute form, else of its Host field (RFC 9112 §3.2).
///
/// # Errors
///
/// [`Refusal::Malformed`] where the RFC demands a 400: no Host in HTTP/1.1, more than one, or one that is no host; and for
/// a target that does not go with the method.
pub(super) fn target_host(head: &request::Parts) -> Result<HeaderValue, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => host.clone(),
        (None, _) if head.version != Version::HTTP_11 => HeaderValue::from_static(""),
        _ => return Err(Refusal::Malformed),
    };
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Refusal::Malformed);
    }
    let Some(authority) = head.uri.authority() else {
        return Ok(host);
    };
    let web = head
        .uri
        .scheme_str()
        .is_some_and(|scheme| matches!(scheme, "http" | "https"));
    let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Malformed)?;
    if web && is_host(&authority) {
        Ok(authority)
    } else {
        Err(Refusal::Malformed)
    }
}

fn is_host(value: &HeaderValue) -> bool {
    let is_authority =
        || Authority::try_from(value.as_bytes()).is_ok_and(|authority| !authority.as_str().contains('@'));
    value.is_empty() || is_authority()
}

/// Turns a client's head into the upstream's. `host` is from [`target_host`].
///
/// # Errors
///
/// [`Refusal::Malformed`] when the target has no path.
pub(super) fn to_upstream(
    head: &mut request::Parts,
    body: &impl Body,
    host: HeaderValue,
    client: IpAddr,
    upstream: &Authority,
) -> Result<(), Refusal> {
    let path = head.uri.path_and_query().ok_or(Refusal::Malformed)?.clone();
    let uri = Uri::builder()
        .scheme("http")
        .authority(upstream.clone())
        .path_and_query(path);
    head.uri = uri.build().map_err(|_| Refusal::Malformed)?;
    let via = if head.version == Version::HTTP_10 {
        "1.0 secbeat"
    } else {
        "1.1 secbeat"
    };
    head.version = Version::HTTP_11;

    let headers = &mut head.headers;
    let trailers = headers.get_all(header::TE).iter().any(accepts_trailers);
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    // hyper drops a body of unknown length from a GET unless it is told that there is one.
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }

    append(headers, &X_FORWARDED_FOR, client.to_string().as_bytes());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(X_FORWARDED_HOST, host.clone());
    append(headers, &header::VIA, via.as_bytes());
    if host.is_empty() {
        // HTTP/1.0 without one: the client fills in the upstream's own.
        headers.remove(header::HOST);
    } else {
        headers.insert(header::HOST, host);
    }
    Ok(())
}

fn accepts_trailers(te: &HeaderValue) -> bool {
    te.as_bytes()
        .split(|byte| *byte == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Appends to a list-valued field, as one line: not every upstream reads the second.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    let mut list: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    list.push(value);
    if let Ok(list) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::Request;

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> request::Parts {
        let request = Request::builder().uri(target);
        fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    fn forwarded(target: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut head = head(target, fields);
        let host = target_host(&head).unwrap();
        let upstream = Authority::from_static("app:3000");
        to_upstream(
            &mut head,
            &Empty::<Bytes>::new(),
            host,
            [198, 51, 100, 7].into(),
            &upstream,
        )
        .unwrap();
        head
    }

    #[test]
    fn fields_of_one_hop_end_here() {
        let mut headers = head(
            "/",
            &[
                ("connection", "close, X-Mine"),
                ("connection", " ,keep-alive,bad name"),
                ("x-mine", "1"),
                ("keep-alive", "1"),
                ("proxy-connection", "1"),
                ("te", "gzip"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "websocket"),
                ("proxy-authenticate", "1"),
                ("proxy-authorization", "1"),
                ("authorization", "kept"),
                ("trailer", "kept"),
            ],
        )
        .headers;
        strip_hop_by_hop(&mut headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "trailer"]);
    }

    #[test]
    fn the_upstream_learns_who_asked() {
        let head = forwarded(
            "/a?b",
            &[
                ("host", "example.org"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-for", "192.0.2.2"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "forged"),
                ("via", "1.0 fred"),
                ("te", "gzip, Trailers"),
            ],
        );
        assert_eq!(head.uri, "http://app:3000/a?b");
        for (name, value) in [
            ("host", "example.org"),
            ("x-forwarded-for", "192.0.2.1, 192.0.2.2, 198.51.100.7"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "example.org"),
            ("via", "1.0 fred, 1.1 secbeat"),
            ("te", "trailers"),
            ("connection", "te"),
        ] {
            let values: Vec<_> = head.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name}");
        }
    }

    #[test]
    fn the_host_of_an_absolute_target_wins() {
        let head = forwarded("http://a.example:81/x", &[("host", "b.example")]);
        assert_eq!(
            (&head.headers["host"], head.uri.to_string().as_str()),
            (&HeaderValue::from_static("a.example:81"), "http://app:3000/x")
        );
    }

    #[test]
    fn a_connection_field_cannot_take_the_host_away() {
        assert_eq!(
            forwarded("/", &[("host", "a"), ("connection", "host")]).headers["host"],
            "a"
        );
    }

    #[test]
    fn requests_without_one_good_host_are_refused() {
        for fields in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "a b")],
            &[("host", "u@a")],
            &[("host", "a/b")],
        ] {
            assert_eq!(
                target_host(&head("/", fields)),
                Err(Refusal::Malformed),
                "{fields:?}"
            );
        }
        for target in ["ftp://a/", "http://u@a/", "*"] {
            assert_eq!(
                target_host(&head(target, &[("host", "a")])),
                Err(Refusal::Malformed),
                "{target}"
            );
        }
        assert_eq!(
            target_host(&head("/", &[("host", "")])),
            Ok(HeaderValue::from_static(""))
        );
    }
}
