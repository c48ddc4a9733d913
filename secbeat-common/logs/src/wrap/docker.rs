//! The files of Docker's `json-file` log driver.

use std::borrow::Cow;

use super::{Part, Stream};
use crate::json::text::{End, find_end, unescape};

const BEGIN: &[u8] = b"{\"log\":\"";

/// Whether a line begins as those of Docker's files do.
pub(crate) fn begins(line: &[u8]) -> bool {
    line.starts_with(BEGIN)
}

/// Takes the text out of `{"log":"…\n","stream":"stdout","time":"…"}`, in which attributes may stand before the time. A
/// text without a line feed at its end goes on in the next one of the stream. Docker writes the keys in this order.
pub(super) fn unwrap(line: &[u8]) -> Option<(Part, Cow<'_, [u8]>)> {
    let rest = line.strip_prefix(BEGIN)?;
    let End::At(end, _) = find_end(rest, 0) else {
        return None;
    };
    let (text, rest) = (&rest[..end], &rest[end..]);
    let rest = rest.strip_prefix(b"\",\"stream\":\"")?;
    let (stream, rest) = match rest.split_at_checked(8)? {
        (b"stdout\",", rest) => (Stream::Stdout, rest),
        (b"stderr\",", rest) => (Stream::Stderr, rest),
        _ => return None,
    };
    if !(rest.starts_with(b"\"time\":\"") || rest.starts_with(b"\"attrs\":{")) || !rest.ends_with(b"\"}") {
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
