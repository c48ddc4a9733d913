//! What docs/sources.md promises.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::Format;

/// The lines that the page shows, each behind its format's name.
fn shown() -> Vec<(String, String)> {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/sources.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, examples) = page.split_once("answered with 404:\n").unwrap();
    let (examples, _) = examples.split_once("\nLines that Docker").unwrap();
    let rows = examples.lines().filter_map(|line| line.strip_prefix("    "));
    rows.filter_map(|row| row.split_once(' '))
        .map(|(name, line)| (name.to_owned(), line.trim_start().to_owned()))
        .collect()
}

#[test]
fn every_line_that_the_page_shows_is_read_as_it_says() {
    for (name, line) in shown() {
        let format: Format = name.parse().unwrap();
        let read = format.parse(line.as_bytes());
        let read = read.map(|read| (read.client.to_string(), read.status, read.path.into_owned()));
        assert_eq!(
            read,
            Ok(("203.0.113.7".to_owned(), 404, b"/x".to_vec())),
            "{name}: {line}"
        );
    }
}

#[test]
fn the_page_shows_a_line_of_every_format() {
    let shown: BTreeSet<String> = shown().into_iter().map(|(name, _)| name).collect();
    let named: BTreeSet<String> = Format::named().map(|format| format.to_string()).collect();
    let missing: Vec<_> = named.difference(&shown).collect();
    // The first shows the same lines as `combined`; the second has tabs, which the page would not keep.
    assert_eq!(missing, ["cloudfront", "common"]);
}

#[test]
fn every_pattern_that_the_page_shows_reads_the_line_below_it() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/sources.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, patterns) = page.split_once("each with a line that it reads:\n").unwrap();
    let (patterns, _) = patterns.split_once("\nWhat Uvicorn").unwrap();
    let rows = patterns.lines().filter_map(|line| line.strip_prefix("    "));
    let rows: Vec<_> = rows.filter(|row| !row.starts_with("# ")).collect();
    assert_eq!((rows.len() / 2, rows.len() % 2), (10, 0));
    for row in rows.chunks(2) {
        let read = Format::pattern(row[0]).unwrap().parse(row[1].as_bytes());
        let read = read.map(|read| (read.client.to_string(), read.status, read.path.into_owned()));
        assert_eq!(
            read,
            Ok(("203.0.113.7".to_owned(), 404, b"/x".to_vec())),
            "{}",
            row[0]
        );
    }
}
