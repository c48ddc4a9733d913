//! Text of others on its way to a terminal. Paths, agents, notes, names of lists and of edges may hold what moves a cursor, renames a
//! window, writes the clipboard, or turns the direction of what stands beside them (Unicode Standard Annex 9).

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use comfy_table::Table;

/// `text` with whatever is not a visible character as `\\u{1b}`, line breaks included.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// [`printable`], but line breaks stay: for what this program has put together.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, is_ours: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_hidden = |c: char| is_invisible(c) && !is_ours(c);
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal interprets a character, or shows nothing of it, instead of showing it: controls (Cc), marks of direction, joiners and
/// other formatting (Cf), line and paragraph separators, and what is `Default_Ignorable_Code_Point` in Unicode: fillers, variation
/// selectors, tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// JSON in which every such character within a text is `\\u001b`: the same value, and nothing that a terminal interprets.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| is_invisible(c) && c != '\n';
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A table for people, whose cells show what others wrote as it is, and are not interpreted.
#[derive(Debug)]
pub struct Listing(Table);

impl Listing {
    /// Columns in line, and nothing else around them.
    pub(super) fn with_header<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(header.into_iter());
        Self(table)
    }

    /// Adds a row of cells.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let cells = cells.into_iter();
        self.0
            .add_row(cells.map(|cell| printable(cell.as_ref()).into_owned()));
    }

    /// Adds rows of cells.
    pub fn add_rows<R: IntoIterator<Item = impl AsRef<str>>>(&mut self, rows: impl IntoIterator<Item = R>) {
        rows.into_iter().for_each(|row| self.add_row(row));
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Prints a line for people on standard output; see [`say`](crate::say).
#[expect(clippy::disallowed_macros, reason = "here it is made printable")]
pub fn to_stdout(line: fmt::Arguments<'_>) {
    println!("{}", printable_lines(&line.to_string()));
}

/// Prints a line for people on standard error; see [`complain`](crate::complain).
#[expect(clippy::disallowed_macros, reason = "here it is made printable")]
pub fn to_stderr(line: fmt::Arguments<'_>) {
    eprintln!("{}", printable_lines(&line.to_string()));
}

/// Prints a line for people on standard output, as `println!` does, but shows what a terminal would interpret.
#[macro_export]
macro_rules! say {
    () => { $crate::cli::to_stdout(std::format_args!("")) };
    ($($what:tt)*) => { $crate::cli::to_stdout(std::format_args!($($what)*)) };
}

/// Prints a line for people on standard error, as `eprintln!` does, but shows what a terminal would interpret.
#[macro_export]
macro_rules! complain {
    ($($what:tt)*) => { $crate::cli::to_stderr(std::format_args!($($what)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, shown) in [
            (
                "plain \u{e9} \u{4e2d} \u{1f600}",
                "plain \u{e9} \u{4e2d} \u{1f600}",
            ),
            ("\u{1b}]0;OWNED\u{7}\u{1b}[2J", "\\u{1b}]0;OWNED\\u{7}\\u{1b}[2J"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            (
                "\u{202e}gnp.exe\u{2066}\u{200b}\u{e0041}",
                "\\u{202e}gnp.exe\\u{2066}\\u{200b}\\u{e0041}",
            ),
            ("two\nlines\r\tand", "two\\u{a}lines\\u{d}\\u{9}and"),
            (
                "a\u{ad}b\u{34f}c\u{3164}d\u{115f}e\u{fe0f}f\u{ffa0}",
                "a\\u{ad}b\\u{34f}c\\u{3164}d\\u{115f}e\\u{fe0f}f\\u{ffa0}",
            ),
        ] {
            assert_eq!(printable(text), shown);
            let mut listing = Listing::with_header([]);
            listing.add_row([text]);
            assert!(listing.to_string().contains(shown), "{listing}");
        }
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn json_means_the_same_and_holds_nothing_that_a_terminal_obeys() {
        let value = serde_json::json!({"note": "\u{1b}[2J\u{9b}\u{202e}\u{e0041}\n\u{4e2d}"});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let shown = printable_json(&json);
        assert!(!shown.contains(|c| is_invisible(c) && c != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
