//! Paths, and patterns of them.

use std::{borrow::Cow, cell::OnceCell, fmt, hash::Hasher as _, str::FromStr};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::patterns::NoPattern;
use crate::wire::MAX_TEXT;

/// A path and all below it: `/login` is also `/login/2`, but not `/login-help`. A `*` stands for any text, slashes included:
/// `/wp-*`, `/api/*/poll`, `*.map`. A pattern whose last segment has a `*` holds nothing below. Case matters. Requests are
/// compared by their [`canonical_path`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern {
    text: String,
    kind: Kind,
}

/// Kind of comparison of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `/login`, without slashes at its end: the path, and what is below it. So many bytes.
    Folder(usize),
    /// `/wp-*`.
    Start,
    /// `*/a/b`: begins at any slash, and what is below it.
    AnyFolder,
    /// `*.map`.
    End,
    /// Any other, whose first `*` is at `first`.
    Glob { first: usize, holds_below: bool },
}

impl Kind {
    fn of(text: &str) -> Self {
        let holds_below = text.rsplit('/').next().is_some_and(|last| !last.contains('*'));
        let literal = text.trim_end_matches('/');
        match (text.find('*'), text.rfind('*')) {
            (None, _) | (_, None) => Self::Folder(literal.len()),
            (Some(0), Some(0)) if holds_below && text.starts_with("*/") && literal == text => Self::AnyFolder,
            (Some(0), Some(0)) if !holds_below => Self::End,
            (Some(first), Some(last)) if first == last && last + 1 == text.len() => Self::Start,
            (Some(first), _) => Self::Glob { first, holds_below },
        }
    }
}

impl PathPattern {
    /// Whether it holds the path of `target`.
    pub(super) fn matches(&self, target: &Target<'_>) -> bool {
        let path = target.path();
        let text = self.text.as_bytes();
        match self.kind {
            Kind::Folder(len) => is_folder(path, &text[..len]),
            Kind::Start => path.starts_with(&text[..text.len() - 1]),
            Kind::AnyFolder => target.any_slash(text[2], |rest| is_folder(rest, &text[1..])),
            Kind::End => path.ends_with(&text[1..]),
            Kind::Glob { first, holds_below } => path.strip_prefix(&text[..first]).is_some_and(|path| {
                let rest = &self.text[first + 1..];
                let rest = if holds_below {
                    rest.trim_end_matches('/')
                } else {
                    rest
                };
                glob(rest, path, holds_below)
            }),
        }
    }

    /// Whether an exclusion by it holds the path of `target`. A `*` at its beginning stands for folders, not for scripts and hidden
    /// files: a server may run `/a.php` for `/a.php/dav`, and say by its answer which scripts there are. `/*` holds all others.
    pub(super) fn excludes(&self, target: &Target<'_>) -> bool {
        let is_any = self.text == "/*" || self.text.starts_with('*');
        self.matches(target)
            && !(is_any && (has_parameters(target.target) || self.passes_over_script(target.path())))
    }

    /// Whether the path has a script that it does not name, or begins with what is hidden. Behind what it names, none is run.
    fn passes_over_script(&self, path: &[u8]) -> bool {
        let text = self.text.as_bytes();
        let named_at = match self.kind {
            Kind::AnyFolder => (0..path.len()).find(|at| is_folder(&path[*at..], &text[1..])),
            Kind::End => path.len().checked_sub(text.len() - 1),
            Kind::Folder(_) | Kind::Start | Kind::Glob { .. } => None,
        };
        let path = &path[..named_at.unwrap_or(path.len())];
        let folders = match self.kind {
            // The last segment is a name that goes on, or what the pattern ends with.
            Kind::End | Kind::Glob { .. } => path.iter().rposition(|byte| *byte == b'/').unwrap_or(0),
            Kind::Folder(_) | Kind::Start | Kind::AnyFolder => path.len(),
        };
        let is_odd = |(nth, segment): (usize, &[u8])| {
            (is_script(segment) || nth <= 1 && is_hidden(segment)) && !self.names(segment)
        };
        let mut segments = path[..folders].split(|byte| *byte == b'/').enumerate();
        // Some servers end a name at such a byte.
        segments.any(is_odd) || path.iter().any(|byte| byte.is_ascii_control() || *byte == b'?')
    }

