//! What must hold of every parser of log lines, whatever the line.

mod attack;

use std::borrow::Cow;

pub use self::attack::check_attack;

use super::{Format, LogLine};

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
    if !line.is_empty() && !has_prefix(line) {
        assert_eq!(format.parse(&prefixed), parsed, "with a container's prefix");
    }
    let Ok(parsed) = parsed else { return };
    assert_eq!(parsed.client, parsed.client.to_canonical());
    assert!(parsed.status < 1000, "status {}", parsed.status);
    let is_method = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    if !name.ends_with("json") {
        assert!(parsed.method.iter().all(is_method) || name.contains("request_method"));
        texts(&parsed).for_each(|text| assert!(is_within(text, line), "{text:?} is not of the line"));
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

/// A prefix before another one is part of the line.
fn has_prefix(line: &[u8]) -> bool {
    line.trim_ascii().get(10) == Some(&b'T') || line.trim_ascii() != line
}

fn texts<'a>(line: &'a LogLine<'_>) -> impl Iterator<Item = &'a [u8]> {
    let optional = [line.host.as_deref(), line.user_agent.as_deref()];
    [Cow::as_ref(&line.method), Cow::as_ref(&line.path)]
        .into_iter()
        .chain(optional.into_iter().flatten())
}

/// Whether this is a part of the line itself, not of a copy.
fn is_within(text: &[u8], line: &[u8]) -> bool {
    text.is_empty() || line.as_ptr_range().contains(&text.as_ptr())
}
