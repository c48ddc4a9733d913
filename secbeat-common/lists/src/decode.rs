//! Bytes of a list as text.

use std::{borrow::Cow, str};

/// The text of `bytes`, and its encoding if that is not UTF-8. A mark at its beginning is not part of it.
///
/// # Errors
///
/// What it is, if it is not a text.
pub(super) fn text(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<&'static str>), &'static str> {
    for (magic, what) in [
        (
            &b"\x1f\x8b"[..],
            "it is compressed by gzip: pass it through `zcat` first",
        ),
        (
            b"\xfd7zXZ\0",
            "it is compressed by xz: pass it through `xzcat` first",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "it is compressed by zstd: pass it through `zstdcat` first",
        ),
        (b"BZh", "it is compressed by bzip2: pass it through `bzcat` first"),
        (b"PK\x03\x04", "it is a ZIP archive: unpack it first"),
    ] {
        if bytes.starts_with(magic) {
            return Err(what);
        }
    }
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => narrow(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Without a mark: lists begin with ASCII.
        [1..=0x7f, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, 1..=0x7f, ..] => utf16(bytes, u16::from_be_bytes),
        _ => narrow(bytes),
    }
}

/// `text` with lines as others end them, where each ends with a carriage return alone.
pub(super) fn lines(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.contains('\n') || !text.contains('\r') {
        true => text,
        false => text.replace('\r', "\n").into(),
    }
}

fn narrow(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<&'static str>), &'static str> {
    Ok(match str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(_) if bytes.contains(&0) => return Err("it is not text"),
        // Its 256 characters are the first ones of Unicode.
        Err(_) => (
            bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
                .into(),
            Some("Latin-1"),
        ),
    })
}

fn utf16(
    bytes: &[u8],
    unit: fn([u8; 2]) -> u16,
) -> Result<(Cow<'_, str>, Option<&'static str>), &'static str> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() && !text.contains('\0') => Ok((text.into(), Some("UTF-16"))),
        _ => Err("it starts as UTF-16, but is not"),
    }
}
