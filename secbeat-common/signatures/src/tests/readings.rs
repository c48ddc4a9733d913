//! What servers make of a text, byte by byte: slow, and easy to compare with what [`normal`] says.

use proptest::prelude::*;

use crate::{
    Field,
    normal::{self, end_of_comment, reference, version_of_comment},
};

/// Texts that consist mostly of what is resolved.
fn texts(parts: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&[u8]] = &[
        b"%",
        b"%2e",
        b"%2f",
        b"%25",
        b"%00",
        b"%u002e",
        b"%u0131",
        b"%c0%ae",
        b"\\x2f",
        b"\\u002e",
        b"\\\"",
        b"\\",
        b"+",
        b"/",
        b"//",
        b".",
        b"..",
        b"...",
        b"%3f",
        b"x.",
        b"x /",
        b"/../",
        b"/./",
        b";",
        b";v=1",
        b"#",
        b"\0",
        b"/*",
        b"*/",
        b"/*!50000",
        b"*",
        b"&",
        b"&lt;",
        b"&#60;",
        b"&#x3c;",
        b" ",
        b"  ",
        b"\t",
        b"\xa0",
        b"\xc0\xae",
        b"\xef\xbc\x8e",
        b"\xe0\x80\xae",
        b"\xf0\x80\x80\xae",
        b"http://",
        b"a",
        b"union",
        b"abcdefghijklmnopqrstuvwxyz",
        b"0123456789",
        b"0123456789abcdef",
    ];
    proptest::collection::vec(proptest::sample::select(PARTS), parts).prop_map(|parts| parts.concat())
}

type Make = fn(&[u8], &mut Vec<u8>);

/// Each reading, as it is made and as it should be.
const READINGS: [(Make, Make); 4] = [
    (
        |text, form| normal::decode(text, true, form),
        |text, form| decode(text, true, form),
    ),
    (
        |text, form| normal::decode(text, false, form),
        |text, form| decode(text, false, form),
    ),
    (normal::resolve_path, resolve_path),
    (normal::resolve_query, resolve_query),
];

proptest! {
    #[test]
    fn each_reading_is_what_it_is_byte_by_byte(text in texts(0..24)) {
        // In a buffer that was used before.
        let mut made = vec![b'x'; 7];
        for (make, expected) in READINGS {
            let mut form = Vec::new();
            expected(&text, &mut form);
            make(&text, &mut made);
            prop_assert_eq!(made.escape_ascii().to_string(), form.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_has_no_mark_is_read_as_it_stands(text in texts(0..4), padding in 0_usize..40) {
        let text = [&b"/"[..], &b"x".repeat(padding), &text].concat();
        for (field, readings) in [(Field::Path, [1, 2]), (Field::Query, [0, 3]), (Field::Host, [1, 1])] {
            if normal::is_marked(&text, field) {
                continue;
            }
            for reading in readings {
                let mut form = Vec::new();
                READINGS[reading].1(&text, &mut form);
                prop_assert_eq!(form.escape_ascii().to_string(), text.escape_ascii().to_string());
            }
        }
    }
}

/// Decodes once: `%2e`, `%u002e` (IIS), `\x2e` and `\u002e` (logs, JSON), `+` if `plus` says so, overlong UTF-8 and full-width letters.
/// The result is in lower case.
fn decode(text: &[u8], plus: bool, form: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'%' => match (hex(after, 1, 4), hex(after, 0, 2)) {
                (Some(code), _) if after[0] == b'u' => push_code(code, 5, after, form),
                (_, Some(code)) => push_byte(code, 2, after, form),
                _ => push(byte, after, form),
            },
            b'\\' => match (after.first(), hex(after, 1, 2), hex(after, 1, 4)) {
                (Some(b'x'), Some(code), _) => push_byte(code, 3, after, form),
                (Some(b'u'), _, Some(code)) => push_code(code, 5, after, form),
                (Some(b'"' | b'\\'), ..) => push(after[0], &after[1..], form),
                _ => push(byte, after, form),
            },
            b'+' if plus => push(b' ', after, form),
            _ => push(byte, after, form),
        };
    }
    fold(form);
}

fn push<'a>(byte: u8, after: &'a [u8], form: &mut Vec<u8>) -> &'a [u8] {
    form.push(byte.to_ascii_lowercase());
    after
}

/// A byte in two digits, the last of `length` bytes of `after`.
fn push_byte<'a>(code: u32, length: usize, after: &'a [u8], form: &mut Vec<u8>) -> &'a [u8] {
    push(code as u8, &after[length..], form)
}

