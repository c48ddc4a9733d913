//! What syslog writes before a message: RFC 3164, RFC 5424, and rsyslog's file format with ISO times.

use memchr::memchr;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Longest host, program or time, in bytes.
const MAX_TOKEN: usize = 255;

/// Takes off `<PRI>` if there is one, and what follows: `Nov 21 11:06:56 web1 nginx[12]: `,
/// `2026-11-21T11:06:56.123+01:00 web1 nginx: `, both also without the host, or after a `<PRI>`
/// `1 2026-11-21T11:06:56+01:00 web1 nginx 12 - - `.
pub(super) fn unwrap(line: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = without_priority(line) {
        if let Some(rest) = rest.strip_prefix(b"1 ") {
            return rfc_5424(rest);
        }
        return rfc_3164(rest);
    }
    rfc_3164(line)
}

/// What follows `<0>` to `<191>`.
fn without_priority(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"<")?;
    let end = memchr(b'>', &rest[..rest.len().min(4)])?;
    let is_number = end > 0 && rest[..end].iter().all(u8::is_ascii_digit);
    is_number.then_some(&rest[end + 1..])
}

fn rfc_3164(text: &[u8]) -> Option<&[u8]> {
    let rest = after_bsd_time(text).or_else(|| after_iso_time(text))?;
    let (first, rest) = token(rest)?;
    if let Some(message) = after_tag(first, rest) {
        return Some(message);
    }
    let (tag, rest) = token(rest)?;
    after_tag(tag, rest)
}

/// What follows `Nov 21 11:06:56 `.
fn after_bsd_time(text: &[u8]) -> Option<&[u8]> {
    let (time, rest) = text.split_first_chunk::<16>()?;
    let [
        n0,
        n1,
        n2,
        b' ',
        d0,
        d1,
        b' ',
        h0,
        h1,
        b':',
        m0,
        m1,
        b':',
        s0,
        s1,
        b' ',
    ] = time
    else {
        return None;
    };
    let digits = [d1, h0, h1, m0, m1, s0, s1];
    let is_day = *d0 == b' ' || d0.is_ascii_digit();
    let is_time = is_day && digits.into_iter().all(u8::is_ascii_digit);
    (is_time && MONTHS.contains(&&[*n0, *n1, *n2])).then_some(rest)
}

/// What follows `2026-11-21T11:06:56+01:00 `.
fn after_iso_time(text: &[u8]) -> Option<&[u8]> {
    let (time, rest) = token(text)?;
    let is_time = |at: usize, byte: &u8| match at {
        4 | 7 => *byte == b'-',
        10 => *byte == b'T',
        13 | 16 => *byte == b':',
        0..19 => byte.is_ascii_digit(),
        _ => byte.is_ascii_digit() || b".:+-Z".contains(byte),
    };
    let all = time.iter().enumerate().all(|(at, byte)| is_time(at, byte));
    (time.len() >= 19 && all).then_some(rest)
}

/// The message, if `tag` is one: `nginx:` or `nginx[12]:`.
fn after_tag<'a>(tag: &[u8], message: &'a [u8]) -> Option<&'a [u8]> {
    let program = tag.strip_suffix(b":")?;
    let of_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./@[]()".contains(byte);
    (!program.is_empty() && program.iter().all(of_tag)).then_some(message)
}

/// What follows the time, host, program, process and message id, and the structured data.
fn rfc_5424(text: &[u8]) -> Option<&[u8]> {
    let mut rest = match text.strip_prefix(b"- ") {
        Some(rest) => rest,
        None => after_iso_time(text)?,
    };
    for _ in 0..4 {
        (_, rest) = token(rest)?;
    }
    rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => after_data(rest)?,
    };
    let message = rest.strip_prefix(b" ")?;
    Some(message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message))
}

/// What follows one element of structured data or more, `[id name="value"]`; a backslash escapes a quote or a bracket.
pub(crate) fn after_data(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    while let Some(mut element) = rest.strip_prefix(b"[") {
        let mut in_quotes = false;
        loop {
            element = match element {
                [b'\\', _, rest @ ..] if in_quotes => rest,
                [b'"', rest @ ..] => {
                    in_quotes = !in_quotes;
                    rest
                }
                [b']', after @ ..] if !in_quotes => {
                    rest = after;
                    break;
                }
                [_, rest @ ..] => rest,
                [] => return None,
            };
        }
    }
    (rest.len() < text.len()).then_some(rest)
}

/// Printable bytes up to the next space, and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', &text[..text.len().min(MAX_TOKEN)])?;
    let (token, rest) = (&text[..space], &text[space + 1..]);
    (space > 0 && token.iter().all(u8::is_ascii_graphic)).then_some((token, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_of_syslog_is_taken_off() {
        for before in [
            "Nov 21 11:06:56 web1 nginx: ",
            "Nov  1 11:06:56 web1 nginx[4711]: ",
            "Nov 21 11:06:56 nginx: ",
            "<190>Nov 21 11:06:56 web1 nginx: ",
            "2026-11-21T11:06:56.123+01:00 web1 nginx: ",
            "2026-11-21T11:06:56Z web1 docker/web-1[12]: ",
            "<190>2026-11-21T11:06:56Z web1 nginx: ",
            "<190>1 2026-11-21T11:06:56+01:00 web1 nginx 12 - - ",
            "<190>1 - - - - - - ",
            "<190>1 2026-11-21T11:06:56Z web1 nginx 12 access - \u{feff}",
            r#"<190>1 2026-11-21T11:06:56Z web1 nginx 12 - [a@1 b="] \" \]" c="d"][e] "#,
        ] {
            let line = format!("{before}203.0.113.7 - - [x]: y");
            let message = unwrap(line.as_bytes()).map(<[u8]>::escape_ascii);
            assert_eq!(message.unwrap().to_string(), "203.0.113.7 - - [x]: y", "{before}");
        }
    }

    #[test]
    fn what_is_no_header_stays() {
        for line in [
            "",
            "203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] \"GET /: HTTP/1.1\"",
            "Nov 21 11:06:56 web1 203.0.113.7 - - [x]",
            "Foo 21 11:06:56 web1 nginx: x",
            "Nov 21 11:06:56 web1 ng\"inx: x",
            "<1900>Nov 21 11:06:56 web1 nginx: x",
            "<190>1 2026-11-21T11:06:56Z web1 nginx 12 - [a x",
            "<190>1 2026-11-21 web1 nginx 12 - - x",
            "2026-11-21 11:06:56 web1 nginx: x",
        ] {
            assert_eq!(unwrap(line.as_bytes()), None, "{line}");
        }
    }
}
