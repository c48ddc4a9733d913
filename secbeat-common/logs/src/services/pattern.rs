//! One pattern of a filter: what stands before the client's address, and what behind it.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{
    addresses::addresses,
    lazy::{Compile, Expression, one_line},
};

/// Shortest text that is worth looking for beforehand, in bytes.
const MIN_LITERAL: usize = 3;
/// Addresses of one line that are tried in full. More of them stand where the client's does only where a layout is open.
const MAX_TRIED: usize = 64;
/// Position of the client's address.
const CLIENT: &str = "{client}";
/// The group of the account that the service says a login is for.
const ACCOUNT: &str = "(?P<account>";

/// Fields that every pattern may name.
const FIELDS: [(&str, &str); 8] = [
    // What a client wrote: it may hold anything.
    ("user", "(?P<user>.*)"),
    ("text", ".*"),
    ("session", r"(?P<session>[^\s>]*)"),
    // The program that a line of another is about, as PAM names it.
    ("service", r"(?P<service>[\w.-]+)"),
    ("port", r"\d{1,5}"),
    ("host", r"[0-9A-Za-z._:%-]*"),
    // Inside of a string of JSON, or of a text that escapes quotes as that does.
    ("json", r#"(?:[^"\\]|\\.)*"#),
    ("word", r"\S*"),
];

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The whole message, with anything without spaces as the client.
    whole: Expression,
    before: Expression,
    behind: Expression,
    /// What `before` ends with at any rate.
    tail: Vec<u8>,
    /// What each message holds that it matches; empty if that is not known.
    pub(super) literal: Vec<u8>,
    /// A text of any length and any bytes may stand before the address, perhaps one that a client chose.
    pub(super) is_open_before: bool,
}

/// What a pattern says of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'t> {
    No,
    /// It matches, with something as the client that is not an address.
    NoAddress,
    One(Client<'t>),
    /// More than one address can be the client.
    Several,
}

/// The client of a message, and what else the pattern names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client<'t> {
    pub(super) address: IpAddr,
    pub(super) user: Option<Cow<'t, str>>,
    pub(super) account: Option<Cow<'t, str>>,
    pub(super) session: Option<Cow<'t, str>>,
    pub(super) service: Option<Cow<'t, str>>,
    /// When it was logged, where the service writes that within the message.
    pub(super) time: Option<&'t [u8]>,
}

impl Pattern {
    /// Reads `text`, in which `{name}` is a field: one of `fields`, or of those that each filter has.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn new(text: &str, fields: &BTreeMap<String, String>, when: Compile) -> Result<Self, String> {
        let parts: Vec<_> = text.split(CLIENT).collect();
        let [before, behind] = parts[..] else {
            return Err(format!(
                "{CLIENT} stands in it {} times, and must stand once",
                parts.len() - 1
            ));
        };
        let (before, behind) = (expand(before, fields)?, expand(behind, fields)?);
        let (before_hir, behind_hir) = (parse(&before)?, parse(&behind)?);
        Ok(Self {
            whole: Expression::whole(&format!(r#"(?:{before})[^\s"'<>]*(?:{behind})"#), when)?,
            tail: last_literal(&before_hir),
            is_open_before: holds_any_text(&before_hir),
            before: Expression::whole(&before, when)?,
            behind: Expression::whole(&behind, when)?,
            literal: literal(&[&before_hir, &behind_hir]),
        })
    }

    pub(super) fn find<'t>(&self, message: &'t [u8]) -> Found<'t> {
        if !self.whole.is_match(message) {
            return Found::No;
        }
        let (mut found, mut tried) = (None::<Client<'t>>, 0);
        for (range, address) in addresses(message) {
            let (before, behind) = (&message[..range.start], &message[range.end..]);
            if !before.ends_with(&self.tail) {
                continue;
            }
            tried += 1;
            if tried > MAX_TRIED {
                return Found::Several;
            }
            let Some(behind) = self.behind.captures(behind) else {
                continue;
            };
            let Some(before) = self.before.captures(before) else {
                continue;
            };
            if found.as_ref().is_some_and(|found| found.address != address) {
                return Found::Several;
            }
            let bytes = |name: &str| Some(before.name(name).or_else(|| behind.name(name))?.as_bytes());
            let field = |name: &str| bytes(name).map(String::from_utf8_lossy);
            found = Some(Client {
                address,
                user: field("user"),
                account: field("account"),
                session: field("session"),
                service: field("service"),
                time: bytes("time"),
            });
        }
        found.map_or(Found::NoAddress, Found::One)
    }
}

/// A message that says of an account of the host, and of no address, that somebody got in.
#[derive(Debug)]
pub(super) struct Admission {
    whole: Expression,
    /// As that of a [`Pattern`].
    pub(super) literal: Vec<u8>,
}

impl Admission {
    /// Whether `text` is for an [`Admission`], and not for a [`Pattern`].
    pub(super) fn is_one(text: &str) -> bool {
        !text.contains(CLIENT) && text.contains(ACCOUNT)
    }

    /// Reads `text`, as [`Pattern::new`] does.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn new(text: &str, fields: &BTreeMap<String, String>, when: Compile) -> Result<Self, String> {
        let text = expand(text, fields)?;
        Ok(Self {
            literal: literal(&[&parse(&text)?]),
            whole: Expression::whole(&text, when)?,
        })
    }

    /// The account that `message` names.
    pub(super) fn account<'t>(&self, message: &'t [u8]) -> Option<Cow<'t, str>> {
        let account = self.whole.captures(message)?.name("account")?;
        Some(String::from_utf8_lossy(account.as_bytes()))
    }
}

