//! Contents of a list.

mod exceptions;

use std::{collections::BTreeMap, fmt};

use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::{
    prefix::Prefix,
    wire::{Layer, Reason},
};
use secbeat_daemon::term::Term;

use self::exceptions::Place;
pub use super::keys::Purpose;
use super::{BanEntry, keys::Sense, ranges::Ranges, target};
pub(super) use exceptions::Out;

/// Most entries of a list, together with its invalid lines.
pub(crate) const MAX_LISTED: usize = 2_000_000;
/// Kinds of what is passed over that are told apart.
const MAX_PASSED_OVER: usize = 30;

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

/// A line that is not an entry.
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

/// `why` without the middle of what it quotes, if that is long.
fn shortened(why: String) -> String {
    const HEAD: usize = 100;
    const TAIL: usize = 100;
    if why.len() <= HEAD + TAIL {
        return why;
    }
    let (head, tail) = (
        why.floor_char_boundary(HEAD),
        why.ceil_char_boundary(why.len() - TAIL),
    );
    format!("{} … {}", &why[..head], &why[tail..])
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
    /// What was passed over that is not an entry.
    pub passed_over: Vec<String>,
    pub rounded: Rounded,
    /// Networks that the list excepts from its entries, each with its line.
    exceptions: Vec<(u64, Prefix)>,
    /// Those that are listed no longer, each with its line and how many entries before it that counts for.
    taken_off: BTreeMap<Prefix, (u64, usize)>,
    /// Those of lists in which the first rule counts, as far as they were read, each with where it counts.
    earlier: Vec<(u64, Prefix, Place)>,
    /// Where the rule stands that is read, and the addresses of those that count there.
    place: Place,
    earlier_ranges: Ranges,
    /// What it is, if it is known to be no list for this purpose.
    pub refused: Option<String>,
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

    /// Takes nobody of a list or of an entry that says by `sense` that it is for something else, and tells so of `what`.
    /// Returns whether that is so.
    pub(super) fn is_misfit(&mut self, what: &str, sense: Sense, purpose: Purpose) -> bool {
        let why = sense.misfit(purpose);
        if let Some(why) = why {
            self.pass_over(format!("{what}, {why}"));
        }
        why.is_some()
    }

    pub(super) fn push(&mut self, listed: Listed) {
        if self.is_full() {
            return;
        }
        if !self.earlier_ranges.touches(&listed.network) {
            return self.entries.push(listed);
        }
        let excepted = std::mem::take(&mut self.earlier_ranges);
        if let Some(left) = self.left_of(&listed, &excepted) {
            self.pass_over(exceptions::CUT);
            self.entries.extend(left);
        }
        self.earlier_ranges = excepted;
    }

    pub(super) fn bad(&mut self, line: u64, why: impl fmt::Display) {
        if !self.is_full() {
            let why = shortened(why.to_string());
            self.bad.push(BadLine { line, why });
        }
    }

    /// Notes what is not an entry, once.
    pub(super) fn pass_over(&mut self, what: impl Into<String>) {
        let what = match self.passed_over.len() {
            // Nobody reads more, and lists can have a million.
            MAX_PASSED_OVER.. => "others".to_owned(),
            _ => what.into(),
        };
        if !self.passed_over.contains(&what) {
            self.passed_over.push(what);
        }
    }

    /// Whether it holds as much as a list may.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() + self.bad.len() > MAX_LISTED
    }
}
