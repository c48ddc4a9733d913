//! Subjects with wildcards, as NATS has them.

use std::{collections::HashMap, str::Split};

/// Whether `subject` is one of those that `pattern` means: `*` stands for one token, a last `>` for all that follow.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(found)) if token == found => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// Many patterns, of which a subject is to match one: how many there are does not matter.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// What may follow, by the next token.
    next: HashMap<String, Patterns>,
    /// What may follow any token.
    any: Option<Box<Patterns>>,
    /// Whether a pattern means all that follow.
    takes_rest: bool,
    /// Whether a pattern ends here.
    ends: bool,
}

impl Patterns {
    /// All subjects if there are no `patterns`.
    pub(crate) fn new(patterns: &[String]) -> Self {
        let mut all = Self {
            takes_rest: patterns.is_empty(),
            ..Self::default()
        };
        for pattern in patterns {
            all.add(pattern.split('.'));
        }
        all
    }

    fn add(&mut self, mut tokens: Split<'_, char>) {
        match tokens.next() {
            None => self.ends = true,
            Some(">") => self.takes_rest = true,
            Some("*") => self.any.get_or_insert_default().add(tokens),
            Some(token) => self.next.entry(token.to_owned()).or_default().add(tokens),
        }
    }

    /// Whether every subject matches.
    pub(crate) const fn take_all(&self) -> bool {
        self.takes_rest
    }

    pub(crate) fn match_one(&self, subject: &str) -> bool {
        self.go_on(subject.split('.'))
    }

    fn go_on(&self, mut tokens: Split<'_, char>) -> bool {
        let Some(token) = tokens.next() else {
            return self.ends;
        };
        let next = self.next.get(token);
        self.takes_rest
            || next.is_some_and(|next| next.go_on(tokens.clone()))
            || self.any.as_ref().is_some_and(|next| next.go_on(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::{Patterns, matches};

    fn both(pattern: &str, subject: &str) -> bool {
        let matched = matches(pattern, subject);
        let other = "another.*.pattern".to_owned();
        for patterns in [&[pattern.to_owned()][..], &[other, pattern.to_owned()]] {
            let patterns = Patterns::new(patterns);
            assert_eq!(patterns.match_one(subject), matched, "{pattern} {subject}");
        }
        matched
    }

    #[test]
    fn one_of_many_patterns_is_enough() {
        let patterns = ["a.*.c", "a.b", "*.x.>"].map(str::to_owned);
        let patterns = Patterns::new(&patterns);
        for subject in ["a.b.c", "a.b", "b.x.y.z", "a.x.c", "a.x.y"] {
            assert!(patterns.match_one(subject), "{subject}");
        }
        for subject in ["a", "a.b.d", "a.c", "b.x", "b.y.z"] {
            assert!(!patterns.match_one(subject), "{subject}");
        }
        assert!(!patterns.take_all());
        assert!(Patterns::new(&[]).match_one("a.b"), "no pattern is no limit");
    }

    #[test]
    fn wildcards_stand_for_one_token_or_for_the_rest() {
        for (pattern, subject) in [
            ("a.b", "a.b"),
            ("a.*", "a.b"),
            ("*.b", "a.b"),
            ("a.>", "a.b"),
            ("a.>", "a.b.c"),
            (">", "a"),
        ] {
            assert!(both(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [
            ("a.b", "a.c"),
            ("a.*", "a"),
            ("a.*", "a.b.c"),
            ("a.>", "a"),
            ("a", "a.b"),
        ] {
            assert!(!both(pattern, subject), "{pattern} {subject}");
        }
    }
}
