//! Habits that both command lines share: logging, output formats, targets, and what is generated of them.

mod allowlist;
mod asked;
mod banning;
mod generate;
mod logging;
mod printable;
mod records;
mod selection;
mod target;
pub mod words;

use std::fmt;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::say;

pub use self::{
    allowlist::{ENTRIES, Exemption, NewEntry},
    asked::Asked,
    banning::ban_each,
    generate::{Generate, help_of_all},
    logging::init_logging,
    printable::{Listing, printable, printable_json, printable_lines, to_stderr, to_stdout},
    records::{Cell, Column, FORMULAS, ListOutput, Records, inert},
    selection::{Outcome, Selection},
    target::{DecisionOptions, Near, Target, Targets},
};

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    #[value(name = "text", alias = "table")]
    Table,
    Json,
}

/// A parser of an option whose value goes on as it was typed, once `read` has understood it.
pub fn checked<T: 'static>(
    read: impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| read(text).map(|_| text.to_owned())
}

/// `count` with the word for one, or for many.
#[must_use]
pub fn counted<N: Copy + fmt::Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let word = if count == N::from(1) { one } else { many };
    format!("{count} {word}")
}

/// A table for people: columns in line, and nothing else around them.
#[must_use]
pub fn table<const N: usize>(header: [&str; N]) -> Listing {
    Listing::with_header(header)
}

/// # Errors
///
/// Returns an error if there is no JSON for `value`.
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value).context("formatting JSON")?;
    say!("{}", printable_json(&json));
    Ok(())
}

/// # Errors
///
/// Returns an error if `version` (a kernel's or a server's, `6.18.44-x`) is older than `floor`, or no version at all.
pub fn require_version(what: &str, version: &str, floor: (u32, u32)) -> anyhow::Result<()> {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        bail!("{what} reports an invalid version, `{version}`");
    };
    if (major, minor) < floor {
        bail!(
            "{what} is {version}; SecBeat needs {}.{} or newer",
            floor.0,
            floor.1
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_below_the_floor_are_refused_by_name() {
        assert!(require_version("the kernel", "5.15.0-91-generic", (5, 15)).is_ok());
        assert!(require_version("the kernel", "6.1.0", (5, 15)).is_ok());
        let error = require_version("the kernel", "5.10.0-28-amd64", (5, 15)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel is 5.10.0-28-amd64; SecBeat needs 5.15 or newer"
        );
        assert!(require_version("NATS", "2.9.10", (2, 11)).is_err());
        assert!(require_version("NATS", "", (2, 11)).is_err());
    }
}
