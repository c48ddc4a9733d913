//! Normal forms: how servers read a text.

use crate::{
    blocks::{self, PLACES},
    signature::Field,
    writer::Writer,
};

/// Whether there is anything in `text`, which is of `field`, that a server may understand otherwise than it stands there.
#[inline]
pub(crate) fn is_marked(text: &[u8], field: Field) -> bool {
    match field {
        Field::Path => {
            let is_mark = |byte: u8, next: u8| {
                is_outside(byte, 0xbf)
                    | (byte == b'\\')
                    | (byte == b';')
                    | (byte == b'/') & ((next == b'/') | (next == b'.'))
                    | (byte == b'.') & (next == b'/')
            };
            text.first() != Some(&b'/')
                || text.last().is_some_and(|last| is_dropped(*last))
                || has(text, is_mark)
        }
        Field::Query => has(text, |byte, next| {
            is_outside(byte, b'~')
                | (byte == b'\\')
                | (byte == b'+')
                | (byte == b';')
                | (byte == b'/') & (next == b'*')
                | (byte == b'*') & (next == b'/')
        }),
        _ => has(text, |byte, _| is_encoded(byte)),
    }
}

/// Whether a byte is before `&`, as those that are encoded and dropped are and few others, or behind `last`. It is one comparison.
#[inline]
fn is_outside(byte: u8, last: u8) -> bool {
    byte.wrapping_sub(b'&') > last - b'&'
}

/// Whether [`decode`] may make something else of such a byte.
#[inline]
fn is_encoded(byte: u8) -> bool {
    (byte == b'%') | (byte == b'\\') | (byte >= 0xc0)
}

/// Whether Windows drops such a byte from the end of a name, and programs that trim names do.
#[inline]
fn is_dropped(byte: u8) -> bool {
    (byte == b'.') | (byte == b' ') | matches!(byte, b'\t'..=b'\r')
}

/// Whether `is_mark` holds for a byte of `text` and the one after it, which is a letter behind the end. It has no branches, so that a
/// processor looks at many bytes at once.
#[inline]
fn has(text: &[u8], is_mark: impl Fn(u8, u8) -> bool) -> bool {
    let is_in_block = |block: &[u8; PLACES + 1], _, _| {
        (0..PLACES).fold(false, |found, place| {
            found | is_mark(block[place], block[place + 1])
        })
    };
    blocks::any::<{ PLACES + 1 }>(text, b'a', is_in_block)
        || text.last().is_some_and(|last| is_mark(*last, b'a'))
}

/// Decodes once: `%2e`, `%u002e` (IIS), `\x2e` and `\u002e` (logs, JSON), `+` if `plus` says so, overlong UTF-8 and full-width letters.
/// Text is in lower case, and so is the result.
pub(crate) fn decode(text: &[u8], plus: bool, form: &mut Vec<u8>) {
    let mut writer = Writer::new(form, text.len());
    let space = if plus { b' ' } else { b'+' };
    let spaced = |byte: u8| if byte == b'+' { space } else { byte };
    let is_escape = |byte: u8| (byte == b'%') | (byte == b'\\');
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((block, after)) = plain_block(rest, is_escape) {
            writer.push_block(&block.map(spaced));
            rest = after;
            continue;
        }
        let least = rest.len().saturating_sub(PLACES);
        while rest.len() > least
            && let Some((&byte, after)) = rest.split_first()
        {
            rest = match byte {
                b'%' => of_percent(after, &mut writer),
                b'\\' => of_backslash(after, &mut writer),
                b'+' => push(space, after, &mut writer),
                _ => match rest.first_chunk() {
                    Some(word) => {
                        let count = blocks::leading(word, 0, [b'%', b'\\', b'+']);
                        writer.push_of_word(word, count);
                        &rest[count..]
                    }
                    None => push(byte, after, &mut writer),
                },
            };
        }
    }
    writer.finish();
    fold(form);
}

/// The next bytes of `text`, if none of them is one that has to be looked at by itself; and what follows them.
#[inline]
fn plain_block(text: &[u8], is_special: impl Fn(u8) -> bool) -> Option<(&[u8; PLACES], &[u8])> {
    let (block, after) = text.split_first_chunk::<PLACES>()?;
    let found = block.iter().fold(false, |found, byte| found | is_special(*byte));
    (!found).then_some((block, after))
}

/// Writes what a percent sign and `after` stand for. Returns what follows.
#[inline]
fn of_percent<'a>(after: &'a [u8], writer: &mut Writer<'_>) -> &'a [u8] {
    if let Some(code) = hex(after, 0, 2) {
        return push(code as u8, &after[2..], writer);
    }
    match hex(after, 1, 4) {
        Some(code) if after[0] == b'u' => push_code(code, &after[5..], writer),
        _ => push(b'%', after, writer),
    }
}

