//! Changes that another config would make.
//!
//! Bans of one source that overlap are the same ban, decided otherwise.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
};

use secbeat_common::prefix::Prefix;
use secbeat_daemon::cli::counted;
use serde::Serialize;

use super::{
    output::{Format, HEADING, Outcome, Record},
    summary::{Reading, Verdicts},
};

/// A ban that differs between two configs. The JSON object that stands for it has `before` and `after`, `null` where there is
/// no ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Appears(Record),
    Vanishes(Record),
    /// It begins, ends or is called otherwise.
    Differs {
        before: Record,
        after: Record,
    },
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    /// By time.
    pub changes: Vec<Change>,
    /// Bans that are the same.
    pub same: u64,
}

/// What a replay of two configs did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DiffSummary {
    #[serde(flatten)]
    pub reading: Reading,
    pub appear: usize,
    pub vanish: usize,
    pub differ: usize,
    pub same: u64,
    pub before: Verdicts,
    pub after: Verdicts,
}

impl Diff {
    /// Compares the bans among what two trials found in the same lines.
    #[must_use]
    pub(crate) fn of(before: Vec<Record>, after: Vec<Record>) -> Self {
        let mut sources: BTreeMap<Prefix, [Vec<Record>; 2]> = BTreeMap::new();
        for (n, records) in [before, after].into_iter().enumerate() {
            for record in records
                .into_iter()
                .filter(|record| record.outcome() == Outcome::Banned)
            {
                sources.entry(record.target()).or_default()[n].push(record);
            }
        }
        let mut diff = Self::default();
        for bans in sources.into_values() {
            diff.compare(bans);
        }
        diff.changes.sort_by_key(|change| {
            let (Change::Appears(ban) | Change::Vanishes(ban) | Change::Differs { before: ban, .. }) = change;
            (ban.starts_ms(), ban.target())
        });
        diff
    }

    /// The bans of one source under both configs.
    fn compare(&mut self, bans: [Vec<Record>; 2]) {
        // In replay a ban starts with its finding, and a late line's finding can lie before the last one.
        let [mut before, mut after] = bans.map(|mut bans| {
            bans.sort_by_key(Record::starts_ms);
            bans.into_iter().peekable()
        });
        loop {
            let change = match (before.peek(), after.peek()) {
                (None, None) => return,
                (Some(old), Some(new)) if old == new => {
                    self.same += 1;
                    before.next();
                    after.next();
                    continue;
                }
                (Some(old), Some(new)) if old.overlaps(new) => before
                    .next()
                    .zip(after.next())
                    .map(|(before, after)| Change::Differs { before, after }),
                (Some(old), Some(new)) if new.starts_ms() < old.starts_ms() => {
                    after.next().map(Change::Appears)
                }
                (Some(_), _) => before.next().map(Change::Vanishes),
                (None, Some(_)) => after.next().map(Change::Appears),
            };
            self.changes.extend(change);
        }
    }

    /// Writes one line for each change.
    ///
    /// # Errors
    ///
    /// Returns the errors of writing.
    pub(crate) fn write(&self, format: Format, mut output: impl Write) -> io::Result<()> {
        if format == Format::Table && !self.changes.is_empty() {
            writeln!(output, "   {HEADING}")?;
        }
        for change in &self.changes {
            match format {
                Format::Table => writeln!(output, "{change}")?,
                Format::Json => {
                    serde_json::to_writer(&mut output, &Object::from(change))?;
                    output.write_all(b"\n")?;
                }
            }
        }
        output.flush()
    }

    /// The numbers.
    #[must_use]
    pub(crate) fn summary(&self, reading: Reading, [before, after]: [Verdicts; 2]) -> DiffSummary {
        let count = |is: fn(&Change) -> bool| self.changes.iter().filter(|change| is(change)).count();
        DiffSummary {
            reading,
            appear: count(|change| matches!(change, Change::Appears(_))),
            vanish: count(|change| matches!(change, Change::Vanishes(_))),
            differ: count(|change| matches!(change, Change::Differs { .. })),
            same: self.same,
            before,
            after,
        }
    }
}

/// How a [`Change`] is written as JSON.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    change: &'static str,
    before: Option<&'a Record>,
    after: Option<&'a Record>,
}

impl<'a> From<&'a Change> for Object<'a> {
    fn from(change: &'a Change) -> Self {
        let (change, before, after) = match change {
            Change::Appears(after) => ("appears", None, Some(after)),
            Change::Vanishes(before) => ("vanishes", Some(before), None),
            Change::Differs { before, after } => ("differs", Some(before), Some(after)),
        };
        Self {
            change,
            before,
            after,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appears(after) => write!(f, "+  {after}"),
            Self::Vanishes(before) => write!(f, "-  {before}"),
            Self::Differs { before, after } => write!(f, "~- {before}\n~+ {after}"),
        }
    }
}

impl fmt::Display for DiffSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reading,
            appear,
            vanish,
            differ,
            same,
            before,
            after,
        } = self;
        writeln!(f, "{reading}\nbefore:\n{before}\nafter:\n{after}")?;
        write!(
            f,
            "{}, {vanish} vanish, {differ} differ, {same} are the same",
            counted(*appear, "ban appears", "bans appear")
        )
    }
}