fn parse(text: &str) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new();
    let parser = parser.unicode(false).utf8(false).dot_matches_new_line(true);
    parser
        .build()
        .parse(text)
        .map_err(|error| one_line(&error.to_string()))
}

/// `text` with fields in place of their names.
///
/// # Errors
///
/// Returns an error if it names a field that there is not.
pub(super) fn expand(text: &str, fields: &BTreeMap<String, String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        expanded.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        let name = after.split('}').next().unwrap_or_default();
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_name && after.len() > name.len() {
            let known = FIELDS
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, text)| *text);
            let field = fields.get(name).map(String::as_str).or(known);
            expanded.push_str(field.ok_or_else(|| format!("there is no field {{{name}}}"))?);
            rest = &after[name.len() + 1..];
        } else {
            expanded.push('{');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The parts of an expression that come one after the other.
fn sequence(hir: &Hir) -> &[Hir] {
    match hir.kind() {
        HirKind::Concat(parts) => parts,
        _ => std::slice::from_ref(hir),
    }
}

/// The longest text that each match of all the parts holds; empty if that is not known, or too short to look for.
fn literal(parts: &[&Hir]) -> Vec<u8> {
    let longest = parts
        .iter()
        .filter_map(|part| longest_literal(part))
        .max_by_key(Vec::len);
    longest
        .filter(|literal| literal.len() >= MIN_LITERAL)
        .unwrap_or_default()
}

fn longest_literal(hir: &Hir) -> Option<Vec<u8>> {
    let literals = sequence(hir).iter().filter_map(|part| match part.kind() {
        HirKind::Literal(literal) => Some(literal.0.to_vec()),
        _ => None,
    });
    literals.max_by_key(Vec::len)
}

/// Whether a part of it matches a text of any length and any bytes.
fn holds_any_text(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(repeated) => {
            (repeated.max.is_none() && is_any_byte(&repeated.sub)) || holds_any_text(&repeated.sub)
        }
        HirKind::Capture(captured) => holds_any_text(&captured.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(holds_any_text),
        _ => false,
    }
}

fn is_any_byte(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Bytes(class)) => {
            matches!(class.ranges(), [all] if (all.start(), all.end()) == (0, u8::MAX))
        }
        _ => false,
    }
}

fn last_literal(hir: &Hir) -> Vec<u8> {
    match sequence(hir).last().map(Hir::kind) {
        Some(HirKind::Literal(literal)) => literal.0.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<Pattern, String> {
        Pattern::new(text, &BTreeMap::new(), Compile::Now)
    }

    #[test]
    fn the_longest_text_is_looked_for_beforehand() {
        for (text, literal) in [
            ("Failed .* from {client} port", "Failed "),
            ("(?:a|bc)x from {client}, and more", ", and more"),
            ("(?i)failed {client}", ""),
        ] {
            assert_eq!(pattern(text).unwrap().literal, literal.as_bytes(), "{text}");
        }
    }

    #[test]
    fn an_account_may_be_admitted_without_an_address() {
        let text = r"x\(a\): user '(?P<account>.*)' let in";
        assert!(Admission::is_one(text));
        assert!(!Admission::is_one("user '(?P<account>.*)' of {client}"));
        assert!(!Admission::is_one("nobody"));
        let admission = Admission::new(text, &BTreeMap::new(), Compile::Now).unwrap();
        assert_eq!(admission.literal, b"x(a): user '");
        let account = |message: &'static str| admission.account(message.as_bytes());
        assert_eq!(account("x(a): user 'bob' let in").as_deref(), Some("bob"));
        assert_eq!(account("y x(a): user 'bob' let in"), None);
    }

    #[test]
    fn a_text_of_any_length_before_the_address_is_known() {
        for (text, expected) in [
            ("a {user} from {client}", true),
            ("a (?:b .*|c)? from {client}", true),
            ("a {host} {word} {json} from {client} {text}", false),
        ] {
            assert_eq!(pattern(text).unwrap().is_open_before, expected, "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_client() {
        let open = pattern("a {user} from {client} b {text}").unwrap();
        let is_several = |line: &str| open.find(line.as_bytes()) == Found::Several;
        assert!(is_several("a x from 192.0.2.1 b from 192.0.2.2 b "));
        assert!(!is_several("a x from 192.0.2.1 b from 192.0.2.1 b "));
        assert_eq!(open.find(b"a x from host.example b "), Found::NoAddress);
        assert_eq!(open.find(b"a x from 192.0.2.1 c "), Found::No);
        let many = "from 192.0.2.1 b ".repeat(MAX_TRIED + 1);
        assert!(is_several(&format!("a {many}")), "bounded");
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        for (text, error) in [
            ("x", "{client} stands in it 0 times, and must stand once"),
            (
                "{client} {client}",
                "{client} stands in it 2 times, and must stand once",
            ),
            ("{nobody} {client}", "there is no field {nobody}"),
            ("({client})", "unclosed group"),
            ("a{client}**{", "repetition operator missing expression"),
        ] {
            assert_eq!(pattern(text).unwrap_err(), error, "{text}");
        }
    }
}
