//! The files of Docker's `json-file` log driver.

use std::borrow::Cow;

use super::{Part, Stream};
use crate::json::text::{End, find_end, unescape};

/// Whether a line begins as those of Docker's files do.
pub(crate) fn begins(line: &[u8]) -> bool {
    text_of(line).is_some()
}

/// Returns what follows the quote that opens the text.
fn text_of(line: &[u8]) -> Option<&[u8]> {
    tokens(line, &[b"{", b"\"log\"", b":", b"\""])
}

/// Returns what follows these tokens. Docker writes no spaces between them; a program that rewrites its files may.
fn tokens<'a>(text: &'a [u8], tokens: &[&[u8]]) -> Option<&'a [u8]> {
    tokens
        .iter()
        .try_fold(text, |rest, token| rest.trim_ascii_start().strip_prefix(*token))
}

/// Takes the text out of `{"log":"…\n","stream":"stdout","time":"…"}`, in which attributes may stand before the time. A
/// text without a line feed at its end goes on in the next one of the stream. Docker writes the keys in this order.
pub(super) fn unwrap(line: &[u8]) -> Option<(Part, Cow<'_, [u8]>)> {
    let rest = text_of(line)?;
    let End::At(end, _) = find_end(rest, 0) else {
        return None;
    };
    let (text, rest) = (&rest[..end], &rest[end..]);
    let rest = tokens(rest, &[b"\"", b",", b"\"stream\"", b":"])?;
    let (stream, rest) = match tokens(rest, &[b"\"stdout\""]) {
        Some(rest) => (Stream::Stdout, rest),
        None => (Stream::Stderr, tokens(rest, &[b"\"stderr\""])?),
    };
    let rest = tokens(rest, &[b","])?;
    let has_time = tokens(rest, &[b"\"time\"", b":", b"\""]).is_some();
    let has_attributes = tokens(rest, &[b"\"attrs\"", b":", b"{"]).is_some();
    if !(has_time || has_attributes) || !rest.ends_with(b"}") {
        return None;
    }
    // An escape of its own, not the second half of an escaped backslash before an `n`.
    let mut text = unescape(text);
    let is_last = text.ends_with(b"\n");
    if is_last {
        let end = text.len() - 1;
        match &mut text {
            Cow::Borrowed(text) => *text = &text[..end],
            Cow::Owned(text) => text.truncate(end),
        }
    }
    Some((Part { stream, is_last }, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_container_wrote() {
        let part = |stream, is_last| Part { stream, is_last };
        for (line, expected) in [
            (
                r#"{"log":"GET \"/a\\n\" \u003c\n","stream":"stdout","time":"2026-11-21T10:06:56.2Z"}"#,
                (part(Stream::Stdout, true), r#"GET "/a\n" <"#),
            ),
            (
                r#"{"log": "a\n", "stream": "stdout", "time": "2026-11-21T10:06:56.2Z"}"#,
                (part(Stream::Stdout, true), "a"),
            ),
            (
                r#"{"log":"half \\n","stream":"stderr","time":"2026-11-21T10:06:56.2Z"}"#,
                (part(Stream::Stderr, false), r"half \n"),
            ),
            (
                r#"{"log":"a\r\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-11-21T10:06:56.2Z"}"#,
                (part(Stream::Stdout, true), "a\r"),
            ),
        ] {
            let (part, text) = unwrap(line.as_bytes()).unwrap();
            assert_eq!((part, std::str::from_utf8(&text).unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn other_objects_are_none_of_dockers() {
        for line in [
            "",
            r#"{"log":"a\n"}"#,
            r#"{"log":"a"#,
            r#"{"log":"a\n","stream":"stdin","time":"x"}"#,
            r#"{"log":"a\n","stream":"stdout","status":200}"#,
            r#"{"log":"a\n","stream":"stdout","time":"2026-11-21T10:06:56.2Z""#,
            r#"{"log":{"a":1},"stream":"stdout","time":"x"}"#,
        ] {
            assert_eq!(unwrap(line.as_bytes()), None, "{line}");
        }
    }
}
