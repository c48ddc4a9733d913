//! Changes of a proxy to heads: fields of one hop end here (RFC 9110 §7.6.1), and the upstream learns who asked.

mod claims;
mod fetch;
mod trailers;

use std::net::Ipv6Addr;

use hyper::{
    HeaderMap, Method, Uri, Version,
    body::Body,
    header::{self, HeaderName, HeaderValue},
    http::{
        request,
        uri::{self, Authority},
    },
};

use self::claims::{is_of_trusted, strip_claims};
pub(super) use self::{claims::strip_spellings, fetch::is_cross_site, trailers::clean_trailers};
use super::config::HeaderRules;

pub(super) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Takes out what is meant for this hop alone.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip_hop_by_hop_but(headers, |_| false);
}

/// [`strip_hop_by_hop`], but for fields that the other end may not declare to be of this hop.
fn strip_hop_by_hop_but(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    let named: Vec<HeaderName> = list(headers, &header::CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !stays(name))
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

/// The reason why a request is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400
    Malformed,
    /// 501
    Connect,
    /// 501: a transfer coding beside `chunked`, or that twice.
    Coding,
    /// 501: it is to go no further.
    LastHop,
    /// 431: the server takes no list of fields that is so long.
    TooLong,
}

/// How a message is coded for its transfer (RFC 9112 §7), by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    None,
    Chunked,
    /// Of any other kind. hyper takes off what it knows, and would pass on the rest as if it were the content.
    Unknown,
}

pub(super) fn coding(headers: &HeaderMap) -> Coding {
    let mut codings = list(headers, &header::TRANSFER_ENCODING).filter(|coding| !coding.is_empty());
    match (codings.next(), codings.next()) {
        (None, _) => Coding::None,
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        _ => Coding::Unknown,
    }
}

/// The host that a request is for: of the target in absolute form, else of its Host field (RFC 9112 §3.2).
///
/// # Errors
///
/// [`Refusal::Malformed`] where the RFC demands a 400: no Host in HTTP/1.1, more than one, or one that is not a host; and for
/// a target that does not go with the method.
pub(super) fn target_host(head: &request::Parts) -> Result<HeaderValue, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        // RFC 9113 §8.3.1: beside an authority that it differs from, a Host field makes a request malformed.
        (Some(host), None) if head.version == Version::HTTP_2 && differs(&head.uri, host) => {
            return Err(Refusal::Malformed);
        }
        (Some(host), None) if is_host(host) => host.clone(),
        (None, _) if head.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, _) if head.version == Version::HTTP_2 && head.uri.authority().is_some() => {
            HeaderValue::from_static("")
        }
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

fn differs(uri: &Uri, host: &HeaderValue) -> bool {
    uri.authority().is_some_and(|authority| {
        !authority
            .as_str()
            .as_bytes()
            .eq_ignore_ascii_case(host.as_bytes())
    })
}

fn is_host(value: &HeaderValue) -> bool {
    is_plain_host(value.as_bytes()) || is_any_host(value)
}

/// Whether it is a name or an IPv4 address, perhaps with a port. Almost all are, and this copies nothing.
fn is_plain_host(host: &[u8]) -> bool {
    let (name, port) = match memchr::memchr(b':', host) {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, &[][..]),
    };
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    // Few ports have five digits, and some of those are too large.
    let is_port = port.len() < 5 && port.iter().all(u8::is_ascii_digit);
    !name.is_empty() && is_port && name.iter().all(is_of_name)
}

fn is_any_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else {
        return value.is_empty();
    };
    // `http` takes anything between brackets and behind the host.
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = address.is_none_or(|address| address.parse::<Ipv6Addr>().is_ok());
    let is_port = |port: &str| {
        port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    };
    is_address
        && match authority.as_str().strip_prefix(host) {
            Some("") => true,
            // With a user name, it does not begin with its host.
            rest => rest.and_then(|rest| rest.strip_prefix(':')).is_some_and(is_port),
        }
}

