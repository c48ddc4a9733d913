//! The log files of Kubernetes' container runtimes (CRI).

use memchr::memchr;

use super::{Part, Stream};

/// Longest RFC 3339 time with nine digits of a second's fraction, and a space.
const MAX_TIME: usize = 36;

/// Takes off `2026-01-24T01:34:36.743000000+00:00 stdout F `; `P` instead of `F` says that the line goes on in the next one
/// of the stream. Further tags may follow after a colon.
pub(super) fn unwrap(line: &[u8]) -> Option<(Part, &[u8])> {
    if line.get(10) != Some(&b'T') || line.get(4) != Some(&b'-') {
        return None;
    }
    let space = memchr(b' ', &line[..line.len().min(MAX_TIME)])?;
    let rest = &line[space + 1..];
    let (stream, rest) = match rest.split_at_checked(7)? {
        (b"stdout ", rest) => (Stream::Stdout, rest),
        (b"stderr ", rest) => (Stream::Stderr, rest),
        _ => return None,
    };
    let end = memchr(b' ', rest).unwrap_or(rest.len());
    let (tags, text) = rest.split_at(end);
    let is_last = match tags {
        [b'F'] | [b'F', b':', ..] => true,
        [b'P'] | [b'P', b':', ..] => false,
        _ => return None,
    };
    Some((Part { stream, is_last }, text.get(1..).unwrap_or_default()))
}

/// Takes off `2026-01-24T01:34:36.743000000Z `, as `docker logs --timestamps` writes it.
pub(super) fn without_time(line: &[u8]) -> Option<&[u8]> {
    let space = memchr(b' ', &line[..line.len().min(MAX_TIME)])?;
    let (time, text) = (&line[..space], &line[space + 1..]);
    let is_time = |at: usize, byte: &u8| match at {
        4 | 7 => *byte == b'-',
        10 => *byte == b'T',
        13 | 16 => *byte == b':',
        19 => *byte == b'.',
        0..29 => byte.is_ascii_digit(),
        _ => byte.is_ascii_digit() || b":+-Z".contains(byte),
    };
    let is_whole = time.len() >= 30 && time.iter().enumerate().all(|(at, byte)| is_time(at, byte));
    is_whole.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_prefix_is_no_part_of_the_line() {
        for stamp in ["2026-01-24T01:34:36Z", "2026-01-24T01:34:36.743000000+00:00"] {
            for (name, stream) in [("stdout", Stream::Stdout), ("stderr", Stream::Stderr)] {
                for (tags, is_last) in [("F", true), ("P", false), ("F:x", true), ("P:x:y", false)] {
                    let line = format!("{stamp} {name} {tags}  a b ");
                    let expected = (Part { stream, is_last }, &b" a b "[..]);
                    assert_eq!(unwrap(line.as_bytes()), Some(expected), "{line}");
                }
            }
        }
        for stamp in [
            "2026-01-24T01:34:36.743000000Z",
            "2026-01-24T01:34:36.743000000+01:00",
        ] {
            let line = format!("{stamp} 203.0.113.7 - - [x");
            assert_eq!(without_time(line.as_bytes()), Some(&b"203.0.113.7 - - [x"[..]));
        }
        for line in ["", "2026-01-24T01:34:36Z x", "2026-01-24T01:34:36.743000000Z"] {
            assert_eq!(without_time(line.as_bytes()), None, "{line}");
        }
        let (_, text) = unwrap(b"2026-01-24T01:34:36Z stdout F").unwrap();
        assert_eq!(text, b"");
        for line in [
            "",
            "2026-01-24T01:34:36Z",
            "2026-01-24T01:34:36Z stdout X a",
            "2026-01-24T01:34:36Z stdin F a",
            "203.0.113.7 - - [x",
        ] {
            assert_eq!(unwrap(line.as_bytes()), None, "{line}");
        }
    }
}
