//! The file format of filters.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

use super::{
    doubt::Reach,
    head::Heads,
    journald::Journald,
    lazy::{Compile, Expression},
    pattern::{Admission, Pattern, expand},
    prefilter::Prefilter,
};

/// Longest name of a filter and of a pattern's kind, in bytes.
const MAX_NAME: usize = 32;
/// Lines behind a broken one that are doubted if the filter does not say how long a message can be.
const DOUBTED: u8 = 3;
/// Longest message that a filter may state, in bytes.
const MAX_LONGEST: usize = 64 * 1024;

/// What an event means.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, Deserialize, Serialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Class {
    /// A login that was refused.
    AuthFailure,
    /// A use that the service does not allow, such as relaying mail.
    Abuse,
    /// A probe for what is there, such as user names.
    Scan,
}

/// The lines that are of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attempt {
    /// Those of one process and client.
    Pid,
    /// Those of one session, the field `{session}`, and client.
    Session,
}

/// A service's lines, and whom they blame.
#[derive(Debug)]
pub struct Filter {
    pub name: String,
    pub title: String,
    /// Ports at which the service listens by default.
    pub ports: Vec<u16>,
    /// Where its lines are by default: absolute paths, in which `*` may stand for others.
    pub paths: Vec<String>,
    pub journald: Journald,
    /// `None`: each line is an attempt of its own.
    pub attempt: Option<Attempt>,
    pub rule: DefaultRule,
    /// Note for users of the filter.
    pub note: Option<String>,
    pub must: Vec<SelfTest>,
    pub must_not: Vec<String>,
    pub(super) is_general: bool,
    pub(super) heads: Heads,
    pub(super) patterns: Vec<Meaning>,
    /// Messages that can be forged by what a client chose, and blame nobody.
    pub(super) open: Vec<Expression>,
    /// What a whole message matches, if a client can break a line; see [`Judged::broken`](super::Judged::broken).
    pub(super) whole: Vec<Expression>,
    /// How far a message that is not whole can reach.
    pub(super) reach: Reach,
    /// Messages that blame nobody, with a client where those that do may seem to have theirs.
    pub(super) others: Vec<Pattern>,
    /// Messages that take back what lines of the same attempt said of the same client before.
    pub(super) forgives: Vec<Pattern>,
    /// Messages that take such lines back by an account alone.
    pub(super) admits: Vec<Admission>,
    /// Messages that are nobody's fault.
    pub(super) ignore: Vec<Expression>,
    pub(super) prefilter: Prefilter,
}

/// The rule that suits the filter's events.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultRule {
    /// So many events within `window` are too many.
    pub threshold: u32,
    pub window: SignedDuration,
}

/// A line that blames a client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    pub line: String,
    pub client: IpAddr,
}

/// A pattern, and what a message that it matches means.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) pattern: Pattern,
    pub(super) class: Class,
    pub(super) kind: String,
    pub(super) is_echo: bool,
    pub(super) waits: bool,
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct FilterError {
    /// The key to blame.
    pub key: String,
    pub what: String,
}

impl FilterError {
    fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    title: String,
    note: Option<String>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    journald: Journald,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    heads: Vec<String>,
    attempt: Option<Attempt>,
    rule: DefaultRule,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(rename = "pattern")]
    patterns: Vec<PatternTable>,
    #[serde(default)]
    open: Vec<String>,
    #[serde(default)]
    whole: Vec<String>,
    longest: Option<usize>,
    #[serde(default)]
    others: Vec<String>,
    #[serde(default)]
    forgives: Vec<String>,
    #[serde(default)]
    ignore: Vec<String>,
    must: Vec<SelfTest>,
    must_not: Vec<String>,
    #[serde(skip)]
    compile: Compile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternTable {
    kind: String,
    event: Class,
    /// The same attempt always writes another line, which counts.
    #[serde(default)]
    echo: bool,
    /// A message that the filter `forgives` may take it back.
    #[serde(default)]
    waits: bool,
    #[serde(rename = "match")]
    texts: Vec<String>,
}

