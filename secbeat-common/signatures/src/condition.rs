//! Conditions of a signature.

use std::{ops::Range, sync::Arc};

use regex_automata::Input;
use serde::Deserialize;
use strum::VariantArray as _;

use crate::{
    expression::{self, Compile, Expression},
    literals::{required, shortest},
    signature::{Field, MAX_TEXT},
};

/// Least bytes of a literal: shorter ones are in most requests.
const MIN_LITERAL: usize = 3;
/// Most values of a condition.
const MAX_VALUES: usize = 64;
/// An expression is compared with so many bytes before and after the literal that calls for it.
pub(crate) const WINDOW: usize = 128;
/// A comparison with fewer bytes takes as long as one with so many.
const LEAST_COMPARED: usize = 64;

/// Whether a name is that of a script, by its end.
fn is_script(name: &[u8]) -> bool {
    /// The longest end.
    const LONGEST: usize = b".phtml".len();
    let end = &name[name.len().saturating_sub(LONGEST)..];
    let extension = memchr::memrchr(b'.', end).and_then(|dot| end.get(dot + 1..));
    extension.is_some_and(|extension| {
        matches!(
            extension,
            b"php"
                | b"php3"
                | b"php4"
                | b"php5"
                | b"php7"
                | b"phtml"
                | b"cgi"
                | b"pl"
                | b"asp"
                | b"aspx"
                | b"ashx"
                | b"cfm"
        )
    })
}

/// One value, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::More(values) => values,
        }
    }
}

/// A condition as it stands in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    #[serde(rename = "in")]
    fields: OneOrMore<String>,
    contains: Option<OneOrMore<String>>,
    starts: Option<OneOrMore<String>>,
    ends: Option<OneOrMore<String>>,
    equals: Option<OneOrMore<String>>,
    segment: Option<OneOrMore<String>>,
    glob: Option<OneOrMore<String>>,
    regex: Option<OneOrMore<String>>,
}

/// Holds if one of these fields has one of these values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    pub(crate) fields: Vec<Field>,
    pub(crate) values: Vec<Value>,
}

/// What a field may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Value {
    /// One of these is in it, at a place where `check` then holds.
    pub(crate) literals: Vec<Vec<u8>>,
    pub(crate) check: Check,
}

/// What must be true of a literal's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Check {
    Contains,
    Starts,
    Ends,
    Equals,
    /// Whole segments of a path.
    Segment,
    Expression(Arc<Expression>),
}

impl Written {
    /// The condition. With `is_trigger`, what it looks for can be found by a literal.
    pub(crate) fn compile(self, is_trigger: bool, when: Compile) -> Result<Condition, String> {
        let names = self.fields.into_vec();
        let fields: Vec<Field> = names.iter().map(|name| field(name)).collect::<Result<_, _>>()?;
        if fields.is_empty() {
            return Err("`in` names no field".to_owned());
        }
        if !is_trigger && fields.contains(&Field::Header) {
            return Err("`none` knows no field `header`".to_owned());
        }
        let checks = [
            (self.contains, Check::Contains),
            (self.starts, Check::Starts),
            (self.ends, Check::Ends),
            (self.equals, Check::Equals),
            (self.segment, Check::Segment),
        ];
        let mut values = Vec::new();
        for (texts, check) in checks {
            for text in texts.map(OneOrMore::into_vec).unwrap_or_default() {
                values.push(literal(&text, check.clone(), is_trigger)?);
            }
        }
        for glob in self.glob.map(OneOrMore::into_vec).unwrap_or_default() {
            values.push(expression(&glob, &expression_of(&glob), is_trigger, when)?);
        }
        for regex in self.regex.map(OneOrMore::into_vec).unwrap_or_default() {
            values.push(expression(&regex, &regex, is_trigger, when)?);
        }
        match values.len() {
            0 => Err(
                "a condition has one of `contains`, `starts`, `ends`, `equals`, `segment`, `glob` or `regex`"
                    .to_owned(),
            ),
            1..=MAX_VALUES => Ok(Condition { fields, values }),
            many => Err(format!(
                "{many} values in one condition, and there may be {MAX_VALUES}"
            )),
        }
    }
}

