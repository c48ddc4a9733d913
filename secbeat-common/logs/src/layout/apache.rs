//! The syntax of Apache's `LogFormat`, which lighttpd and Tomcat have, too.

use super::{
    Part, PatternError,
    field::{Field, Kind, Role},
};

/// Splits a format into literal text and fields.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Parts::default();
    let mut rest = text.trim();
    while let Some(percent) = rest.find('%') {
        parts.text(&rest[..percent]);
        let directive = &rest[percent..];
        if let Some(after) = directive.strip_prefix("%%") {
            parts.text("%");
            rest = after;
            continue;
        }
        let len = directive_len(directive).ok_or(PatternError::NoName('%'))?;
        parts.directive(&directive[..len])?;
        rest = &directive[len..];
    }
    parts.text(rest);
    Ok(parts.0)
}

/// Bytes of a directive: `%`, conditions and flags, an argument in braces, and a letter.
fn directive_len(text: &str) -> Option<usize> {
    let is_flag = |c: char| c.is_ascii_digit() || matches!(c, '!' | ',' | '<' | '>' | '^');
    let flags = text[1..].find(|c| !is_flag(c))? + 1;
    let letter = match text[flags..].strip_prefix('{') {
        Some(argument) => flags + argument.find('}')? + 2,
        None => flags,
    };
    // `%^ti` and `%^to` have two letters.
    let letters = if text[..flags].ends_with('^') { 2 } else { 1 };
    let end = letter + letters;
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphabetic());
    text.get(letter..end).filter(|name| is_name(name)).map(|_| end)
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn text(&mut self, text: &str) {
        super::nginx::push_text(&mut self.0, text);
    }

    fn directive(&mut self, directive: &str) -> Result<(), PatternError> {
        let letter = directive
            .trim_end_matches(|c: char| c.is_ascii_alphabetic())
            .len();
        let letter = &directive[letter..];
        let argument = directive
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        let argument = argument.map_or("", |(argument, _)| argument);
        if letter == "t" {
            self.time(directive, argument);
            return Ok(());
        }
        let (role, kind, rank) = match (letter, argument) {
            ("a" | "h", "c") => (Role::Client, Kind::Address, 1),
            ("a" | "h", _) => (Role::Client, Kind::Address, 2),
            ("s", _) => (Role::Status, Kind::Status, u8::from(directive.contains('>'))),
            ("r", _) => (Role::Request, Kind::Free, 0),
            ("m", _) => (Role::Method, Kind::ClientToken, 0),
            ("U", _) => (Role::Path, Kind::Free, 0),
            ("v", _) => (Role::Host, Kind::Token, 0),
            ("V", _) => (Role::Host, Kind::ClientToken, 0),
            ("H", _) => (Role::Nothing, Kind::ClientToken, 0),
            ("i", name) => header(name),
            ("A" | "b" | "B" | "D" | "I" | "k" | "L" | "O" | "p" | "P" | "S" | "T" | "X", _) => {
                (Role::Nothing, Kind::Token, 0)
            }
            _ => (Role::Nothing, Kind::Free, 0),
        };
        self.0.push(Part::Field(Field {
            name: directive.to_owned(),
            role,
            kind,
            rank,
            quotes: None,
        }));
        Ok(())
    }

    /// `%t` writes brackets. A time may be of several directives, with a fraction or an offset of its own.
    fn time(&mut self, directive: &str, argument: &str) {
        if argument.is_empty() {
            self.text("[");
            self.push_time(directive);
            self.text("]");
            return;
        }
        let is_glue = |text: &str| text.chars().all(|c| matches!(c, ' ' | '.' | ',' | ':' | 'T'));
        let is_time = |part: &Part| matches!(part, Part::Field(field) if field.role == Role::Time);
        match self.0.as_slice() {
            [.., before, Part::Text(glue)] if is_time(before) && is_glue(glue) => {
                self.0.pop();
            }
            [.., before] if is_time(before) => {}
            _ => {
                if argument.starts_with('[') {
                    self.text("[");
                }
                self.push_time(directive);
            }
        }
        if argument.ends_with(']') {
            self.text("]");
        }
    }

    fn push_time(&mut self, directive: &str) {
        self.0.push(Part::Field(Field {
            name: directive.to_owned(),
            role: Role::Time,
            kind: Kind::Time,
            rank: 0,
            quotes: None,
        }));
    }
}

fn header(name: &str) -> (Role, Kind, u8) {
    match name.to_ascii_lowercase().as_str() {
        "x-forwarded-for" | "x-real-ip" => (Role::Client, Kind::AddressList, 0),
        "host" => (Role::Host, Kind::Free, 0),
        "user-agent" => (Role::UserAgent, Kind::Free, 0),
        "referer" => (Role::Referer, Kind::Free, 0),
        _ => (Role::Nothing, Kind::Free, 0),
    }
}