/// Of whom a server learns for whom it works.
pub(super) struct Forwarded<'a> {
    /// The peer's address.
    pub(super) peer: &'a HeaderValue,
    /// The address of the client whom a trusted proxy names; `None` where the peer is the client.
    pub(super) client: Option<HeaderValue>,
    /// How the client came.
    pub(super) scheme: Scheme,
    /// The field in which a trusted proxy, which has passed the request on, names clients. It knows how the client came, too.
    pub(super) named_in: Option<&'a HeaderName>,
}

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Turns a client's head into one for a server, in whatever HTTP version. `host` is from [`target_host`]; `rules` have the last
/// word. Returns whether the client takes trailers.
///
/// # Errors
///
/// [`Refusal::Malformed`] when the target has no path or when there are two lengths, [`Refusal::Coding`] and [`Refusal::LastHop`].
pub(super) fn to_upstream(
    head: &mut request::Parts,
    host: &HeaderValue,
    forwarded: &Forwarded<'_>,
    rules: &HeaderRules,
) -> Result<Trailers, Refusal> {
    if head.uri.authority().is_some() {
        head.uri = Uri::from(head.uri.path_and_query().ok_or(Refusal::Malformed)?.clone());
    } else if head.uri.path_and_query().is_none() {
        return Err(Refusal::Malformed);
    }
    let via = match head.version {
        Version::HTTP_10 => HeaderValue::from_static("1.0 secbeat"),
        Version::HTTP_2 => HeaderValue::from_static("2.0 secbeat"),
        _ => HeaderValue::from_static("1.1 secbeat"),
    };
    let headers = &mut head.headers;
    if coding(headers) == Coding::Unknown {
        return Err(Refusal::Coding);
    }
    if head.method == Method::TRACE || head.method == Method::OPTIONS {
        count_hop(headers)?;
    }
    let trailers = match headers.get_all(header::TE).iter().any(accepts_trailers) {
        true => Trailers::Taken,
        false => Trailers::NotTaken,
    };
    one_length(headers)?;
    // Which a client cannot have taken out, nor what a trusted proxy says of it: some pass on the client's Connection field.
    let id = headers.get(X_REQUEST_ID).cloned();
    strip_hop_by_hop_but(headers, |name| is_of_trusted(name, forwarded.named_in));
    if let Some(id) = id {
        headers.insert(X_REQUEST_ID, id);
    }
    strip_claims(headers, forwarded.named_in, rules);
    if head.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    append(headers, &X_FORWARDED_FOR, forwarded.peer);
    let proto = match forwarded.scheme {
        Scheme::Http => HeaderValue::from_static("http"),
        Scheme::Https => HeaderValue::from_static("https"),
    };
    for (name, value) in [(X_FORWARDED_PROTO, proto), (X_FORWARDED_HOST, host.clone())] {
        let is_said = forwarded.named_in.is_some() && headers.contains_key(&name);
        // A request of HTTP/1.0 may have no host.
        if !is_said && !value.is_empty() {
            headers.insert(name, value);
        }
    }
    let client = forwarded.client.as_ref().unwrap_or(forwarded.peer);
    headers.insert(X_REAL_IP, client.clone());
    if rules.via {
        append(headers, &header::VIA, &via);
    }
    for name in &rules.remove {
        headers.remove(name);
    }
    for (name, value) in &rules.set {
        headers.insert(name, value.clone());
    }
    trim(headers);
    Ok(trailers)
}

/// Makes one length of several that are the same, as HTTP/2 allows them to come.
fn one_length(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(first), Some(second)) = (lengths.next(), lengths.next()) else {
        return Ok(());
    };
    if second != first || lengths.any(|other| other != first) {
        return Err(Refusal::Malformed);
    }
    let length = first.clone();
    headers.insert(header::CONTENT_LENGTH, length);
    Ok(())
}

/// Takes blanks off the ends of values. HTTP/1.1 has none there, h2 takes them from HTTP/2 clients, and some servers end the connection
/// of all clients for them (RFC 9113 §8.2.1).
fn trim(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let bytes = value.as_bytes();
        let trimmed = bytes.trim_ascii();
        if trimmed.len() < bytes.len()
            && let Ok(trimmed) = HeaderValue::from_bytes(trimmed)
        {
            *value = trimmed;
        }
    }
}