    /// Whether it states a segment of a path, or, as `*.php`, its end.
    fn names(&self, segment: &[u8]) -> bool {
        self.text.split('*').any(|piece| {
            let mut names = piece.split('/').map(str::as_bytes);
            let end = names.next().unwrap_or_default();
            (!end.is_empty() && segment.ends_with(end)) || names.any(|name| name == segment)
        })
    }

    /// One that holds at least as much and has a `*` only at its end.
    pub(crate) fn widened(&self) -> Self {
        let text = match self.text.find('*') {
            Some(0) => "/*",
            Some(at) => &self.text[..=at],
            None => &self.text,
        };
        Self {
            kind: Kind::of(text),
            text: text.to_owned(),
        }
    }
}

/// Whether a path is that of a folder, or below it.
fn is_folder(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|below| matches!(below, [] | [b'/', ..]))
}

/// Whether a segment of a path names a script. Of the scripts that answer for everything below them, every path says the same.
fn is_script(segment: &[u8]) -> bool {
    const SCRIPTS: [&[u8]; 13] = [
        b".php", b".php3", b".php4", b".php5", b".php7", b".phtml", b".phar", b".cgi", b".asp", b".aspx",
        b".jsp", b".jspx", b".cfm",
    ];
    const FOR_ALL: [&[u8]; 3] = [b"index.php", b"remote.php", b"public.php"];
    SCRIPTS.iter().any(|script| segment.ends_with(script)) && !FOR_ALL.contains(&segment)
}

/// Whether a segment of a path names what is hidden, but for what macOS asks for beside each file.
fn is_hidden(segment: &[u8]) -> bool {
    let is_usual = segment.starts_with(b"._") || matches!(segment, b".DS_Store" | b".well-known");
    segment.len() > 1 && segment[0] == b'.' && !is_usual
}

/// Whether a segment of a target's path has parameters. Servers that know none take `/a.php/..;/b` for a path of `/a.php`.
fn has_parameters(target: &str) -> bool {
    target
        .split(['?', '#'])
        .next()
        .is_some_and(|path| path.contains(';'))
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
            true => Ok(Self {
                kind: Kind::of(text),
                text: text.to_owned(),
            }),
            false => Err(NoPattern::Path(text.to_owned())),
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = NoPattern;

    fn try_from(text: String) -> Result<Self, NoPattern> {
        text.parse()
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A request's target, whose [`canonical_path`] is made once, when it is first asked for.
#[derive(Debug)]
pub struct Target<'a> {
    target: &'a str,
    canonical: OnceCell<(Cow<'a, [u8]>, Slashes)>,
}

/// Positions of the first slashes of a path.
#[derive(Debug, Default)]
struct Slashes {
    at: [u16; 16],
    count: usize,
    /// Whether there are more.
    more: bool,
    /// Which bytes follow slashes, by their lower five bits.
    initials: u32,
}

const fn initial(byte: u8) -> u32 {
    1 << (byte & 31)
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
        &self.canonical().0
    }

    /// Whether the path has the mark of one that was [shortened](short_path), so that nobody knows what it was.
    pub(super) fn is_shortened(&self) -> bool {
        let mut windows = self.path().windows(MARK_LEN);
        windows.any(|window| {
            let hash = window.strip_prefix(MARK.as_bytes());
            let hash = hash.and_then(|rest| rest.strip_suffix(MARK.as_bytes()));
            hash.is_some_and(|hash| hash.iter().all(u8::is_ascii_hexdigit))
        })
    }

    fn canonical(&self) -> &(Cow<'a, [u8]>, Slashes) {
        self.canonical.get_or_init(|| {
            if let Some((path, slashes)) = plain(self.target) {
                return (Cow::Borrowed(path), slashes);
            }
            let path = canonical_path(self.target);
            let mut slashes = Slashes::default();
            for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                slashes.push(at, path.get(at + 1));
            }
            (path, slashes)
        })
    }

    /// Whether `holds` is true of the path from any of its slashes on, which is never so unless `next` follows that.
    fn any_slash(&self, next: u8, holds: impl Fn(&[u8]) -> bool) -> bool {
        let (path, slashes) = self.canonical();
        // Most folders are told apart by that alone.
        if slashes.initials & initial(next) == 0 {
            return false;
        }
        let mut known = slashes.at[..slashes.count].iter();
        known.any(|at| holds(&path[usize::from(*at)..]))
            || (slashes.more && {
                let all = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                all.skip(slashes.count).any(|(at, _)| holds(&path[at..]))
            })
    }
}

