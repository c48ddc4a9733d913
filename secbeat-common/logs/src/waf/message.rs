//! One match of one rule.

use std::borrow::Cow;

use secbeat_common::wire::Severity;

/// A match, as an entry tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match<'a> {
    pub(super) rule: u32,
    pub(super) severity: Option<Severity>,
    pub(super) text: Cow<'a, str>,
}

impl<'a> Match<'a> {
    /// From a line of an error log, as `ModSecurity` 2 puts it into its audit log, too:
    ///
    /// ```text
    /// Warning. Pattern match "…" at ARGS:x. [file "…"] [line "45"] [id "942100"] [msg "…"] [severity "CRITICAL"] …
    /// ```
    ///
    /// `None` without an id: such a line tells of no rule.
    pub(super) fn from_line(line: Cow<'a, str>) -> Option<Self> {
        match line {
            Cow::Borrowed(line) => Self::from_str(line),
            Cow::Owned(line) => {
                let Match { rule, severity, text } = Match::from_str(&line)?;
                Some(Self {
                    rule,
                    severity,
                    text: Cow::Owned(text.into_owned()),
                })
            }
        }
    }

    fn from_str(line: &'a str) -> Option<Self> {
        let fields = Fields::of(line);
        let mut found = Self {
            rule: 0,
            severity: None,
            text: Cow::Borrowed(line[..line.len() - fields.rest.len()].trim_end()),
        };
        let mut id = None;
        for (name, value) in fields {
            match name {
                "id" => id = value.parse().ok(),
                "msg" if !value.is_empty() => found.text = unescaped(value),
                "severity" => found.severity = Severity::from_name(value),
                _ => {}
            }
        }
        found.rule = id?;
        Some(found)
    }

    /// Whether the rule only adds up what others found: 949xxx, 959xxx and 980xxx of the Core Rule Set.
    pub(super) fn sums_up(&self) -> bool {
        matches!(self.rule / 1000, 949 | 959 | 980)
    }

    /// The sum, if the rule adds up and says it: `… (Total Score: 15)`, `… (Total Inbound Score: 15 - SQLI=15,…`.
    pub(super) fn anomaly_score(&self) -> Option<u32> {
        if !self.sums_up() {
            return None;
        }
        let (_, rest) = self.text.split_once("(Total ")?;
        let (_, rest) = rest.split_once("Score: ")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().ok()
    }
}

/// The fields `[name "value"]` that follow a message, with the values' escapes as they stand.
struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Fields<'a> {
    /// Finds the fields of a line. What precedes them may quote the request. Quotes in the fields' values are escaped, so the
    /// last `[file "` is the log's own.
    fn of(line: &'a str) -> Self {
        let start = line.rfind("[file \"").or_else(|| line.find("[id \""));
        Self {
            rest: &line[start.unwrap_or(line.len())..],
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.rest.trim_start().strip_prefix('[')?.split_once(" \"")?;
        let end = closing_quote(rest)?;
        self.rest = rest[end + 1..].strip_prefix(']')?;
        Some((name, &rest[..end]))
    }
}

/// Returns where the first quote is that no backslash escapes.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// `\"` as `"`.
fn unescaped(value: &str) -> Cow<'_, str> {
    if value.contains("\\\"") {
        Cow::Owned(value.replace("\\\"", "\""))
    } else {
        Cow::Borrowed(value)
    }
}