/// Counts this hop, if the client counts them (RFC 9110 §7.6.2).
fn count_hop(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let left = headers.get(header::MAX_FORWARDS).map(HeaderValue::to_str);
    let left = left.and_then(|left| left.ok()?.parse::<u64>().ok());
    match left {
        Some(0) => Err(Refusal::LastHop),
        Some(left) => {
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(())
        }
        None => Ok(()),
    }
}

/// Whether a client takes trailers (RFC 9110 §10.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailers {
    Taken,
    NotTaken,
}

/// Finishes a head of [`to_upstream`] for a server that speaks HTTP/1.1.
pub(super) fn for_http1(
    head: &mut request::Parts,
    body: &impl Body,
    host: &HeaderValue,
    trailers: Trailers,
    server: &Authority,
) {
    head.version = Version::HTTP_11;
    let headers = &mut head.headers;
    if trailers == Trailers::Taken {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    // hyper drops a body of unknown length from a GET unless it is told that there is one.
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // HTTP/1.0 without a host: the server's own.
    let host = match host.is_empty() {
        true => HeaderValue::from_str(server.as_str()).unwrap_or_else(|_| host.clone()),
        false => host.clone(),
    };
    headers.insert(header::HOST, host);
}

/// Finishes a head of [`to_upstream`] for a server that speaks HTTP/2.
///
/// # Errors
///
/// [`Refusal::Malformed`] when the target can have no authority, as `*` cannot.
pub(super) fn for_http2(
    head: &mut request::Parts,
    host: &HeaderValue,
    trailers: Trailers,
    server: &Authority,
    scheme: uri::Scheme,
) -> Result<(), Refusal> {
    head.version = Version::HTTP_2;
    let authority = match host.is_empty() {
        true => server.clone(),
        false => Authority::try_from(host.as_bytes()).map_err(|_| Refusal::Malformed)?,
    };
    let path = head.uri.path_and_query().ok_or(Refusal::Malformed)?.clone();
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path);
    head.uri = uri.build().map_err(|_| Refusal::Malformed)?;
    let headers = &mut head.headers;
    headers.remove(header::HOST);
    headers.remove(header::CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
    if trailers == Trailers::Taken {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

/// Bytes of the list of fields of a head for a server that speaks HTTP/2, as that counts them (RFC 9113 §6.5.2).
pub(super) fn list_size(head: &request::Parts) -> usize {
    /// What each field counts besides its name and its value.
    const FIELD: usize = 32;
    /// The four fields of the target, and the length that hyper may add.
    const OWN: usize = 5 * FIELD + ":method:scheme:authority:pathcontent-length".len() + 20;
    let uri = &head.uri;
    let target = [
        head.method.as_str(),
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", Authority::as_str),
        uri.path_and_query().map_or("", uri::PathAndQuery::as_str),
    ];
    let target: usize = target.iter().map(|part| part.len()).sum();
    let fields = head.headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD)
        .sum();
    OWN + target + fields
}

/// Has the other end switch to this protocol, or ask for it.
pub(super) fn ask_for_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// The protocol that a request wants to switch to: with HTTP/1.1, without a body, and not to HTTP/2, over which requests
/// would go past every check.
pub(super) fn wanted_upgrade(head: &request::Parts, has_no_body: bool) -> Option<HeaderValue> {
    if head.version != Version::HTTP_11 || !has_no_body {
        return None;
    }
    let asked = list(&head.headers, &header::CONNECTION).any(|name| name.eq_ignore_ascii_case(b"upgrade"));
    let mut protocols = head.headers.get_all(header::UPGRADE).iter();
    let (Some(protocol), None, true) = (protocols.next(), protocols.next(), asked) else {
        return None;
    };
    let is_http = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        name.starts_with(b"h2") || name.starts_with(b"http") || name.starts_with(b"tls")
    };
    (!elements(protocol).any(is_http)).then(|| protocol.clone())
}

/// HTTP/2 may send a Cookie field in pieces; elsewhere it is one line (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookie);
    }
}

/// The elements of a list-valued field.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().flat_map(elements)
}

/// The elements of one line of such a field.
pub(super) fn elements(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
}

fn accepts_trailers(te: &HeaderValue) -> bool {
    elements(te).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Appends to a list-valued field, as one line: not every upstream reads the second.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, value.clone());
        return;
    }
    let mut list: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    list.push(value.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests;
