//! Expressions of filters that are compiled when they are needed.

use std::sync::OnceLock;

use regex::bytes::{Captures, Match, Regex, RegexBuilder};

/// Most bytes of one compiled expression.
const MAX_SIZE: usize = 4 * 1024 * 1024;

/// When an expression is compiled. A filter has a hundred of them, and the lines of one host need few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Compile {
    /// At once, so that what is wrong with it is told.
    #[default]
    Now,
    /// When a text is first matched with it: for what a test has compiled.
    WhenNeeded,
}

/// An expression over bytes, in which `.` is any of them.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    /// `None` within: it cannot be compiled, and matches nothing.
    compiled: OnceLock<Option<Regex>>,
}

impl Expression {
    /// The expression that all of a text has to match.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is compiled now.
    pub(super) fn whole(text: &str, when: Compile) -> Result<Self, String> {
        Self::part(format!(r"\A(?:{text})\z"), when)
    }

    /// The expression as it is.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is compiled now.
    pub(super) fn part(text: String, when: Compile) -> Result<Self, String> {
        let compiled = match when {
            Compile::Now => OnceLock::from(Some(compile(&text)?)),
            Compile::WhenNeeded => OnceLock::new(),
        };
        Ok(Self { text, compiled })
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    pub(super) fn find<'t>(&self, text: &'t [u8]) -> Option<Match<'t>> {
        self.regex()?.find(text)
    }

    pub(super) fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        self.regex()?.captures(text)
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.text).ok()).as_ref()
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|error| one_line(&error.to_string()))
}

/// The last line of an error of the parser is what it says; those before draw where.
pub(super) fn one_line(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_compiled_when_a_text_is_first_matched_with_it() {
        let lazy = Expression::whole("a.c", Compile::WhenNeeded).unwrap();
        assert!(lazy.compiled.get().is_none());
        assert!(lazy.is_match(b"a\nc"));
        assert!(lazy.compiled.get().is_some());
        assert!(!lazy.is_match(b"abcd"));
        let now = Expression::part("b(.)".to_owned(), Compile::Now).unwrap();
        assert!(now.compiled.get().is_some());
        let captures = now.captures(b"abc").unwrap();
        assert_eq!(captures.get(1).unwrap().as_bytes(), b"c");
        assert_eq!(now.find(b"abc").unwrap().range(), 1..3);
    }

    #[test]
    fn what_cannot_be_compiled_is_told_at_once_or_matches_nothing() {
        let now = Expression::part("(".to_owned(), Compile::Now);
        assert_eq!(now.unwrap_err(), "unclosed group");
        let lazy = Expression::part("(".to_owned(), Compile::WhenNeeded).unwrap();
        assert!(!lazy.is_match(b"("));
        assert!(lazy.find(b"(").is_none() && lazy.captures(b"(").is_none());
    }
}
