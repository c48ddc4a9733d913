//! Lists of records: sorted, cut, and printed for people and for programs.

use std::{
    cmp::Ordering,
    io::{IsTerminal as _, stdout},
};

use anyhow::bail;
use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::prefix::Prefix;
use serde::Serialize;

use super::{Listing, print_json, printable};
use crate::{complain, exit::Coded, say, time::ends_in};

/// Records that a terminal gets unless more are asked for.
const SHOWN: usize = 100;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ListOutput {
    #[default]
    #[value(alias = "human")]
    Table,
    /// A table with more columns, where there are more.
    Wide,
    Json,
    #[value(alias = "raw")]
    Csv,
}

/// How a list is printed, and how much of it.
#[derive(Clone, Debug, Default, Args)]
pub struct Records {
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: ListOutput,
    /// Print JSON, as `--output json` does.
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Sort by this column; with `-` before it in descending order, such as `-strikes`.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Show at most this many; 0 shows all [default: all; 100 on a terminal].
    #[arg(long, short, value_name = "N", value_parser = limit)]
    limit: Option<usize>,
    /// Show times of the table in UTC, not in this host's time zone; JSON and CSV have UTC.
    #[arg(long)]
    utc: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    let why = |_| "expected a whole number, 0 or more; 0 shows all".to_owned();
    text.parse().map_err(why)
}

/// A column: its name in the table, the one in CSV and for `--sort`, and what it has of a record.
#[derive(Clone, Copy, Debug)]
pub struct Column<T>(pub &'static str, pub &'static str, pub fn(&T) -> Cell);

/// What a column has of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    Number(i128),
    /// An address or a CIDR.
    Network(String),
    /// RFC 3339; empty for none.
    Time(String),
    /// When something ends (RFC 3339, empty for never), and in how many milliseconds; tables show how long that is.
    End(String, Option<i64>),
}

impl Cell {
    /// A number of any size.
    #[must_use]
    pub fn number(number: impl Into<i128>) -> Self {
        Self::Number(number.into())
    }

    /// A time that may be missing.
    #[must_use]
    pub fn time(at: Option<String>) -> Self {
        Self::Time(at.unwrap_or_default())
    }

    fn shown(self, zone: &TimeZone) -> String {
        match self {
            Self::Text(text) | Self::Network(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Time(at) => in_zone(&at, zone),
            Self::End(_, left) => ends_in(left),
        }
    }

    fn exact(self) -> String {
        match self {
            Self::Text(text) => inert(&text),
            Self::Network(text) | Self::Time(text) | Self::End(text, _) => text,
            Self::Number(number) => number.to_string(),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        let never_last = |left: &Option<i64>| left.unwrap_or(i64::MAX);
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::End(_, one), Self::End(_, other)) => never_last(one).cmp(&never_last(other)),
            (Self::Network(one), Self::Network(other)) => {
                let net = |text: &str| text.parse::<Prefix>().ok();
                net(one).cmp(&net(other)).then_with(|| one.cmp(other))
            }
            (one, other) => one.clone().exact().cmp(&other.clone().exact()),
        }
    }
}

/// `at` (RFC 3339) to the second as a clock in `zone` shows it, with the zone's name; as it is if it is not a time.
fn in_zone(at: &str, zone: &TimeZone) -> String {
    at.parse::<Timestamp>().map_or_else(
        |_| at.to_owned(),
        |at| {
            let there = at.to_zoned(zone.clone());
            there.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
        },
    )
}

impl Records {
    /// Returns how the list is printed.
    #[must_use]
    pub const fn output(&self) -> ListOutput {
        if self.json { ListOutput::Json } else { self.output }
    }

    fn is_table(&self) -> bool {
        matches!(self.output(), ListOutput::Table | ListOutput::Wide)
    }

    /// `columns`, but for a table of the usual width only the first `usual` ones.
    #[must_use]
    pub fn columns<'a, T>(&self, columns: &'a [Column<T>], usual: usize) -> &'a [Column<T>] {
        match self.output() {
            ListOutput::Table => columns.get(..usual).unwrap_or(columns),
            ListOutput::Wide | ListOutput::Json | ListOutput::Csv => columns,
        }
    }

    /// Most records that are shown; `None` for all.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        let is_for_people = self.is_table() && stdout().is_terminal();
        match self.limit {
            None => is_for_people.then_some(SHOWN),
            limit => limit.filter(|limit| *limit > 0),
        }
    }

    /// Most records that were asked for: `usual` unless said, `most` for all.
    #[must_use]
    pub fn limit_or(&self, usual: usize, most: usize) -> usize {
        match self.limit {
            None => usual,
            Some(0) => most,
            Some(limit) => limit,
        }
    }

    /// Sorts `records` as asked, and prints as many as asked; `empty` is what people read where there are none.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such column.
    pub fn show<T: Serialize>(
        &self,
        columns: &[Column<T>],
        mut records: Vec<T>,
        empty: &str,
    ) -> anyhow::Result<()> {
        if let Some(sort) = &self.sort {
            let name = sort.strip_prefix('-').unwrap_or(sort);
            let Some(Column(.., cell)) = columns.iter().find(|Column(_, field, _)| *field == name) else {
                let fields: Vec<_> = columns.iter().map(|Column(_, field, _)| *field).collect();
                let why = format!("--sort: there is no column `{name}`: use {}", fields.join(", "));
                bail!(Coded::usage(why));
            };
            records.sort_by(|one, other| match sort.starts_with('-') {
                true => cell(other).order(&cell(one)),
                false => cell(one).order(&cell(other)),
            });
        }
        let total = records.len();
        records.truncate(self.limit().unwrap_or(total));
        self.print(columns, &records, total, empty)
    }

    /// Prints `records` as they are: so many of `total`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no JSON or CSV of them.
    pub fn print<T: Serialize>(
        &self,
        columns: &[Column<T>],
        records: &[T],
        total: usize,
        empty: &str,
    ) -> anyhow::Result<()> {
        match self.output() {
            ListOutput::Json => return print_json(records),
            ListOutput::Csv => {
                let text = csv(columns, records)?;
                say!("{}", text.trim_end_matches('\n'));
                return Ok(());
            }
            ListOutput::Table | ListOutput::Wide if records.is_empty() => complain!("{empty}"),
            ListOutput::Table | ListOutput::Wide => say!("{}", self.table(columns, records)),
        }
        if let Some(more @ 1..) = total.checked_sub(records.len()) {
            complain!("… {} more; --limit 0 shows all", grouped(more));
        }
        Ok(())
    }

    /// The table for people.
    pub fn table<T>(&self, columns: &[Column<T>], records: &[T]) -> Listing {
        let zone = match self.utc {
            true => TimeZone::UTC,
            false => TimeZone::system(),
        };
        let mut listing = Listing::with_header(columns.iter().map(|Column(header, ..)| *header));
        for record in records {
            listing.add_row(columns.iter().map(|Column(_, _, cell)| cell(record).shown(&zone)));
        }
        listing
    }
}