/// The same for a backslash.
fn of_backslash<'a>(after: &'a [u8], writer: &mut Writer<'_>) -> &'a [u8] {
    match (after.first(), hex(after, 1, 2), hex(after, 1, 4)) {
        (Some(b'x'), Some(code), _) => push(code as u8, &after[3..], writer),
        (Some(b'u'), _, Some(code)) => push_code(code, &after[5..], writer),
        (Some(escaped @ (b'"' | b'\\')), ..) => push(*escaped, &after[1..], writer),
        _ => push(b'\\', after, writer),
    }
}

#[inline]
fn push<'a>(byte: u8, after: &'a [u8], writer: &mut Writer<'_>) -> &'a [u8] {
    writer.push(byte.to_ascii_lowercase());
    after
}

/// A character by its number.
fn push_code<'a>(code: u32, after: &'a [u8], writer: &mut Writer<'_>) -> &'a [u8] {
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    let text = character.to_ascii_lowercase();
    let mut bytes = [0; 4];
    text.encode_utf8(&mut bytes)
        .bytes()
        .for_each(|byte| writer.push(byte));
    after
}

/// The number that `digits` hexadecimal digits at `from` make.
#[inline]
fn hex(text: &[u8], from: usize, digits: usize) -> Option<u32> {
    let digits = text.get(from..from + digits)?;
    let mut number = 0;
    for digit in digits {
        let value = DIGITS[usize::from(*digit)];
        if value > 0xf {
            return None;
        }
        number = number << 4 | u32::from(value);
    }
    Some(number)
}

/// The value of each byte as a hexadecimal digit; more than fifteen for others.
const DIGITS: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Folds sequences of UTF-8 that stand for a byte of ASCII, but are longer than they may be (RFC 3629, section 3), and the
/// full-width letters U+FF01 to U+FF5E.
fn fold(form: &mut Vec<u8>) {
    let is_lead = |byte: u8| byte >= 0xc0;
    if !has(form, |byte, _| is_lead(byte)) {
        return;
    }
    let (mut read, mut write) = (0, 0);
    while read < form.len() {
        let (byte, length) = match form[read] {
            byte if is_lead(byte) => folded(&form[read..]).unwrap_or((byte, 1)),
            byte => (byte, 1),
        };
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
pub(crate) fn resolve_path(text: &[u8], form: &mut Vec<u8>) {
    let end = memchr::memchr3(0, b'#', b'?', text).unwrap_or(text.len());
    let text = without_authority(&text[..end]);
    // An empty path has a slash.
    let mut writer = Writer::new(form, text.len() + 1);
    let mut rest = text;
    while let Some(after) = of_segment(rest, &mut writer) {
        rest = after;
    }
    writer.finish();
}

/// Writes the segment that `text` begins with. Returns what follows the slash behind it; `None` if it is the last one.
fn of_segment<'a>(text: &'a [u8], writer: &mut Writer<'_>) -> Option<&'a [u8]> {
    let is_end = |byte: Option<&u8>| byte.is_none_or(|byte| matches!(byte, b'/' | b'\\' | b';'));
    let (is_up, is_empty) = match text {
        [b'.', b'.', rest @ ..] if is_end(rest.first()) => (true, false),
        [b'.', rest @ ..] if is_end(rest.first()) => (false, true),
        _ => (false, is_end(text.first())),
    };
    if is_up || is_empty {
        let after = after_slash(text);
        if is_up {
            writer.cut_at_last(b'/');
        }
        if after.is_none() {
            writer.push(b'/');
        }
        return after;
    }
    writer.push(b'/');
    of_name(text, writer)
}

/// Writes a segment's name, and what follows it up to one that is not as simple. Returns what follows the slash behind that.
fn of_name<'a>(text: &'a [u8], writer: &mut Writer<'_>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        // Segments that begin with anything else are what they look like.
        let is_special = |byte: u8, next: u8| {
            (byte == b'\\')
                | (byte == b';')
                | (byte == b'/') & ((next == b'/') | (next == b'.') | (next == b'\\') | (next == b';'))
                | is_dropped(byte) & ((next == b'/') | (next == b'\\') | (next == b';'))
        };
        while let Some(block) = rest.first_chunk::<{ PLACES + 1 }>() {
            let found = (0..PLACES).fold(false, |found, at| found | is_special(block[at], block[at + 1]));
            if found {
                break;
            }
            writer.push_block(block.first_chunk()?);
            rest = &rest[PLACES..];
        }
        let least = rest.len().saturating_sub(PLACES);
        // Not before it is known whether the last one is dropped.
        while rest.is_empty() || rest.len() > least || writer.last().is_some_and(is_dropped) {
            let next = match rest.split_first() {
                Some((b'/' | b'\\', after)) => Some(after),
                Some((b';', after)) => after_slash(after),
                Some((&byte, after)) => {
                    rest = match rest.first_chunk() {
                        Some(word) if byte >= b'0' => {
                            let count = blocks::leading(word, b'0', [b'\\', b';']);
                            writer.push_of_word(word, count);
                            &rest[count..]
                        }
                        _ => {
                            writer.push(byte);
                            after
                        }
                    };
                    continue;
                }
                None => None,
            };
            writer.drop_last(is_dropped);
            // Of a name that is nothing else, the slash stays at the end alone.
            if next.is_some() {
                writer.drop_last(|byte| byte == b'/');
            }
            return next;
        }
    }
}

