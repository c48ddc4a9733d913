//! Quoted text, request lines and statuses, which many formats share.

use memchr::{memchr2, memrchr};

/// The method of a request of which the log has neither method nor path. An empty one means that the client sent no request.
pub(super) const NOT_LOGGED: &[u8] = b"-";

/// Splits after the opening quote: what is quoted, and what follows the closing quote. A backslash escapes the byte after
/// it.
#[inline]
pub(super) fn unquote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[at] == b'"' {
            return Some((&text[..at], &text[at + 1..]));
        }
        from = at + 2;
    }
}

/// Splits ` 404` and what follows it; ` -` is 0, no answer.
#[inline]
pub(super) fn split_status(text: &[u8]) -> Option<(u16, &[u8])> {
    let text = text.strip_prefix(b" ")?;
    let (status, rest) = match text.split_first_chunk::<3>() {
        Some((digits, rest)) if digits[0] != b'-' => (status(digits)?, rest),
        _ => (0, text.strip_prefix(b"-")?),
    };
    rest.first()
        .is_none_or(|byte| *byte == b' ')
        .then_some((status, rest))
}

#[inline]
fn status(digits: &[u8; 3]) -> Option<u16> {
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')))
}

/// A status of a field of its own: three digits; `-`, `0` and `-1`, as servers write "no answer", are 0.
pub(super) fn parse_status(text: &[u8]) -> Option<u16> {
    match text {
        b"-" | b"0" | b"-1" => Some(0),
        _ => status(text.try_into().ok()?),
    }
}

/// Method and path; an empty method and everything if it is not `METHOD PATH PROTOCOL` or `METHOD PATH`. Servers pass over further
/// spaces around the path, and log them.
#[inline]
pub(super) fn split_request(request: &[u8]) -> (&[u8], &[u8]) {
    if request == b"-" {
        return (b"", b"");
    }
    let (method, target) = request.split_at(method_len(request));
    let (false, [b' ', target @ ..]) = (method.is_empty(), target) else {
        return match uncoloured(request) {
            Some(request) => split_request(request),
            None => (b"", request),
        };
    };
    let target = match target {
        [.., b' '] => target.trim_ascii_end(),
        _ => target,
    };
    let path = without_protocol(target);
    let path = match path {
        [b' ', ..] | [.., b' '] => path.trim_ascii(),
        _ => path,
    };
    (method, path)
}

/// The target of a request line that may end with a protocol.
#[inline]
fn without_protocol(target: &[u8]) -> &[u8] {
    if let Some((path, [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])) =
        target.split_last_chunk()
    {
        return path;
    }
    // A path may contain spaces, so the protocol is what follows the last one.
    match memrchr(b' ', target) {
        Some(space) if target[space + 1..].starts_with(b"HTTP/") => &target[..space],
        _ => target,
    }
}

/// Method, host and path of a request as HAProxy logs it: of HTTP/2 and 3, whose clients send host and path apart, it writes a whole
/// URL (since 2.1).
pub(super) fn split_request_of_haproxy(request: &[u8]) -> (&[u8], Option<&[u8]>, &[u8]) {
    let (method, target) = split_request(request);
    let request = request.trim_ascii_end();
    if request.ends_with(b" HTTP/2.0") || request.ends_with(b" HTTP/3.0") {
        let (host, path) = split_url(target);
        return (method, host, path);
    }
    (method, None, target)
}

/// The host and the path of a URL; no host and everything if the text is none.
fn split_url(url: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match authority_and_rest(url) {
        Some((host, b"")) => (Some(host), b"/"),
        Some((host, path)) => (Some(host), path),
        None => (None, url),
    }
}

/// The host of a URL, with its port.
pub(super) fn authority(url: &[u8]) -> Option<&[u8]> {
    authority_and_rest(url).map(|(host, _)| host)
}

#[cold]
fn authority_and_rest(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let schemes: [&[u8]; 4] = [b"https://", b"http://", b"wss://", b"ws://"];
    let rest = schemes.iter().find_map(|scheme| {
        let (begin, rest) = url.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let user = memrchr(b'@', authority).map_or(0, |at| at + 1);
    Some((some_text(&authority[user..])?, rest))
}

/// A request without the colour of a terminal that Werkzeug writes around it; `None` if it has none.
#[cold]
fn uncoloured(request: &[u8]) -> Option<&[u8]> {
    let mut rest = without_colour(request)?;
    while let Some(more) = without_colour(rest) {
        rest = more;
    }
    Some(rest.strip_suffix(b"\x1b[0m").unwrap_or(rest))
}

/// Returns what follows an escape sequence that sets a terminal's colour; `None` if the text begins with none.
pub(super) fn without_colour(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"\x1b[")?;
    let end = rest
        .iter()
        .position(|byte| !(byte.is_ascii_digit() || *byte == b';'))?;
    rest[end..].strip_prefix(b"m")
}

/// Whether a request line ends with its protocol.
pub(super) fn ends_with_protocol(request: &[u8]) -> bool {
    let protocol = &request[memrchr(b' ', request).map_or(request.len(), |space| space + 1)..];
    let version = protocol.strip_prefix(b"HTTP/").unwrap_or_default();
    (1..=3).contains(&version.len()) && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// Letters, hyphens and underscores that a request begins with.
#[inline]
fn method_len(request: &[u8]) -> usize {
    // Nearly all have one of these, in an order that no processor foresees.
    if let Some((begin, [end, ..])) = request.split_first_chunk::<4>() {
        let is_get = begin == b"GET ";
        if is_get | ((*end == b' ') & ((begin == b"POST") | (begin == b"HEAD"))) {
            return 4 - usize::from(is_get);
        }
    }
    let is_token = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    request.iter().position(|byte| !is_token(byte)).unwrap_or(0)
}

/// Text, unless it is how a server writes that there is none.
pub(super) fn some_text(text: &[u8]) -> Option<&[u8]> {
    (!matches!(text, b"" | b"-")).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_around_a_path_are_no_part_of_it() {
        for (request, expected) in [
            ("POST /wp-login.php HTTP/1.1", ("POST", "/wp-login.php")),
            ("POST /wp-login.php  HTTP/1.1", ("POST", "/wp-login.php")),
            ("POST   /wp-login.php HTTP/1.1", ("POST", "/wp-login.php")),
            ("POST /wp-login.php HTTP/1.1 ", ("POST", "/wp-login.php")),
            ("POST  /wp-login.php   HTTP/1.1   ", ("POST", "/wp-login.php")),
            ("PUT /a b  HTTP/2  ", ("PUT", "/a b")),
            ("GET /a b ", ("GET", "/a b")),
            ("GET  HTTP/1.1", ("GET", "")),
            ("GET ", ("GET", "")),
            ("-", ("", "")),
            (" / ", ("", " / ")),
        ] {
            let (method, path) = expected;
            assert_eq!(
                split_request(request.as_bytes()),
                (method.as_bytes(), path.as_bytes()),
                "{request:?}"
            );
        }
    }
}