/// What spreadsheets take for a formula begins with one of these.
pub const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A cell that is a text to a spreadsheet, too: a formula gets a quote before it, and so does a text that has one already. Nor does
/// a terminal interpret it, should a file be shown by one.
#[must_use]
pub fn inert(text: &str) -> String {
    let text = printable(text);
    let is_formula = text.trim_start_matches('\'').starts_with(FORMULAS);
    let quote = if is_formula { "'" } else { "" };
    format!("{quote}{text}")
}

fn csv<T>(columns: &[Column<T>], records: &[T]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|Column(_, field, _)| *field))?;
    for record in records {
        writer.write_record(columns.iter().map(|Column(_, _, cell)| cell(record).exact()))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// A count as people read it: `4,900`.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        records: Records,
    }

    fn records(arguments: &[&str]) -> Records {
        Cli::parse_from(["x"].iter().chain(arguments)).records
    }

    const COLUMNS: [Column<(i64, &str, Option<i64>)>; 3] = [
        Column("COUNT", "count", |record| Cell::number(record.0)),
        Column("TARGET", "target", |record| Cell::Network(record.1.to_owned())),
        Column("ENDS IN", "expires_at", |record| {
            let at = record.2.map(crate::time::rfc3339);
            Cell::End(at.unwrap_or_default(), record.2)
        }),
    ];

    #[test]
    fn neither_spreadsheets_nor_terminals_obey_a_text() {
        assert_eq!(inert("=1"), "'=1");
        assert_eq!(inert("\x1b[2Jred\x07"), r"\u{1b}[2Jred\u{7}");
        assert_eq!(inert("\t=1"), r"\u{9}=1");
    }

    #[test]
    fn cells_are_sorted_by_what_they_mean() {
        let sorted = |column: usize| {
            let Column(.., cell) = COLUMNS[column];
            let mut all = [
                (10, "192.0.2.10/32", None),
                (9, "192.0.2.9/32", Some(2_000)),
                (100, "2001:db8::/64", Some(1_000)),
            ];
            all.sort_by(|one, other| cell(one).order(&cell(other)));
            all.iter().map(|record| record.0).collect::<Vec<_>>()
        };
        assert_eq!(sorted(0), [9, 10, 100]);
        assert_eq!(sorted(1), [9, 10, 100]);
        assert_eq!(sorted(2), [100, 9, 10]);
        let error = records(&["--sort", "-size"]).show(&COLUMNS, vec![(1, "::/64", None)], "");
        assert_eq!(
            error.unwrap_err().to_string(),
            "--sort: there is no column `size`: use count, target, expires_at"
        );
    }

    #[test]
    fn programs_get_times_in_utc_and_everything_and_people_what_they_asked_for() {
        let all = [
            (7, "192.0.2.7/32", Some(1_795_168_807_000)),
            (8, "192.0.2.8/32", None),
        ];
        assert_eq!(
            csv(&COLUMNS, &all).unwrap(),
            "count,target,expires_at\n7,192.0.2.7/32,2026-11-20T10:00:07.000Z\n8,192.0.2.8/32,\n"
        );
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(
            in_zone("2026-11-20T10:00:07.000Z", &berlin),
            "2026-11-20 11:00:07 CET"
        );
        assert_eq!(
            in_zone("2026-11-20T10:00:07.000Z", &TimeZone::UTC),
            "2026-11-20 10:00:07 UTC"
        );
        assert_eq!(in_zone("", &berlin), "");
        assert_eq!(records(&["--limit", "0"]).limit(), None);
        assert_eq!(records(&["-l", "7"]).limit(), Some(7));
        assert_eq!(records(&["-l", "0"]).limit_or(100, 1000), 1000);
        assert_eq!(records(&[]).limit_or(100, 1000), 100);
        assert_eq!(records(&["--json"]).output(), ListOutput::Json);
        assert_eq!(records(&["-o", "raw"]).output(), ListOutput::Csv);
        let headers = |arguments: &[&str]| records(arguments).columns(&COLUMNS, 2).len();
        assert_eq!(
            [headers(&[]), headers(&["-o", "wide"]), headers(&["-o", "csv"])],
            [2, 3, 3]
        );
        assert_eq!(
            [999, 4_900, 1_234_567].map(grouped),
            ["999", "4,900", "1,234,567"]
        );
    }
}
