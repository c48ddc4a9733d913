//! Heads of syslog: RFC 3164, RFC 5424, and rsyslog's file format with ISO times.

use memchr::memchr;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Longest host, program or time, in bytes.
const MAX_TOKEN: usize = 255;

/// Takes off `<PRI>` if there is one, and what follows: `Nov 21 11:06:56 web1 nginx[12]: `,
/// `2026-11-21T11:06:56.123+01:00 web1 nginx: `, both also without the host, or `1 2026-11-21T11:06:56+01:00 web1 nginx 12 - - `.
/// `[12345.678901] web1 nginx[12]: ` is `journalctl --output=short-monotonic`. Then rsyslog's `message repeated 2 times: [ …]`, and the `@cee:` before an object.
pub(super) fn unwrap(line: &[u8]) -> Option<&[u8]> {
    let rest = without_priority(line).unwrap_or(line);
    let message = match rest.strip_prefix(b"1 ") {
        Some(rest) => rfc_5424(rest)?,
        None => rfc_3164(rest)?,
    };
    let message = repeated(message).map_or(message, |(_, message)| message);
    Some(
        message
            .strip_prefix(b"@cee:")
            .map_or(message, <[u8]>::trim_ascii_start),
    )
}

/// Returns what rsyslog writes in place of messages that are as the one before: how many there were, and the message.
pub(crate) fn repeated(message: &[u8]) -> Option<(u32, &[u8])> {
    let rest = message.strip_prefix(b"message repeated ")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let times = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let message = rest[digits..].strip_prefix(b" times: [")?.strip_suffix(b"]")?;
    Some((times, message.strip_prefix(b" ").unwrap_or(message)))
}

/// Returns what follows `<0>` to `<191>`.
pub(crate) fn without_priority(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"<")?;
    let end = memchr(b'>', &rest[..rest.len().min(4)])?;
    let is_number = end > 0 && rest[..end].iter().all(u8::is_ascii_digit);
    is_number.then_some(&rest[end + 1..])
}

fn rfc_3164(text: &[u8]) -> Option<&[u8]> {
    let rest = after_bsd_time(text)
        .or_else(|| after_iso_time(text))
        .or_else(|| after_full_time(text))
        .or_else(|| after_journal_time(text))
        .or_else(|| after_uptime(text))?;
    let (first, rest) = token(rest)?;
    if let Some(message) = after_tag(first, rest) {
        return Some(message);
    }
    let (second, rest) = token(rest)?;
    if let Some(message) = after_tag(second, rest) {
        return Some(message);
    }
    let (tag, rest) = token(rest).filter(|_| is_level(second))?;
    after_tag(tag, rest)
}

/// Whether `word` is a facility and a level, which BusyBox writes between host and program: `auth.info`.
pub(crate) fn is_level(word: &[u8]) -> bool {
    const LEVELS: [&[u8]; 10] = [
        b"emerg", b"alert", b"crit", b"err", b"error", b"warning", b"warn", b"notice", b"info", b"debug",
    ];
    let Some(dot) = memchr(b'.', word) else {
        return false;
    };
    let is_part = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    word[..dot].iter().all(is_part) && LEVELS.contains(&&word[dot + 1..])
}

/// Returns what follows `Sat Nov 21 11:06:56 2026 daemon.info `, as OpenWrt's `logread` has it.
fn after_full_time(text: &[u8]) -> Option<&[u8]> {
    let (day, rest) = text.split_at_checked(4)?;
    let is_day = day[..3].iter().all(u8::is_ascii_alphabetic) && day[3] == b' ';
    let (year, rest) = token(after_bsd_time(rest).filter(|_| is_day)?)?;
    let is_year = year.len() == 4 && year.iter().all(u8::is_ascii_digit);
    let (level, rest) = token(rest).filter(|_| is_year)?;
    is_level(level).then_some(rest)
}

/// Returns what follows `Sat 2026-11-21 11:06:56 CET ` or `1795255616.123456 `, as `journalctl` has it with `--output=short-full`
/// and `--output=short-unix`.
fn after_journal_time(text: &[u8]) -> Option<&[u8]> {
    let (first, rest) = token(text)?;
    let is_place_of =
        |at: usize, byte: &u8| (at == 10 && *byte == b'.') || (at != 10 && byte.is_ascii_digit());
    if first.len() == 17 && first.iter().enumerate().all(|(at, byte)| is_place_of(at, byte)) {
        return Some(rest);
    }
    let is_day = first.len() == 3 && first.iter().all(u8::is_ascii_alphabetic);
    let (zone, rest) = token(after_iso_time(rest).filter(|_| is_day)?)?;
    let is_of_zone = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-:".contains(byte);
    (zone.len() <= 6 && zone.iter().all(is_of_zone)).then_some(rest)
}

