//! Files of signatures.

use std::collections::HashSet;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    condition::{Condition, OneOrMore, Written},
    expression::Compile,
    problem::Problem,
    request::Sample,
    signature::{Class, MAX_ID, MAX_TEXT, Severity, Signature},
};

/// Most bytes of a file.
pub const MAX_FILE: usize = 1024 * 1024;
/// Most conditions, methods, statuses, references and samples of a signature, each.
const MAX_LIST: usize = 32;

/// A file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFile {
    /// What problems call it.
    pub name: String,
    /// TOML.
    pub text: String,
}

/// A signature, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) signature: Signature,
    /// Any, where there is none.
    pub(crate) methods: Vec<String>,
    /// From and to; any, where there is none.
    pub(crate) statuses: Vec<(u16, u16)>,
    pub(crate) all: Vec<Condition>,
    pub(crate) any: Vec<Condition>,
    pub(crate) none: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Conditions under which none of its signatures matches.
    #[serde(default)]
    none: Vec<Written>,
    #[serde(default)]
    signature: Vec<Spanned<toml::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    id: String,
    title: String,
    class: Class,
    severity: Severity,
    reference: OneOrMore<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    statuses: Vec<StatusText>,
    #[serde(default)]
    all: Vec<Written>,
    #[serde(default)]
    any: Vec<Written>,
    #[serde(default)]
    none: Vec<Written>,
    #[serde(default)]
    must: Vec<Sample>,
    #[serde(default)]
    must_not: Vec<Sample>,
}

/// `404`, or `"4xx"`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a status, such as 404, or a class, such as \"4xx\""
)]
enum StatusText {
    Number(u16),
    Class(String),
}

impl StatusText {
    fn range(&self) -> Result<(u16, u16), String> {
        match self {
            Self::Number(status @ 100..=599) => Ok((*status, *status)),
            Self::Number(status) => Err(format!("invalid status {status}: expected 100 to 599")),
            Self::Class(text) => {
                let class = text
                    .strip_suffix("xx")
                    .and_then(|digit| digit.parse::<u16>().ok());
                match class {
                    Some(class @ 1..=5) => Ok((class * 100, class * 100 + 99)),
                    _ => Err(format!(
                        "invalid class of statuses `{text}`: expected one such as \"4xx\""
                    )),
                }
            }
        }
    }
}

impl SignatureFile {
    /// Its signatures; what is wrong goes to `problems`, each thing once. `taken` has the ids of other files.
    pub(crate) fn parse(
        &self,
        taken: &mut HashSet<String>,
        problems: &mut Vec<Problem>,
        when: Compile,
    ) -> Vec<Parsed> {
        let problem = |line, id, message| Problem {
            file: self.name.clone(),
            line,
            id,
            message,
        };
        if self.text.len() > MAX_FILE {
            let message = format!("{} bytes; a file has at most {MAX_FILE}", self.text.len());
            problems.push(problem(None, None, message));
            return Vec::new();
        }
        let file: File = match toml::from_str(&self.text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.span().map(|span| self.line_of(span.start));
                problems.push(problem(line, None, error.message().to_owned()));
                return Vec::new();
            }
        };
        let none = match conditions(file.none, false, when) {
            Ok(none) => none,
            Err(message) => {
                problems.push(problem(None, None, message));
                return Vec::new();
            }
        };
        let mut parsed = Vec::new();
        for table in file.signature {
            let line = self.line_of(table.span().start);
            let table = table.into_inner();
            let id = table.get("id").and_then(toml::Value::as_str).map(str::to_owned);
            let signature = Table::deserialize(toml::Value::Table(table))
                .map_err(|error| error.message().to_owned())
                .and_then(|table| table.check(&self.name, line, &none, when));
            match signature {
                Ok(signature) if !taken.insert(signature.signature.id.clone()) => {
                    problems.push(problem(
                        Some(line),
                        id,
                        "another signature has this id".to_owned(),
                    ));
                }
                Ok(signature) => parsed.push(signature),
                Err(message) => problems.push(problem(Some(line), id, message)),
            }
        }
        parsed
    }

    /// The line, from 1 on, that the byte at `offset` is in.
    fn line_of(&self, offset: usize) -> usize {
        let text = self.text.as_bytes();
        1 + memchr::memchr_iter(b'\n', &text[..offset.min(text.len())]).count()
    }
}

fn conditions(written: Vec<Written>, is_trigger: bool, when: Compile) -> Result<Vec<Condition>, String> {
    let compile = |condition: Written| condition.compile(is_trigger, when);
    written.into_iter().map(compile).collect()
}

impl Table {
    /// The signature at `line` of the file called `file`, under whose `none` it does not match.
    fn check(self, file: &str, line: usize, none: &[Condition], when: Compile) -> Result<Parsed, String> {
        let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.id.is_empty() || self.id.len() > MAX_ID || !self.id.bytes().all(is_id) {
            return Err(format!(
                "an id has 1 to {MAX_ID} lower-case letters, digits and hyphens"
            ));
        }
        let references = self.reference.into_vec();
        let is_text =
            |text: &String| (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
        if !is_text(&self.title) || !references.iter().all(is_text) || references.is_empty() {
            return Err(format!(
                "a title and a reference are one line of at most {MAX_TEXT} bytes"
            ));
        }
        let lists = [
            ("reference", references.len()),
            ("methods", self.methods.len()),
            ("statuses", self.statuses.len()),
            ("all", self.all.len()),
            ("any", self.any.len()),
            ("none", self.none.len()),
            ("must", self.must.len()),
            ("must_not", self.must_not.len()),
        ];
        if let Some((key, len)) = lists.into_iter().find(|(_, len)| *len > MAX_LIST) {
            return Err(format!("{len} entries in `{key}`, and there may be {MAX_LIST}"));
        }
        if self.all.is_empty() && self.any.is_empty() {
            return Err("no condition in `all` or `any`".to_owned());
        }
        Ok(Parsed {
            all: conditions(self.all, true, when)?,
            any: conditions(self.any, true, when)?,
            none: [conditions(self.none, false, when)?, none.to_vec()].concat(),
            statuses: self
                .statuses
                .iter()
                .map(StatusText::range)
                .collect::<Result<_, _>>()?,
            methods: self.methods,
            signature: Signature {
                id: self.id,
                title: self.title,
                class: self.class,
                severity: self.severity,
                references,
                file: file.to_owned(),
                line,
                must: self.must,
                must_not: self.must_not,
            },
        })
    }
}