impl Slashes {
    /// Notes one at `at`, which `next` follows.
    fn push(&mut self, at: usize, next: Option<&u8>) {
        self.initials |= next.map_or(0, |next| initial(*next));
        match (self.at.get_mut(self.count), u16::try_from(at)) {
            (Some(slash), Ok(at)) if !self.more => {
                *slash = at;
                self.count += 1;
            }
            _ => self.more = true,
        }
    }
}

/// The path of a target that is canonical but for what follows it, and its slashes: most are.
fn plain(target: &str) -> Option<(&[u8], Slashes)> {
    let bytes = target.as_bytes();
    if bytes.first() != Some(&b'/') {
        return None;
    }
    let is_special = |byte: u8| matches!(byte, b'?' | b'#' | b'%' | b';');
    // Asked of all at once, which takes a fraction of the time.
    let path = match bytes.iter().fold(false, |any, byte| any | is_special(*byte)) {
        false => bytes,
        true => match bytes.iter().position(|byte| is_special(*byte)) {
            Some(at) if matches!(bytes[at], b'?' | b'#') => &bytes[..at],
            _ => return None,
        },
    };
    let mut slashes = Slashes::default();
    for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        match path.get(at + 1) {
            Some(b'/' | b'.') => return None,
            next => slashes.push(at, next),
        }
    }
    Some((path, slashes))
}

/// The path of a request's target as web servers understand it, so that nobody evades a pattern by another spelling:
/// without query and fragment, without the parameters of its segments (`/login;jsessionid=1` is `/login`; RFC 3986, section 3.3),
/// percent-encoded bytes decoded (section 2.1), without empty segments, and with `.` and `..` resolved.
/// A target in absolute form (RFC 9112, section 3.2.2) loses its scheme and authority.
#[must_use]
pub fn canonical_path(target: &str) -> Cow<'_, [u8]> {
    if let Some((path, _)) = plain(target) {
        return Cow::Borrowed(path);
    }
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

/// Stands before and behind the hash of a shortened path.
const MARK: &str = "…";
/// Bytes of a hash between two [`MARK`]s.
const MARK_LEN: usize = 2 * MARK.len() + 16;
/// Bytes that are kept of the beginning of a path that is shortened.
const KEPT_BEGIN: usize = 128;

/// A path as messages have it, in at most [`MAX_TEXT`] bytes: as it is, or, if it is longer, in its [canonical](canonical_path)
/// form, so that what servers pass over pushes nothing out. Of what is longer even so, a hash takes the place of the middle: two
/// paths stay two, and no [exclusion](super::Exclusion) holds them.
#[must_use]
pub fn short_path(path: &str) -> Cow<'_, str> {
    if path.len() <= MAX_TEXT {
        return Cow::Borrowed(path);
    }
    let mut canonical = escaped(&canonical_path(path));
    // An empty parameter is the sign that there were some.
    let sign = if has_parameters(path) { ";" } else { "" };
    if canonical.len() + sign.len() <= MAX_TEXT {
        canonical.push_str(sign);
        return Cow::Owned(canonical);
    }
    let begin = &canonical[..canonical.floor_char_boundary(KEPT_BEGIN)];
    let end = canonical.len() - (MAX_TEXT - KEPT_BEGIN - MARK_LEN);
    let end = &canonical[canonical.ceil_char_boundary(end)..];
    let mut hasher = SipHasher13::new();
    hasher.write(canonical.as_bytes());
    Cow::Owned(format!("{begin}{MARK}{:016x}{MARK}{end}", hasher.finish()))
}

/// A target whose canonical path is this one.
fn escaped(canonical: &[u8]) -> String {
    let mut target = String::with_capacity(canonical.len());
    for chunk in canonical.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '%' => target.push_str("%25"),
                '?' => target.push_str("%3F"),
                '#' => target.push_str("%23"),
                ';' => target.push_str("%3B"),
                ' ' => target.push_str("%20"),
                control if control.is_ascii_control() => push_encoded(&mut target, control as u8),
                char => target.push(char),
            }
        }
        for byte in chunk.invalid() {
            push_encoded(&mut target, *byte);
        }
    }
    target
}

fn push_encoded(target: &mut String, byte: u8) {
    target.push('%');
    target.extend([byte >> 4, byte & 15].map(hex_digit));
}

fn hex_digit(number: u8) -> char {
    char::from_digit(number.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase())
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