fn field(name: &str) -> Result<Field, String> {
    name.parse().map_err(|_| {
        let known = Field::VARIANTS
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        format!("unknown field `{name}`: expected one of {}", known.join(", "))
    })
}

fn literal(text: &str, check: Check, is_trigger: bool) -> Result<Value, String> {
    let least = if is_trigger { MIN_LITERAL } else { 1 };
    if !(least..=MAX_TEXT).contains(&text.len()) {
        return Err(format!(
            "`{text}` has {} bytes; a text has {least} to {MAX_TEXT}",
            text.len()
        ));
    }
    Ok(Value {
        literals: vec![text.to_ascii_lowercase().into_bytes()],
        check,
    })
}

/// A pattern in which `*` stands for any text and `?` for any byte, as an expression.
fn expression_of(glob: &str) -> String {
    let mut expression = "^".to_owned();
    for character in glob.chars().map(|character| character.to_ascii_lowercase()) {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            _ => expression.push_str(&regex_syntax::escape(character.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    expression
}

fn expression(shown: &str, expression: &str, is_trigger: bool, when: Compile) -> Result<Value, String> {
    if shown.len() > 2 * MAX_TEXT {
        return Err(format!(
            "an expression of {} bytes: at most {} are allowed",
            shown.len(),
            2 * MAX_TEXT
        ));
    }
    if let Some(letter) = upper_case(expression) {
        return Err(format!(
            "`{shown}`: text is compared in lower case, so `{letter}` is in none"
        ));
    }
    let said = |what: String| format!("`{shown}`: {what}");
    let hir = expression::parse(expression).map_err(said)?;
    let literals = required(&hir).unwrap_or_default();
    if is_trigger && (literals.is_empty() || shortest(&literals) < MIN_LITERAL) {
        return Err(format!(
            "`{shown}` matches texts that have no {MIN_LITERAL} given bytes in a row, by which it could be found"
        ));
    }
    let expression = Expression::new(expression, &hir, when).map_err(said)?;
    Ok(Value {
        literals,
        check: Check::Expression(Arc::new(expression)),
    })
}

/// The first letter of `expression` that is in no text of lower case; an escape such as `\S` is none.
fn upper_case(expression: &str) -> Option<char> {
    let mut escaped = false;
    expression.chars().find(|character| {
        let is_letter = character.is_ascii_uppercase() && !escaped;
        escaped = *character == '\\' && !escaped;
        is_letter
    })
}

/// Where around a literal from `begin` to `end` expressions are compared.
fn window(text: &[u8], begin: usize, end: usize) -> Range<usize> {
    begin.saturating_sub(WINDOW)..text.len().min(end + WINDOW)
}

impl Check {
    /// Whether it takes more than a glance.
    pub(crate) const fn is_expression(&self) -> bool {
        matches!(self, Self::Expression(_))
    }

    /// Returns how many bytes are compared for the literal in `text` from `begin` to `end`.
    pub(crate) fn cost(&self, text: &[u8], begin: usize, end: usize) -> usize {
        match self {
            Self::Expression(_) => window(text, begin, end).len().max(LEAST_COMPARED),
            _ => 0,
        }
    }

    /// Whether it holds for the literal in `text` from `begin` to `end`.
    pub(crate) fn holds(&self, text: &[u8], begin: usize, end: usize) -> bool {
        let starts = begin == 0;
        let ends = || end == text.len() || end_of_name(text, end, end + 1) == Some(end);
        match self {
            Self::Contains => true,
            Self::Starts => starts,
            Self::Ends => ends(),
            Self::Equals => starts && ends(),
            Self::Segment => {
                let is_border = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == b'/');
                is_border(begin.checked_sub(1).and_then(|before| text.get(before)))
                    && is_border(text.get(end))
            }
            Self::Expression(expression) => {
                let Range {
                    start: first,
                    end: last,
                } = window(text, begin, end);
                let is_match = |text: &[u8], last| expression.is_match(Input::new(text).range(first..last));
                is_match(text, last)
                    || end_of_name(text, begin, last).is_some_and(|name| is_match(&text[..name], name))
            }
        }
    }
}

/// Returns where between `from` and `to` a name ends that more follows: a script's before what servers hand it as path info
/// (RFC 3875, section 4.1.5), or any before a slash at the end.
fn end_of_name(text: &[u8], from: usize, to: usize) -> Option<usize> {
    let range = text.get(from..to.min(text.len()))?;
    let mut slashes = memchr::memchr_iter(b'/', range).map(|place| from + place);
    let is_end = |slash: &usize| slash + 1 == text.len() || is_script(&text[..*slash]);
    slashes.find(is_end)
}

/// Returns what a path leads to: without the path info of its first script, which runs whatever that is. Scripts that lead to
/// pages of their own by it keep it.
pub(crate) fn without_path_info(path: &[u8]) -> &[u8] {
    /// Names of front controllers, and of programs that show code.
    const LEADING: [&[u8]; 10] = [
        b"/index.php",
        b"/remote.php",
        b"/public.php",
        b"/ocs/v1.php",
        b"/ocs/v2.php",
        b"/gitweb.cgi",
        b"/cgit.cgi",
        b"/viewvc.cgi",
        b"/hgweb.cgi",
        b"/trac.cgi",
    ];
    const PROGRAMS: &[u8] = b"/cgi-bin/";
    // Domains of Poland are folders as well.
    let programs = memchr::memmem::find(path, PROGRAMS).map(|at| at + PROGRAMS.len());
    let is_domain = |name: &[u8]| {
        name.ends_with(b".pl")
            && !name.ends_with(b"/index.pl")
            && programs.is_none_or(|programs| programs > name.len())
    };
    let leads = |name: &[u8]| LEADING.iter().any(|leading| name.ends_with(leading));
    let mut names = memchr::memchr_iter(b'/', path).map(|slash| &path[..slash]);
    names
        .find(|name| is_script(name) && !leads(name) && !is_domain(name))
        .unwrap_or(path)
}

impl Condition {
    /// The part of it that is about such fields.
    pub(crate) fn part(&self, is_of: fn(Field) -> bool) -> Option<Self> {
        let fields = self.fields.iter().copied();
        let fields: Vec<_> = fields.filter(|field| is_of(*field)).collect();
        (!fields.is_empty()).then(|| Self {
            fields,
            values: self.values.clone(),
        })
    }

    /// Whether all that it looks for are literals long enough to be looked for with many others.
    pub(crate) fn has_literals_alone(&self) -> bool {
        self.values.iter().all(|value| {
            !matches!(value.check, Check::Expression(_)) && shortest(&value.literals) >= MIN_LITERAL
        })
    }

    /// Whether `text` has one of the values, looked for by itself.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.values.iter().any(|value| match &value.check {
            Check::Expression(expression) => expression.is_match(Input::new(text)),
            check => value.literals.iter().any(|literal| {
                let mut places = memchr::memmem::find_iter(text, literal);
                places.any(|begin| check.holds(text, begin, begin + literal.len()))
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_first_script_and_folders_called_as_domains_are_none() {
        for (path, leads_to) in [
            ("/a.php/x", "/a.php"),
            ("/a/b.phtml/c.php/x", "/a/b.phtml"),
            ("/a.phpx/x", "/a.phpx/x"),
            ("/index.php/a.php/x", "/index.php/a.php"),
            ("/www.example.pl/x", "/www.example.pl/x"),
            ("/cgi-bin/a.pl/x", "/cgi-bin/a.pl"),
            ("/www.example.pl/cgi-bin/a.pl/x", "/www.example.pl/cgi-bin/a.pl"),
            ("/index.pl/x", "/index.pl"),
            ("/a.php", "/a.php"),
        ] {
            assert_eq!(without_path_info(path.as_bytes()), leads_to.as_bytes(), "{path}");
        }
    }

    #[test]
    fn what_is_compared_costs_as_many_bytes_and_no_less_than_a_few() {
        let hir = expression::parse("abc").unwrap();
        let expression = Expression::new("abc", &hir, Compile::Now).unwrap();
        let check = Check::Expression(Arc::new(expression));
        let text = [b'x'; 1000];
        assert_eq!(check.cost(b"abc", 0, 3), LEAST_COMPARED);
        assert_eq!(check.cost(&text, 500, 503), 2 * WINDOW + 3);
        assert_eq!(Check::Contains.cost(&text, 500, 503), 0);
    }
}
