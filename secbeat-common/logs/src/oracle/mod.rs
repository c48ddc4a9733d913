//! What must hold of every parser of log lines, whatever the line.

mod attack;

use std::borrow::Cow;

pub use self::attack::check_attack;

use super::{Format, Formats, JsonKeys, LogError, LogLine, OpenLines, Piece, json, quoted::NOT_LOGGED, wrap};

/// Has everything that the pattern parser does: quotes, braces, a user name before the time, fields that nobody reads.
const PATTERN: &str = "$host ${remote_addr} - $remote_user [$time_local] \"$request\" $status $bytes \"$http_user_agent\" $request_time";

/// A line of the format `name`, or of a pattern, is refused or makes sense; and what stands around it changes
/// nothing.
///
/// # Panics
///
/// When that is not so.
pub fn check(name: &str, line: &[u8]) {
    let format: Format = name.parse().expect("a format");
    let parsed = format.parse(line);
    let prefixed = [b"2026-01-24T01:34:36.743000000+00:00 stdout F ", line, b"\r"].concat();
    // A pattern may begin with what a client sent.
    if !line.is_empty() && !has_wrapper(line) && !name.contains('$') {
        let shown = format.parse(&prefixed);
        // Nothing says that all lines have it; one that is refused may be so for either reason.
        let may_be_wrapper = matches!(
            format.clone().with_doubt().parse(line),
            Err(LogError::TwoReadings(..))
        );
        if !(may_be_wrapper && shown == Err(LogError::Wrapper)) {
            assert_eq!(shown, parsed, "with a container's prefix");
        }
    }
    check_pieces(&format, line);
    let Ok(parsed) = parsed else { return };
    assert_eq!(parsed.client, parsed.client.to_canonical());
    assert!(parsed.status < 1000, "status {}", parsed.status);
    let is_method = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    if !name.ends_with("json") {
        assert!(parsed.method.iter().all(is_method) || name.contains("request_method"));
        texts(&parsed).for_each(|text| assert!(is_within(text, line), "{text:?} is not of the line"));
    }
}

/// A line is the same however it comes.
fn check_pieces(format: &Format, line: &[u8]) {
    let formats = Formats::from(format.clone());
    let mut open = OpenLines::default();
    let (begin, rest) = line.split_at(line.len() / 2);
    let (more, end) = rest.split_at(rest.len() / 3);
    for piece in [Piece::Begin(begin), Piece::More(more)] {
        assert_eq!(formats.read(piece, &mut open), None);
    }
    assert_eq!(formats.read(Piece::End(end), &mut open), Some(format.parse(line)));
    assert!(!open.is_open());
    json::check(line);
}

/// A line read by a key map is refused or makes sense, and is the same in pieces and as `serde_json` has it.
///
/// # Panics
///
/// When that is not so.
pub fn check_json(line: &[u8]) {
    let keys = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let format = Format::json(JsonKeys {
        client: keys(&["client.ip", "peer"]),
        time: keys(&["time", "a.b.c"]),
        status: keys(&["status"]),
        path: keys(&["path"]),
        ..JsonKeys::default()
    });
    let format = format.expect("keys that can be looked for");
    check_pieces(&format, line);
    if let Ok(parsed) = format.parse(line) {
        assert_eq!(parsed.client, parsed.client.to_canonical());
        assert!(parsed.status < 1000, "status {}", parsed.status);
    }
}

/// A line of a log in wrappers is the same whether it comes whole or in pieces, and those are open that have parts which go
/// on. Who reads no line takes one for a part that is a request as it stands, in which a client wrote the beginning of a part.
///
/// # Panics
///
/// When that is not so.
pub fn check_wrapped(log: &[u8]) {
    let format = Format::COMBINED;
    let formats = Formats::from(format.clone());
    let mut open = OpenLines::default();
    let mut is_clear = true;
    for line in log.split(|byte| *byte == b'\n') {
        let divided = open.divided();
        let mut seen = open.seen();
        let read = formats.read(Piece::Line(line), &mut open);
        let read = read.map(|parsed| parsed.map(LogLine::into_owned));
        is_clear &= !(read.is_some() && OpenLines::after(line).is_open());
        if divided == [false; 2] && open.divided() == divided {
            assert_eq!(read, Some(format.parse_after(line, &mut seen)));
            check_pieces(&format, line);
        }
    }
    let unread = OpenLines::after(log).divided();
    for (unread, open) in unread.into_iter().zip(open.divided()) {
        assert!(unread == open || (unread && !is_clear), "{unread} {open}");
    }
}

/// As [`check`], of a pattern that has everything, and of the pattern that is the first line of the input.
///
/// # Panics
///
/// When a pattern that is one does not show itself, or as [`check`].
pub fn check_pattern(input: &[u8]) {
    check(PATTERN, input);
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let pattern = parts.next().map(std::str::from_utf8);
    let (Some(Ok(pattern)), Some(line)) = (pattern, parts.next()) else {
        return;
    };
    if let Ok(format) = Format::pattern(pattern) {
        assert_eq!(format.to_string(), pattern);
        let _ = format.clone().with_doubt().parse(line);
        if let Ok(parsed) = format.parse(line) {
            texts(&parsed).for_each(|text| assert!(is_within(text, line), "{text:?} is not of the line"));
        }
    }
}

/// Whether there is a wrapper already, or space around the line.
fn has_wrapper(line: &[u8]) -> bool {
    wrap::unwrap(line).is_some() || line.trim_ascii() != line
}

fn texts<'a>(line: &'a LogLine<'_>) -> impl Iterator<Item = &'a [u8]> {
    let optional = [line.host.as_deref(), line.user_agent.as_deref()];
    [Cow::as_ref(&line.method), Cow::as_ref(&line.path)]
        .into_iter()
        .chain(optional.into_iter().flatten())
}

/// Whether this is a part of the line itself, not of a copy.
fn is_within(text: &[u8], line: &[u8]) -> bool {
    text.is_empty() || text == NOT_LOGGED || line.as_ptr_range().contains(&text.as_ptr())
}
