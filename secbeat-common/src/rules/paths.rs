//! Paths, and patterns of them.

use std::{borrow::Cow, cell::OnceCell, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::patterns::{NoPattern, texts};

/// A path and all below it: `/login` is also `/login/2`, but not `/login-help`. A `*` stands for any text, slashes included:
/// `/wp-*`, `/api/*/poll`, `*.map`. A pattern whose last segment has a `*` holds nothing below. Case matters. Requests are
/// compared by their [`canonical_path`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

impl PathPattern {
    /// Whether it holds a [`canonical_path`].
    pub(super) fn matches_canonical(&self, path: &[u8]) -> bool {
        let (pattern, holds_below) = match self.0.rsplit_once('/') {
            Some((_, last)) if !last.contains('*') => (self.0.trim_end_matches('/'), true),
            _ => (self.0.as_str(), false),
        };
        let Some((first, rest)) = pattern.split_once('*') else {
            return path
                .strip_prefix(pattern.as_bytes())
                .is_some_and(|below| below.is_empty() || below[0] == b'/');
        };
        let Some(path) = path.strip_prefix(first.as_bytes()) else {
            return false;
        };
        glob(rest, path, holds_below)
    }

    /// One that holds at least as much and has a `*` only at its end.
    pub(crate) fn widened(&self) -> Self {
        match self.0.find('*') {
            Some(0) => Self("/*".to_owned()),
            Some(at) => Self(self.0[..=at].to_owned()),
            None => self.clone(),
        }
    }
}

/// Whether `text` has the pieces of `pattern` in their order, as after a `*`, and ends with the last of them; with `below`, a slash
/// may follow it.
fn glob(mut pattern: &str, mut text: &[u8], below: bool) -> bool {
    while let Some((piece, rest)) = pattern.split_once('*') {
        match position(text, piece.as_bytes()) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
        pattern = rest;
    }
    let last = pattern.as_bytes();
    text.ends_with(last)
        || (below && {
            let followed = |window: &[u8]| window.strip_prefix(last) == Some(b"/");
            text.windows(last.len() + 1).any(followed)
        })
}

fn position(text: &[u8], piece: &[u8]) -> Option<usize> {
    match piece.is_empty() {
        true => Some(0),
        false => text.windows(piece.len()).position(|window| window == piece),
    }
}

impl FromStr for PathPattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let is_path = text.starts_with(['/', '*'])
            && !text.trim_matches('*').is_empty()
            && !text.contains("**")
            && !text.contains(['?', '#']);
        match is_path {
            true => Ok(Self(text.to_owned())),
            false => Err(NoPattern::Path(text.to_owned())),
        }
    }
}

texts!(PathPattern);

/// A request's target, whose [`canonical_path`] is made once, when it is first asked for.
#[derive(Debug)]
pub struct Target<'a> {
    target: &'a str,
    canonical: OnceCell<Cow<'a, [u8]>>,
}

impl<'a> Target<'a> {
    #[must_use]
    pub const fn new(target: &'a str) -> Self {
        Self {
            target,
            canonical: OnceCell::new(),
        }
    }

    /// Its [`canonical_path`].
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.canonical.get_or_init(|| canonical_path(self.target))
    }
}

/// The path of a request's target as web servers understand it, so that nobody evades a pattern by another spelling:
/// without query and fragment, without the parameters of its segments (`/login;jsessionid=1` is `/login`; RFC 3986, section 3.3),
/// percent-encoded bytes decoded (section 2.1), without empty segments, and with `.` and `..` resolved.
/// A target in absolute form (RFC 9112, section 3.2.2) loses its scheme and authority.
#[must_use]
pub fn canonical_path(target: &str) -> Cow<'_, [u8]> {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let mut path = &target[..end];
    if !path.starts_with('/')
        && let Some((_, rest)) = path.split_once("://")
    {
        path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    }
    if !path.contains(['%', ';']) && !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path.as_bytes());
    }
    // Servers that know parameters take them away before they decode: an encoded semicolon begins none.
    let decoded = decode(&without_parameters(path));
    let mut canonical = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            // The first is what stands before the leading slash, the last what stands after a trailing one.
            b"" | b"." if !is_last => {}
            b"." => canonical.push(b'/'),
            b".." => {
                let parent = canonical.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                canonical.truncate(parent);
                canonical.extend(is_last.then_some(b'/'));
            }
            _ => {
                canonical.push(b'/');
                canonical.extend_from_slice(segment);
            }
        }
    }
    Cow::Owned(canonical)
}

fn without_parameters(path: &str) -> Cow<'_, [u8]> {
    if !path.contains(';') {
        return Cow::Borrowed(path.as_bytes());
    }
    let segments = path.split('/').map(|segment| {
        let (name, _) = segment.split_once(';').unwrap_or((segment, ""));
        name
    });
    Cow::Owned(segments.collect::<Vec<_>>().join("/").into_bytes())
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}
