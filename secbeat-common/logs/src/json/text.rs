//! Strings of JSON.

use std::borrow::Cow;

use memchr::memchr;

use crate::marks::Specials;

/// Offset at which a string ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At the quote there; and whether there is an escape before it.
    At(usize, bool),
    /// Not within the text, and whether the text ends after a backslash that escapes what comes next.
    Beyond { after_backslash: bool },
}

/// Finds the end of a string that goes on at `from`.
#[inline]
pub(crate) fn find_end(text: &[u8], from: usize) -> End {
    find_next_end(&mut Specials::default(), text, from)
}

/// As [`find_end`], after others in the same text.
#[inline]
pub(super) fn find_next_end(specials: &mut Specials, text: &[u8], from: usize) -> End {
    let mut at = from;
    let mut escaped = false;
    loop {
        let Some(found) = specials.find(text, at) else {
            return End::Beyond {
                after_backslash: at > text.len(),
            };
        };
        if text[found] == b'"' {
            return End::At(found, escaped);
        }
        escaped = true;
        at = found + 2;
    }
}

/// Undoes the escapes of a string that stood between quotes. Bytes that are not UTF-8 stay as they are. Half of a surrogate
/// pair is written as three bytes; a backslash before anything that JSON does not escape is left out; an escape that is cut
/// off ends the text.
pub(crate) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut at) = memchr(b'\\', text) else {
        return text.into();
    };
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    loop {
        out.extend_from_slice(&text[from..at]);
        let Some(escape) = text.get(at + 1) else {
            break;
        };
        from = at + 2;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                let Some((point, end)) = code_point(text, from) else {
                    break;
                };
                push(&mut out, point);
                from = end;
            }
            other => out.push(*other),
        }
        match memchr(b'\\', &text[from..]) {
            Some(next) => at = from + next,
            None => {
                out.extend_from_slice(&text[from..]);
                break;
            }
        }
    }
    out.into()
}

/// Returns how many bytes of a text that may be cut off hold no half of an escape.
pub(crate) fn whole_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &text[at..]) {
        at += found;
        let (len, needed) = match text.get(at + 1..) {
            // The second half of a surrogate pair may follow.
            Some([b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]) => (6, 12),
            Some([b'u', ..]) => (6, 6),
            _ => (2, 2),
        };
        if text.len() - at < needed {
            return at;
        }
        at += len;
    }
    text.len()
}

/// The code point whose four digits stand at `at`, with the second half of its surrogate pair if that follows, and where it
/// ends. `None` if the digits are none or cut off.
fn code_point(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = unit(text, at)?;
    let end = at + 4;
    if (0xd800..0xdc00).contains(&first)
        && text.get(end..end + 2) == Some(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(text, end + 2)
    {
        return Some((0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00)), end + 6));
    }
    Some((first, end))
}

/// Four hexadecimal digits.
fn unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// UTF-8, also of half a surrogate pair.
fn push(out: &mut Vec<u8>, point: u32) {
    if let Some(char) = char::from_u32(point) {
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        return;
    }
    let part = |shift: u32| 0x80 | (point >> shift & 0x3f) as u8;
    out.extend_from_slice(&[0xe0 | (point >> 12) as u8, part(6), part(0)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_undone() {
        for (text, expected) in [
            (&b"plain \xff"[..], &b"plain \xff"[..]),
            (br#"\"\\\/\b\f\n\r\t"#, b"\"\\/\x08\x0c\n\r\t"),
            (br"\u00e9\uD83D\ude00!", "é😀!".as_bytes()),
            (br"a\ud800\u0041", b"a\xed\xa0\x80A"),
            (br"\udc00", b"\xed\xb0\x80"),
            (br"cut \u00e", b"cut "),
            (br"cut \", b"cut "),
            (br"no \x escape", b"no x escape"),
        ] {
            assert_eq!(&*unescape(text), expected, "{}", text.escape_ascii());
        }
        assert!(matches!(unescape(b"plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_half_of_an_escape_is_not_whole() {
        for (text, whole) in [
            (&b""[..], 0),
            (b"plain", 5),
            (br"a\n", 3),
            (br"a\", 1),
            (br"a\\", 3),
            (br"a\\\", 3),
            (br"\u", 0),
            (br"\u00e", 0),
            (br"\u00e9", 6),
            (br"\u00e9\u", 6),
            (br"\ud83d\ude0", 0),
            (br"\ud83d\ude00", 12),
            (br"\ud83dabcdefg", 13),
        ] {
            assert_eq!(whole_len(text), whole, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_end_is_a_quote_that_is_not_escaped() {
        for (text, end) in [
            (&br#"ab" x"#[..], End::At(2, false)),
            (br#"a\"b" x"#, End::At(4, true)),
            (br#"a\\" x"#, End::At(3, true)),
            (
                br"a\\",
                End::Beyond {
                    after_backslash: false,
                },
            ),
            (
                br"a\",
                End::Beyond {
                    after_backslash: true,
                },
            ),
            (
                b"",
                End::Beyond {
                    after_backslash: false,
                },
            ),
        ] {
            assert_eq!(find_end(text, 0), end, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn strings_are_what_serde_json_says(text in r#"([ -~é]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,20}"#) {
            let quoted = format!("\"{text}\"");
            if let Ok(expected) = serde_json::from_str::<String>(&quoted) {
                prop_assert_eq!(&*unescape(text.as_bytes()), expected.as_bytes());
            }
        }
    }
}
