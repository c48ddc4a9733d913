//! What is found in a list.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::{
    prefix::Prefix,
    wire::{Layer, Reason},
};
use secbeat_daemon::term::Term;

use super::{BanEntry, target};

/// Most entries of a list, together with its invalid lines.
pub(crate) const MAX_LISTED: usize = 2_000_000;

/// A network, and what the list says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The line that it begins on, from 1.
    pub line: u64,
    pub network: Prefix,
    pub about: About,
}

/// What a list says of a network beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub end: Option<End>,
    pub reason: Option<Reason>,
    pub layer: Option<Layer>,
    pub strikes: Option<u32>,
    pub note: String,
}

/// When an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// From now on.
    For(Term),
    At(Timestamp),
}

impl End {
    /// What has ended already.
    pub const PAST: Self = Self::At(Timestamp::UNIX_EPOCH);

    /// In milliseconds since the Unix epoch.
    pub fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::For(term) => term.end(now_ms),
            Self::At(at) => at.as_millisecond(),
        }
    }
}

impl About {
    pub fn noting(note: impl Into<String>) -> Self {
        Self {
            note: note.into(),
            ..Self::default()
        }
    }

    /// Takes one more remark into the note.
    pub(super) fn remark(&mut self, text: &str) {
        if !text.is_empty() {
            if !self.note.is_empty() {
                self.note += ", ";
            }
            self.note += text;
        }
    }
}

impl From<&Listed> for BanEntry {
    fn from(Listed { network, about, .. }: &Listed) -> Self {
        let (duration, expires_at, permanent) = match about.end {
            Some(End::For(Term::Permanent)) => (None, None, true),
            Some(End::For(term)) => (Some(term), None, false),
            Some(End::At(at)) => (None, Some(at), false),
            None => (None, None, false),
        };
        Self {
            target: network.to_string(),
            duration,
            expires_at,
            permanent,
            reason: about.reason,
            layer: about.layer,
            strikes: about.strikes,
            note: about.note.clone(),
        }
    }
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.why)
    }
}

/// What a list is for: some formats name whom to keep out, and whom to let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Bans,
    Allowlist,
}

/// A list to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub text: &'a str,
    pub purpose: Purpose,
    /// Of times without an offset.
    pub zone: &'a TimeZone,
    /// Whether the text goes on behind its end.
    pub goes_on: bool,
}

impl<'a> Source<'a> {
    /// Lines with their numbers and without blanks around them; empty ones are left out.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u64, &'a str)> + use<'a> {
        let lines = (1..).zip(self.text.lines().map(str::trim));
        lines.filter(|(_, line)| !line.is_empty())
    }
}

/// What a format finds in a list.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub entries: Vec<Listed>,
    pub bad: Vec<BadLine>,
    /// Something can be nothing but this format, even if it holds no entry.
    pub is_certain: bool,
    /// What it is, more exactly than the format says.
    pub what: Option<String>,
    /// Whose servers have these addresses, if a provider publishes the list.
    pub provider: Option<&'static str>,
    /// What was passed over that is no entry.
    pub passed_over: Vec<String>,
    pub rounded: Rounded,
}

/// Entries such as `198.51.100.7/24`, of which the network is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rounded {
    pub count: usize,
    /// The first one, with its line.
    pub first: Option<(u64, String)>,
}

impl Found {
    /// Takes the networks that `text` names.
    pub(super) fn take(&mut self, line: u64, text: &str, about: About) {
        match target::networks(text) {
            Ok(mut networks) => {
                if target::is_rounded(text) {
                    self.rounded.count += 1;
                    self.rounded
                        .first
                        .get_or_insert_with(|| (line, text.trim().to_owned()));
                }
                let last = networks.pop();
                for network in networks {
                    let about = about.clone();
                    self.push(Listed { line, network, about });
                }
                if let Some(network) = last {
                    self.push(Listed { line, network, about });
                }
            }
            Err(why) => self.bad(line, why),
        }
    }

    pub(super) fn push(&mut self, listed: Listed) {
        if !self.is_full() {
            self.entries.push(listed);
        }
    }

    pub(super) fn bad(&mut self, line: u64, why: impl fmt::Display) {
        if !self.is_full() {
            let why = why.to_string();
            self.bad.push(BadLine { line, why });
        }
    }

    /// Notes what is no entry, once.
    pub(super) fn pass_over(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.passed_over.contains(&what) {
            self.passed_over.push(what);
        }
    }

    /// Whether it holds as much as a list may.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() + self.bad.len() > MAX_LISTED
    }
}
