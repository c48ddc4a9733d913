//! Expressions that are compiled when they are needed.

use std::{
    hash::{Hash, Hasher},
    sync::OnceLock,
};

use regex_automata::{
    Input,
    meta::{BuildError, Config, Regex},
    util::syntax,
};
use regex_syntax::hir::Hir;

/// Most bytes of memory of an expression's automaton.
const MAX_EXPRESSION: usize = 64 * 1024;

/// When expressions are compiled. The shipped set has hundreds, and most requests call for none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compile {
    /// At once, so that what is wrong is told.
    Now,
    /// When a text is first compared: for what a test has compiled.
    WhenNeeded,
}

/// An expression over bytes. Two of the same text are the same.
#[derive(Debug)]
pub(crate) struct Expression {
    text: String,
    /// `None` within: it cannot be compiled, and matches nothing.
    compiled: OnceLock<Option<Regex>>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Expression {
    /// That which `text` says, and `hir` for it.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, if it is compiled now.
    pub(crate) fn new(text: &str, hir: &Hir, when: Compile) -> Result<Self, String> {
        let compiled = match when {
            Compile::Now => OnceLock::from(Some(compile(hir).map_err(|error| size_or(&error))?)),
            Compile::WhenNeeded => OnceLock::new(),
        };
        Ok(Self {
            text: text.to_owned(),
            compiled,
        })
    }

    pub(crate) fn is_match(&self, input: Input<'_>) -> bool {
        let compiled = || compile(&parse(&self.text).ok()?).ok();
        let regex = self.compiled.get_or_init(compiled);
        regex.as_ref().is_some_and(|regex| regex.is_match(input))
    }
}

/// What `text` says.
///
/// # Errors
///
/// Returns what is wrong, in a line.
pub(crate) fn parse(text: &str) -> Result<Hir, String> {
    let config = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true);
    syntax::parse_with(text, &config).map_err(|error| in_a_line(&error))
}

fn compile(hir: &Hir) -> Result<Regex, Box<BuildError>> {
    let limits = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_EXPRESSION))
        .hybrid_cache_capacity(4 * MAX_EXPRESSION);
    Regex::builder()
        .configure(limits)
        .build_from_hir(hir)
        .map_err(Box::new)
}

/// Errors of expressions show the place below the text, in lines of their own.
fn in_a_line(error: &regex_syntax::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

fn size_or(error: &BuildError) -> String {
    match error.size_limit() {
        Some(limit) => format!("its automaton has more than {limit} bytes"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_compiled_when_a_text_is_first_compared() {
        for when in [Compile::Now, Compile::WhenNeeded] {
            let expression = Expression::new("a.c", &parse("a.c").unwrap(), when).unwrap();
            assert_eq!(expression.compiled.get().is_some(), when == Compile::Now);
            assert!(expression.is_match(Input::new(b"xa\nc")));
            assert!(!expression.is_match(Input::new(b"ac")));
            assert!(expression.compiled.get().is_some());
        }
    }

    #[test]
    fn what_is_too_large_is_told_at_once_or_matches_nothing() {
        let text = "(a.{200}){200}";
        let hir = parse(text).unwrap();
        let told = Expression::new(text, &hir, Compile::Now).unwrap_err();
        assert_eq!(told, "its automaton has more than 65536 bytes");
        let lazy = Expression::new(text, &hir, Compile::WhenNeeded).unwrap();
        assert!(!lazy.is_match(Input::new(&[b'a'; 50_000])));
    }
}