impl Filter {
    /// Reads a filter: a TOML file, see `docs/services.md`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::read(text, Compile::Now)
    }

    /// As [`parse`](Self::parse), with expressions that are compiled then.
    pub(super) fn read(text: &str, compile: Compile) -> Result<Self, FilterError> {
        let mut table: Table = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            FilterError::new(format!("line {line}"), error.message().replace('\n', ", "))
        })?;
        table.compile = compile;
        table.check()?;
        let patterns = table.meanings()?;
        let (forgives, admits) = table.forgiving()?;
        let of_patterns = patterns.iter().map(|meaning| &meaning.pattern);
        let literals = of_patterns.chain(&forgives).map(|pattern| &pattern.literal);
        let literals = literals.chain(admits.iter().map(|admission| &admission.literal));
        let literals: Vec<_> = literals.map(Vec::as_slice).collect();
        let prefilter = Prefilter::new(&literals).map_err(|what| FilterError::new("pattern", what))?;
        let filter = Self {
            is_general: table.programs == ["*"],
            heads: table.heads()?,
            open: table.compiled("open", &table.open)?,
            whole: table.compiled("whole", &table.whole)?,
            reach: table.longest.map_or(Reach::Lines(DOUBTED), Reach::Bytes),
            others: table.places("others", &table.others)?,
            forgives,
            admits,
            ignore: table.compiled("ignore", &table.ignore)?,
            patterns,
            prefilter,
            name: table.name,
            title: table.title,
            note: table.note,
            ports: table.ports,
            paths: table.paths,
            journald: table.journald,
            attempt: table.attempt,
            rule: table.rule,
            must: table.must,
            must_not: table.must_not,
        };
        Ok(filter)
    }

    /// Whether it does not say where the service's lines are, so that its user has to.
    #[must_use]
    pub fn names_no_log(&self) -> bool {
        self.paths.is_empty() && self.journald == Journald::default()
    }

    /// The kinds of its patterns with what they mean, each once.
    #[must_use]
    pub fn kinds(&self) -> Vec<(&str, Class)> {
        let mut kinds: Vec<(&str, Class)> = Vec::new();
        for meaning in &self.patterns {
            let kind = (meaning.kind.as_str(), meaning.class);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

impl Table {
    fn check(&self) -> Result<(), FilterError> {
        let names = std::iter::once(("name".to_owned(), &self.name));
        let kinds = self.patterns.iter().enumerate();
        let kinds = kinds.map(|(at, pattern)| (format!("pattern[{at}].kind"), &pattern.kind));
        for (key, name) in names.chain(kinds) {
            if !is_name(name) {
                let what = format!(
                    "invalid name `{name}`: expected 1 to {MAX_NAME} lower-case letters, digits and hyphens, a letter first"
                );
                return Err(FilterError::new(key, what));
            }
        }
        if let Some(path) = self.paths.iter().find(|path| !path.starts_with('/')) {
            return Err(FilterError::new(
                "paths",
                format!("invalid path `{path}`: expected an absolute one"),
            ));
        }
        self.journald
            .check()
            .map_err(|(key, what)| FilterError::new(key, what))?;
        if self.programs.is_empty() && self.heads.is_empty() {
            let what = "a filter needs `programs` or `heads`, so that a line of another service is known";
            return Err(FilterError::new("programs", what));
        }
        if self.rule.threshold == 0 || self.rule.window <= SignedDuration::ZERO {
            return Err(FilterError::new("rule", "threshold and window are at least 1"));
        }
        if self.patterns.is_empty() {
            return Err(FilterError::new("pattern", "there is none"));
        }
        if !self.forgives.is_empty() && self.attempt.is_none() {
            let what = "it takes back what lines of the same attempt said, and `attempt` is not stated";
            return Err(FilterError::new("forgives", what));
        }
        if self.forgives.is_empty() == self.patterns.iter().any(|pattern| pattern.waits) {
            let what = "it takes back what patterns with `waits = true` said, so one needs the other";
            return Err(FilterError::new("forgives", what));
        }
        if self.longest.is_some() && self.whole.is_empty() {
            return Err(FilterError::new(
                "longest",
                "it says how far a message reaches that is not `whole`, which is not stated",
            ));
        }
        if self
            .longest
            .is_some_and(|longest| !(1..=MAX_LONGEST).contains(&longest))
        {
            return Err(FilterError::new(
                "longest",
                format!("expected 1 to {MAX_LONGEST} bytes"),
            ));
        }
        Ok(())
    }

    fn meanings(&self) -> Result<Vec<Meaning>, FilterError> {
        let mut meanings = Vec::new();
        for (at, table) in self.patterns.iter().enumerate() {
            for (number, text) in table.texts.iter().enumerate() {
                let pattern = Pattern::new(text, &self.fields, self.compile)
                    .map_err(|what| FilterError::new(format!("pattern[{at}].match[{number}]"), what))?;
                meanings.push(Meaning {
                    pattern,
                    class: table.event,
                    kind: table.kind.clone(),
                    is_echo: table.echo,
                    waits: table.waits,
                });
            }
        }
        Ok(meanings)
    }

    /// Returns what takes back what other lines said: with a client, and without.
    fn forgiving(&self) -> Result<(Vec<Pattern>, Vec<Admission>), FilterError> {
        let (mut patterns, mut admissions) = (Vec::new(), Vec::new());
        for (at, text) in self.forgives.iter().enumerate() {
            let error = |what: String| FilterError::new(format!("forgives[{at}]"), what);
            match Admission::is_one(text) {
                true => admissions.push(Admission::new(text, &self.fields, self.compile).map_err(error)?),
                false => patterns.push(Pattern::new(text, &self.fields, self.compile).map_err(error)?),
            }
        }
        Ok((patterns, admissions))
    }

    /// Patterns that blame nobody by themselves.
    fn places(&self, key: &str, texts: &[String]) -> Result<Vec<Pattern>, FilterError> {
        let compiled = texts.iter().enumerate().map(|(at, text)| {
            Pattern::new(text, &self.fields, self.compile)
                .map_err(|what| FilterError::new(format!("{key}[{at}]"), what))
        });
        compiled.collect()
    }

    fn heads(&self) -> Result<Heads, FilterError> {
        let programs = self.programs.iter().map(|program| regex_syntax::escape(program));
        let programs: Vec<_> = programs.map(|program| program.replace(r"\*", ".*")).collect();
        let programs = (!programs.is_empty()).then(|| Expression::whole(&programs.join("|"), self.compile));
        let own = self.heads.iter().enumerate().map(|(at, head)| {
            let head = expand(head, &self.fields);
            let head = head.and_then(|head| Expression::part(format!(r"\A(?:{head})"), self.compile));
            head.map_err(|what| FilterError::new(format!("heads[{at}]"), what))
        });
        Ok(Heads {
            programs: programs
                .transpose()
                .map_err(|what| FilterError::new("programs", what))?,
            own: own.collect::<Result<_, _>>()?,
        })
    }

    fn compiled(&self, key: &str, texts: &[String]) -> Result<Vec<Expression>, FilterError> {
        let compiled = texts.iter().enumerate().map(|(at, text)| {
            let text = expand(text, &self.fields).and_then(|text| Expression::whole(&text, self.compile));
            text.map_err(|what| FilterError::new(format!("{key}[{at}]"), what))
        });
        compiled.collect()
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_part)
}