fn after_slash(text: &[u8]) -> Option<&[u8]> {
    memchr::memchr2(b'/', b'\\', text).map(|slash| &text[slash + 1..])
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
pub(crate) fn resolve_query(text: &[u8], form: &mut Vec<u8>) {
    let is_special =
        |byte: u8| (byte <= b' ') | (byte == b'&') | (byte == b'*') | (byte == b'/') | (byte == 0xa0);
    let mut writer = Writer::new(form, text.len());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((block, after)) = plain_block(rest, is_special) {
            writer.push_block(block);
            rest = after;
            continue;
        }
        let least = rest.len().saturating_sub(PLACES);
        while rest.len() > least
            && let Some((&byte, after)) = rest.split_first()
        {
            rest = match rest.first_chunk() {
                Some(word) if byte >= b'0' && byte != 0xa0 => {
                    // Those below a digit are looked at by themselves: more than have to be, and soon found.
                    let count = blocks::leading(word, b'0', [0xa0]);
                    writer.push_of_word(word, count);
                    &rest[count..]
                }
                _ => of_query(byte, after, &mut writer),
            };
        }
    }
    writer.finish();
}

/// Writes what `byte` and `after` stand for. Returns what follows.
#[inline]
fn of_query<'a>(byte: u8, after: &'a [u8], writer: &mut Writer<'_>) -> &'a [u8] {
    match byte {
        0 => after,
        b'/' if after.starts_with(b"*!") => push(b' ', version_of_comment(&after[2..]), writer),
        b'/' if after.starts_with(b"*") => push_space(end_of_comment(&after[1..]), writer),
        b'*' if after.starts_with(b"/") => push_space(&after[1..], writer),
        b'&' => match reference(after) {
            Some((character, length)) => push(character, &after[length..], writer),
            None => push(byte, after, writer),
        },
        b' ' | b'\t'..=b'\r' | 0xa0 => push_space(after, writer),
        _ => push(byte, after, writer),
    }
}

fn push_space<'a>(after: &'a [u8], writer: &mut Writer<'_>) -> &'a [u8] {
    if writer.last() != Some(b' ') {
        writer.push(b' ');
    }
    after
}

/// Returns what follows a comment that `text` is in.
pub(crate) fn end_of_comment(text: &[u8]) -> &[u8] {
    memchr::memmem::find(text, b"*/").map_or(b"", |end| &text[end + 2..])
}

/// Returns what follows the version that MySQL demands for what is in a comment.
pub(crate) fn version_of_comment(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    &text[end.unwrap_or(text.len())..]
}

/// The byte of ASCII that a reference such as `lt;`, `#60;` or `#x3c;` stands for, and the reference's length.
pub(crate) fn reference(text: &[u8]) -> Option<(u8, usize)> {
    let (byte, length) = match text {
        [b'l', b't', b';', ..] => (b'<', 3),
        [b'g', b't', b';', ..] => (b'>', 3),
        [b'q', b'u', b'o', b't', b';', ..] => (b'"', 5),
        [b'a', b'p', b'o', b's', b';', ..] => (b'\'', 5),
        [b'c', b'o', b'l', b'o', b'n', b';', ..] => (b':', 6),
        [b'l', b'p', b'a', b'r', b';', ..] => (b'(', 5),
        [b't', b'a', b'b', b';', ..] => (b'\t', 4),
        _ => return number_reference(text),
    };
    Some((byte, length))
}

/// The same for one by a number.
fn number_reference(text: &[u8]) -> Option<(u8, usize)> {
    let number = text.strip_prefix(b"#")?;
    let (digits, radix) = match number.strip_prefix(b"x") {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let mut code = 0_u32;
    let mut length = 0;
    for digit in digits
        .iter()
        .take(8)
        .map_while(|byte| char::from(*byte).to_digit(radix))
    {
        code = code.saturating_mul(radix).saturating_add(digit);
        length += 1;
    }
    let byte = u8::try_from(code)
        .ok()
        .filter(|byte| length > 0 && byte.is_ascii())?;
    let begin = text.len() - digits.len();
    let semicolon = usize::from(digits.get(length) == Some(&b';'));
    Some((byte, begin + length + semicolon))
}
