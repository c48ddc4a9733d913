//! Wrappers of a container's runtime around a service's lines.

use std::{borrow::Cow, mem};

use crate::wrap::{self, Part};

/// Longest line that is put together, in bytes: no whole line of a file may be longer either.
const MAX_JOINED: usize = 64 * 1024;

/// Takes the wrappers of Docker, Kubernetes and `docker compose` off the lines of one log, and joins the parts of lines that the
/// runtime divided.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    /// Of both streams: what has come of a line that goes on.
    open: [Open; 2],
}

#[derive(Debug, Default)]
struct Open {
    goes_on: bool,
    /// Empty if it is longer than a line may be.
    text: Vec<u8>,
    is_too_long: bool,
}

impl Containers {
    /// After lines of which only is known that they go on.
    pub(crate) fn unseen(divided: [bool; 2]) -> Self {
        let open = |goes_on| Open {
            goes_on,
            text: Vec::new(),
            is_too_long: goes_on,
        };
        Self {
            open: divided.map(open),
        }
    }

    /// Whether a line of each stream goes on.
    pub(crate) fn divided(&self) -> [bool; 2] {
        [self.open[0].goes_on, self.open[1].goes_on]
    }

    /// See [`OpenLines::service_line`](crate::OpenLines::service_line).
    pub(crate) fn take_off<'a>(&mut self, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let Some((part, text)) = wrap::unwrap_container(line) else {
            return Some(Cow::Borrowed(line));
        };
        let Some(Part { stream, is_last }) = part else {
            return Some(text);
        };
        let open = &mut self.open[stream as usize];
        if is_last && !open.goes_on {
            return Some(text);
        }
        open.goes_on = !is_last;
        open.is_too_long |= open.text.len() + text.len() > MAX_JOINED;
        if open.is_too_long {
            open.text.clear();
        } else {
            open.text.extend_from_slice(&text);
        }
        if !is_last {
            return None;
        }
        let whole = mem::take(&mut open.text);
        (!mem::take(&mut open.is_too_long)).then_some(Cow::Owned(whole))
    }
}