/// Returns what follows `[12345.678901] `, which may be padded.
fn after_uptime(text: &[u8]) -> Option<&[u8]> {
    let (uptime, rest) = text
        .strip_prefix(b"[")?
        .split_at_checked(memchr(b']', text)?.checked_sub(1)?)?;
    let (seconds, parts) = uptime.split_at_checked(memchr(b'.', uptime)?)?;
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_uptime = are_digits(seconds.trim_ascii_start()) && parts.len() == 7 && are_digits(&parts[1..]);
    rest.strip_prefix(b"] ").filter(|_| is_uptime)
}

/// Returns what follows `Nov 21 11:06:56 `, with or without parts of a second, or with a year behind the day. A day may have one
/// digit alone.
fn after_bsd_time(text: &[u8]) -> Option<&[u8]> {
    let (month, rest) = text.split_first_chunk::<4>()?;
    let rest = match rest {
        [b' ' | b'0'..=b'9', b'0'..=b'9', b' ', rest @ ..] | [b'0'..=b'9', b' ', rest @ ..] => rest,
        _ => return None,
    };
    let rest = match rest {
        [y0, y1, y2, y3, b' ', rest @ ..] if [y0, y1, y2, y3].into_iter().all(u8::is_ascii_digit) => rest,
        rest => rest,
    };
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let [h0, h1, b':', m0, m1, b':', s0, s1] = clock else {
        return None;
    };
    let is_time = [h0, h1, m0, m1, s0, s1].into_iter().all(u8::is_ascii_digit);
    let [month @ .., b' '] = month else { return None };
    let rest = match rest.strip_prefix(b".") {
        Some(rest) => &rest[rest.iter().take_while(|byte| byte.is_ascii_digit()).count()..],
        None => rest,
    };
    let rest = rest.strip_prefix(b" ")?;
    (is_time && MONTHS.contains(&month)).then_some(rest)
}

/// Returns what follows `2026-11-21T11:06:56+01:00 `, also with a space in place of the `T`.
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
    if all && time.len() == 10 {
        let (clock, rest) = token(rest)?;
        let all = clock.iter().enumerate().all(|(at, byte)| is_time(at + 11, byte));
        return (clock.len() >= 8 && all).then_some(rest);
    }
    (time.len() >= 19 && all).then_some(rest)
}

/// The message, if `tag` is one: `nginx:` or `nginx[12]:`. HAProxy's may have no colon.
fn after_tag<'a>(tag: &[u8], message: &'a [u8]) -> Option<&'a [u8]> {
    let bare = is_haproxys_tag(tag).then_some(tag);
    let program = tag.strip_suffix(b":").or(bare)?;
    let of_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./@[]()".contains(byte);
    (!program.is_empty() && program.iter().all(of_tag)).then_some(message)
}

/// Whether a word is the tag of HAProxy's messages without a colon, as some templates of rsyslog have it: `haproxy[12]`.
pub(crate) fn is_haproxys_tag(word: &[u8]) -> bool {
    let process = word
        .strip_prefix(b"haproxy[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    process.is_some_and(|process| process.iter().all(u8::is_ascii_digit))
}

/// Returns what follows the time, host, program, process and message id, and the structured data.
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

/// Returns what follows one element of structured data or more, `[id name="value"]`; a backslash escapes a quote or a bracket.
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
            "2026-11-21 11:06:56 web1 nginx: ",
            "Nov 1 11:06:56 web1 nginx: ",
            "Nov 21 11:06:56.123456 web1 nginx[12]: ",
            "Nov 21 11:06:56 web1 local7.info nginx: ",
            "Sat Nov 21 11:06:56 2026 daemon.info nginx[12]: ",
            "Sat 2026-11-21 11:06:56 CET web1 nginx[12]: ",
            "1795255616.123456 web1 nginx[12]: ",
            "[12345.678901] web1 nginx[12]: ",
            "[    5.678901] web1 nginx[12]: ",
            "Nov 21 2026 11:06:56 web1 nginx: ",
            "1 2026-11-21T11:06:56+01:00 web1 nginx 12 - - ",
            "Nov 21 11:06:56 web1 nginx: @cee: ",
            "Nov 21 11:06:56 web1 haproxy[12] ",
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
    fn what_was_repeated_is_read_once() {
        for (line, message) in [
            (
                "Nov 21 11:06:56 web1 nginx: message repeated 3 times: [ x]]",
                "x]",
            ),
            (
                "Nov 21 11:06:56 web1 nginx: message repeated 3 times: [ x",
                "message repeated 3 times: [ x",
            ),
        ] {
            assert_eq!(unwrap(line.as_bytes()), Some(message.as_bytes()), "{line}");
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
            "2026-11-21 11:06:5x web1 nginx: x",
            "2026-11-21 11:06 web1 nginx: x",
            "Sat Nov 21 11:06:56 2026 web1 nginx: x",
            "Nov 21 11:06:56 web1 local7 nginx: x",
            "Nov 21 11:06:56 web1 nginx[12] x",
            "1795255616 web1 nginx[12]: x",
            "[12345.678901] web1 x",
            "[x.678901] web1 nginx: x",
            "[] web1 nginx: x",
        ] {
            assert_eq!(unwrap(line.as_bytes()), None, "{line}");
        }
    }
}