/// A character in four digits.
fn push_code<'a>(code: u32, length: usize, after: &'a [u8], form: &mut Vec<u8>) -> &'a [u8] {
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    form.extend_from_slice(character.to_ascii_lowercase().encode_utf8(&mut [0; 4]).as_bytes());
    &after[length..]
}

/// The number that `digits` hexadecimal digits at `from` make.
fn hex(text: &[u8], from: usize, digits: usize) -> Option<u32> {
    let digits = text.get(from..from + digits)?;
    digits.iter().try_fold(0, |number, digit| {
        Some(number * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Folds sequences of UTF-8 that stand for a byte of ASCII, but are longer than they may be (RFC 3629, section 3), and the
/// full-width letters U+FF01 to U+FF5E.
fn fold(form: &mut Vec<u8>) {
    let Some(first) = form.iter().position(|byte| *byte >= 0xc0) else {
        return;
    };
    let (mut read, mut write) = (first, first);
    while read < form.len() {
        let (byte, length) = folded(&form[read..]).unwrap_or((form[read], 1));
        form[write] = byte;
        (read, write) = (read + length, write + 1);
    }
    form.truncate(write);
}

/// The byte that `text` begins with, and how long it is there, if it is longer than a byte.
fn folded(text: &[u8]) -> Option<(u8, usize)> {
    let low = |at: usize| text.get(at).map(|byte| byte & 0x3f);
    let (byte, length) = match *text.first()? {
        lead @ (0xc0 | 0xc1) => ((lead & 1) << 6 | low(1)?, 2),
        0xe0 if matches!(text.get(1), Some(0x80 | 0x81)) => ((text[1] & 1) << 6 | low(2)?, 3),
        0xf0 if matches!(text.get(1..3), Some([0x80, 0x80 | 0x81])) => ((text[2] & 1) << 6 | low(3)?, 4),
        0xef if matches!(text.get(1), Some(0xbc | 0xbd)) => {
            let code = u16::from(text[1] & 3) << 6 | u16::from(low(2)?);
            match code {
                0x01..=0x5e => (code as u8 + 0x20, 3),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((byte.to_ascii_lowercase(), length))
}

/// A path as it is looked up: cut at a NUL, a fragment or a question mark that was encoded, with slashes for backslashes, without the
/// parameters of its segments (RFC 3986, section 3.3), without dots and white space behind a name, without empty segments, and with `.`
/// and `..` resolved. A target in absolute form (RFC 9112, section 3.2.2) loses its scheme and authority.
fn resolve_path(text: &[u8], form: &mut Vec<u8>) {
    let end = memchr::memchr3(0, b'#', b'?', text).unwrap_or(text.len());
    let text = without_authority(&text[..end]);
    let mut segments = text.split(|byte| matches!(byte, b'/' | b'\\')).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let is_kept = |byte: &u8| !matches!(byte, b'.' | b' ' | b'\t'..=b'\r');
        let kept = name.iter().rposition(is_kept).map_or(0, |last| last + 1);
        match (name, kept) {
            (b"..", _) => {
                let parent = memchr::memrchr(b'/', form).unwrap_or(0);
                form.truncate(parent);
                form.extend(is_last.then_some(b'/'));
            }
            (_, 0) => form.extend(is_last.then_some(b'/')),
            _ => {
                form.push(b'/');
                form.extend_from_slice(&name[..kept]);
            }
        }
    }
}

fn without_authority(text: &[u8]) -> &[u8] {
    let is_absolute = |scheme: &&[u8]| text.starts_with(scheme);
    match [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| is_absolute(scheme))
    {
        Some(scheme) => {
            let rest = &text[scheme.len()..];
            memchr::memchr(b'/', rest).map_or(b"/", |slash| &rest[slash..])
        }
        None => text,
    }
}

/// A query as databases and browsers read it: without NUL, with comments of SQL and runs of white space as one space, the text of
/// `/*! … */` in place of it, and with characters for HTML's references.
fn resolve_query(text: &[u8], form: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            0 => after,
            b'/' if after.starts_with(b"*!") => push(b' ', version_of_comment(&after[2..]), form),
            b'/' if after.starts_with(b"*") => push_space(end_of_comment(&after[1..]), form),
            b'*' if after.starts_with(b"/") => push_space(&after[1..], form),
            b'&' => match reference(after) {
                Some((character, length)) => push(character, &after[length..], form),
                None => push(byte, after, form),
            },
            b' ' | b'\t'..=b'\r' | 0xa0 => push_space(after, form),
            _ => push(byte, after, form),
        };
    }
}

fn push_space<'a>(after: &'a [u8], form: &mut Vec<u8>) -> &'a [u8] {
    if form.last() != Some(&b' ') {
        form.push(b' ');
    }
    after
}
