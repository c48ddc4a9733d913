//! Wrappers of container runtimes, syslog and the journal around a server's own line.
//!
//! A wrapper begins where a line begins. A line that a format understands as it is has none, whatever it looks like, and
//! what is in a wrapper is a line like any other. So a client that writes a wrapper into its request changes nothing: the
//! server's own fields stand before it.

mod compose;
mod container;
mod docker;
mod journal;
mod shipper;
mod syslog;

use std::borrow::Cow;

use self::shipper::Shipped;
use crate::json::text::{End, find_end};

pub(crate) use self::{
    docker::begins as begins_as_docker,
    syslog::{after_data, is_haproxys_tag, is_level, repeated, without_priority},
};

/// Wrappers that may be within each other.
pub(crate) const MAX_NESTED: usize = 3;

/// What the lines of a log so far show of wrappers that clients could write themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seen {
    #[default]
    Nothing,
    /// Lines are in such.
    Wrapped,
    /// Lines are in none: what looks like one is another program's line, which may quote a client.
    Bare,
}

impl Seen {
    pub(crate) const fn wrapped(is_wrapped: bool) -> Self {
        if is_wrapped { Self::Wrapped } else { Self::Nothing }
    }
}

/// What was in a wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unwrapped<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    /// Which part of a line it is, if the wrapper says.
    pub(crate) part: Option<Part>,
    /// Whether the wrapper begins with a quote, which servers escape in what clients send.
    pub(crate) quoted: bool,
    /// Whether it may be a part, and the wrapper does not say.
    pub(crate) may_go_on: bool,
}

impl From<Shipped> for Unwrapped<'_> {
    fn from(shipped: Shipped) -> Self {
        Self {
            text: shipped.text.into(),
            part: shipped.part,
            quoted: true,
            may_go_on: shipped.may_go_on,
        }
    }
}

/// A part of a line of a container: runtimes divide lines that are longer than 16 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) stream: Stream,
    pub(crate) is_last: bool,
}

/// What a container writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Takes off what a container's runtime wrote around a line, with the part that it is, if the wrapper says.
pub(crate) fn unwrap_container(line: &[u8]) -> Option<(Option<Part>, Cow<'_, [u8]>)> {
    if line.first() == Some(&b'{') {
        return docker::unwrap(line).map(|(part, text)| (Some(part), text));
    }
    match container::unwrap(line) {
        Some((part, text)) => Some((Some(part), text.into())),
        None => compose::unwrap(line).map(|text| (None, text.into())),
    }
}

/// Takes off the wrapper that a line begins with.
pub(crate) fn unwrap(line: &[u8]) -> Option<Unwrapped<'_>> {
    let (text, part, quoted) = if line.first() == Some(&b'{') {
        match docker::unwrap(line) {
            Some((part, text)) => (text, Some(part), true),
            None => match journal::unwrap(line) {
                Some(text) => (text.into(), None, true),
                None => return shipper::unwrap(line).map(Unwrapped::from),
            },
        }
    } else if let Some((part, text)) = container::unwrap(line) {
        (text.into(), Some(part), false)
    } else if let Some(shipped) = shipper::unwrap_tagged(line) {
        return Some(shipped.into());
    } else {
        let text = syslog::unwrap(line)
            .or_else(|| compose::unwrap(line))
            .or_else(|| container::without_time(line))?;
        (text.into(), None, false)
    };
    Some(Unwrapped {
        text,
        part,
        quoted,
        may_go_on: false,
    })
}

/// Finds the longest text in the beginning of an object that may ship it: what stands before the text, the text as it is
/// written, and what follows it from its quote on, if it ends.
pub(crate) fn begin_shipped(head: &[u8]) -> Option<[&[u8]; 3]> {
    const KEYS: [&[u8]; 5] = [
        b"\"message\":\"",
        b"\"log\":\"",
        b"\"line\":\"",
        b"\"_entry\":\"",
        b"\"MESSAGE\":\"",
    ];
    if !head.starts_with(b"{") {
        return None;
    }
    let mut longest: Option<[&[u8]; 3]> = None;
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', &head[at..]) {
        let open = at + quote + 1;
        let end = match find_end(head, open) {
            End::At(end, _) => end,
            End::Beyond { .. } => head.len(),
        };
        let [before, text] = [&head[..open], &head[open..end]];
        let is_longer = longest.is_none_or(|[_, longest, _]| longest.len() < text.len());
        if is_longer && KEYS.iter().any(|key| before.ends_with(key)) {
            longest = Some([before, text, &head[end..]]);
        }
        at = head.len().min(end + 1);
    }
    longest
}

/// Stands for the text of a long object, so that another text in it is not taken for the line that is shipped.
pub(crate) const PLACE: &[u8] = b"the text of a long object";

/// Whether an object is what ships a line, and that line is [`PLACE`].
pub(crate) fn ships_place(object: &[u8]) -> bool {
    unwrap(object).is_some_and(|shipped| {
        let is_whole = shipped.part.is_none_or(|part| part.is_last) && !shipped.may_go_on;
        shipped.quoted && is_whole && &*shipped.text == PLACE
    })
}
