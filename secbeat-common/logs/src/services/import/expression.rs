//! Expressions of fail2ban, which are Python's, as patterns.

use super::{
    PREFIX,
    structure::{branches, close_of, group_around},
};
use crate::services::lazy::{Compile, Expression};

/// Position of the client's address.
const HOST: char = '\u{2}';
/// Where what `prefregex` leaves is looked at.
const CONTENT: char = '\u{3}';
/// Patterns that one expression may become.
const MAX_PATTERNS: usize = 32;

/// How the line that a pattern matches begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Syslog,
    /// `[]`, of which the date was taken out.
    Brackets,
    /// What follows the date.
    Bare,
    /// The line itself: the date stands within it.
    Whole,
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) begin: Begin,
}

/// The patterns that say what `expression` does behind `prefix`, one for each place that the address can have.
///
/// # Errors
///
/// Why there are none.
pub(super) fn patterns(prefix: Option<&str>, expression: &str) -> Result<Vec<Translated>, String> {
    for tag in ["<F-NOFAIL>", "<F-MLFFORGET>", "<F-MLFGAINED>"] {
        if expression.contains(tag) {
            return Err(format!("{tag} marks a line that is not a failure by itself"));
        }
    }
    let (flags, expression) = flagged(expression);
    let own = anchored(&converted(expression)?);
    let whole = match prefix {
        None => own,
        Some(prefix) => {
            let prefix = anchored(&converted(prefix)?);
            let (before, behind) = prefix.split_once(CONTENT).ok_or("prefregex has no <F-CONTENT>")?;
            format!("{before}(?:{own}){behind}")
        }
    };
    let found = hoisted(&whole)?;
    if found.is_empty() {
        return Err("it names no <HOST>".to_owned());
    }
    let finished = found.into_iter().map(|text| finished(&text));
    finished
        .map(|pattern| {
            pattern.map(|Translated { text, begin }| Translated {
                text: format!("{flags}{text}"),
                begin,
            })
        })
        .collect()
}

/// The flags that an expression begins with, as far as they mean the same to us, and the rest.
fn flagged(expression: &str) -> (String, &str) {
    let flags = expression
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'));
    match flags.filter(|(flags, _)| !flags.is_empty() && flags.bytes().all(|flag| b"aiLmsux".contains(&flag)))
    {
        Some((flags, rest)) => {
            let known: String = flags.chars().filter(|flag| "imsx".contains(*flag)).collect();
            let known = if known.is_empty() {
                known
            } else {
                format!("(?{known})")
            };
            (known, rest)
        }
        None => (String::new(), expression),
    }
}

/// Returns what `ignoreregex` says, for a whole message: at least what it says there.
///
/// # Errors
///
/// Why it cannot be said.
pub(super) fn ignored(expression: &str) -> Result<String, String> {
    let (flags, expression) = flagged(expression);
    let mut text = anchored(&converted(expression)?)
        .replace(PREFIX, "")
        .replace(HOST, r"\S*");
    // The date may stand in these, or have been taken out with them.
    while let Some(at) = empty_brackets(&text) {
        text.replace_range(at..at + r"\[\]".len(), r"(?:\[[^\]]*\])?");
    }
    // As a pattern's, a message may begin and end with spaces.
    let text = format!(r"{flags}\s*(?:{text})\s*");
    Expression::whole(&text, Compile::Now)?;
    Ok(text)
}

fn finished(text: &str) -> Result<Translated, String> {
    // A tag around it means nothing to us.
    let text = head_first(text.replace(&format!("(?:{PREFIX})"), PREFIX));
    let (text, begin) = match text.strip_prefix(PREFIX) {
        Some(rest) => (format!(r"\s*{rest}"), Begin::Syslog),
        None => match text.strip_prefix(r"\[\]") {
            Some(rest) => (rest.to_owned(), Begin::Brackets),
            None => within(text),
        },
    };
    if text.contains(PREFIX) {
        return Err("syslog's head does not stand at its begin".to_owned());
    }
    // An address ends where a word does at any rate, but not where it is in brackets.
    let text = text.replace(&format!(r"{HOST}\b"), &HOST.to_string());
    if text.contains(&format!(r"{HOST}\.\d")) {
        return Err("a port follows <HOST> behind a full stop, where no address ends here".to_owned());
    }
    let mut seen = false;
    // A name can be given once.
    let parts = text.split("(?P<user>").enumerate().map(|(at, part)| match at {
        0 => part.to_owned(),
        _ if !std::mem::replace(&mut seen, true) => format!("(?P<user>{part}"),
        _ => format!("(?:{part}"),
    });
    let text: String = parts.collect();
    Ok(Translated {
        text: text.replace(HOST, r"\[?{client}\]?"),
        begin,
    })
}

/// With syslog's head, where it stands at the begin of groups, before these.
fn head_first(text: String) -> String {
    let inner = text.trim_start_matches("(?:");
    let Some(rest) = inner.strip_prefix(PREFIX) else {
        return text;
    };
    let (groups, _) = text.split_at(text.len() - inner.len());
    let is_always_there = |open: usize| {
        close_of(&text, open).is_some_and(|close| {
            let is_repeated = text[close + 1..].starts_with(['?', '*', '+', '{']);
            branches(&text[open + "(?:".len()..close]).len() == 1 && !is_repeated
        })
    };
    let mut opens = (0..groups.len()).step_by("(?:".len());
    match opens.all(is_always_there) {
        true => format!("{PREFIX}{groups}{rest}"),
        false => text,
    }
}

/// Returns what a message matches if a host's name stands in the address's place of `text`, a pattern, and another address may
/// follow, as in `<HOST>( via \S+)?`: fail2ban blames the name, so a message of these blames nobody.
pub(super) fn by_name(text: &str) -> Option<String> {
    let (before, behind) = text.split_once(r"\[?{client}\]?")?;
    let close = behind.starts_with('(').then(|| close_of(behind, 0))??;
    let (group, rest) = behind.split_at(close + 1);
    let rest = rest.strip_prefix('?').filter(|_| group.ends_with(r"\S+)"))?;
    Some(format!(r"{before}[\w.-]*[A-Za-z_][\w.-]*{group}{rest}"))
}

/// Returns how a text begins that names no head: where it has `[]`, of which the date was taken out, or where the address comes
/// first, the date stands in the line.
fn within(text: String) -> (String, Begin) {
    if let Some(at) = empty_brackets(&text) {
        let (before, behind) = (&text[..at], &text[at + r"\[\]".len()..]);
        return (format!(r"{before}\[(?P<time>[^\]]*)\]{behind}"), Begin::Whole);
    }
    match text.trim_start_matches(r"\s*").starts_with(HOST) {
        true => (text, Begin::Whole),
        false => (text, Begin::Bare),
    }
}

/// Returns where the first `\[\]` stands that is not in a class.
fn empty_brackets(text: &str) -> Option<usize> {
    let (mut in_class, mut at) = (false, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if !in_class && text[at..].starts_with(r"\[\]") => return Some(at),
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Without what anchors it, and with what it does without: each branch by itself.
fn anchored(text: &str) -> String {
    let branches: Vec<_> = branches(text).into_iter().map(anchored_branch).collect();
    branches.join("|")
}

fn anchored_branch(text: &str) -> String {
    let (begin, rest) = match text.strip_prefix('^') {
        Some(rest) => ("", rest),
        None => (".*", text),
    };
    match rest.strip_suffix('$').filter(|rest| !rest.ends_with('\\')) {
        Some(rest) => format!("{begin}{rest}"),
        None => format!("{begin}{rest}.*"),
    }
}

/// In words of our expressions.
fn converted(text: &str) -> Result<String, String> {
    let text = tagged(&with_tags(text))?;
    let text = without_lazy_lookahead(&text);
    let mut converted = String::new();
    let mut chars = text.char_indices().peekable();
    let mut in_class = false;
    while let Some((at, char)) = chars.next() {
        let rest = &text[at..];
        match char {
            '\\' => {
                let Some((_, escaped)) = chars.next() else { break };
                match escaped {
                    // There they are the begin and the end of a word.
                    '<' | '>' => converted.push(escaped),
                    'Z' => converted.push('$'),
                    '1'..='9' if !in_class => return Err("it refers to what it matched before".to_owned()),
                    _ => converted.extend(['\\', escaped]),
                }
            }
            '[' if in_class => converted.push_str(r"\["),
            '[' => {
                in_class = true;
                converted.push('[');
                // A bracket that closes nothing may come first.
                for first in ['^', ']'] {
                    if chars.peek().is_some_and(|(_, char)| *char == first) {
                        chars.next();
                        converted.push_str(if first == ']' { r"\]" } else { "^" });
                    }
                }
            }
            ']' if in_class => {
                in_class = false;
                converted.push(']');
            }
            // Sets of two classes are Rust's alone.
            '&' | '~' if in_class => converted.extend(['\\', char]),
            // Up to so many.
            '{' if !in_class && rest.starts_with("{,") && is_quantifier(&format!("{{0{}", &rest[1..])) => {
                converted.push_str("{0");
            }
            '{' if in_class || !is_quantifier(rest) => converted.push_str(r"\{"),
            '(' if !in_class => {
                let forbidden = [
                    ("(?=", "ahead"),
                    ("(?!", "ahead"),
                    ("(?<=", "behind"),
                    ("(?<!", "behind"),
                ];
                if let Some((_, where_to)) = forbidden.iter().find(|(begin, _)| rest.starts_with(begin)) {
                    return Err(format!("it looks {where_to}"));
                }
                if rest.starts_with("(?(") || rest.starts_with("(?P=") {
                    return Err("one part of it depends on another".to_owned());
                }
                converted.push('(');
                if let Some(name) = rest.strip_prefix("(?P<").and_then(|rest| rest.split('>').next())
                    && name != "user"
                {
                    converted.push_str("?:");
                    for _ in 0.."?P<>".len() + name.len() {
                        chars.next();
                    }
                }
            }
            _ => converted.push(char),
        }
    }
    Ok(converted)
}

/// With `<HOST>` in place of groups with the names that it has in fail2ban.
fn with_tags(text: &str) -> String {
    let mut text = text.to_owned();
    for group in ["(?P<host>", "(?P<ip4>", "(?P<ip6>"] {
        while let Some(at) = text.find(group)
            && let Some(close) = close_of(&text, at)
        {
            let before = &text[..at];
            // As `<HOST>` was written out once.
            let before = before.strip_suffix("(?:::f{4,6}:)?").unwrap_or(before);
            text = format!("{before}<HOST>{}", &text[close + 1..]);
        }
    }
    text
}

/// With groups and marks in place of fail2ban's tags.
fn tagged(text: &str) -> Result<String, String> {
    let mut tagged = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        tagged.push_str(before);
        let is_escaped = before.ends_with('\\') || before.ends_with("(?P") || before.ends_with("(?");
        let end = tag.find('>').filter(|_| !is_escaped);
        let name = end.map(|end| &tag[1..end]);
        let length = match name {
            Some("HOST" | "ADDR" | "IP4" | "IP6") => {
                tagged.push(HOST);
                end
            }
            Some("F-CONTENT") => {
                tagged.push(CONTENT);
                let close = "</F-CONTENT>";
                tag.find(close).map(|at| at + close.len() - 1)
            }
            Some("F-USER") => {
                tagged.push_str("(?P<user>");
                end
            }
            Some("SKIPLINES") => return Err("<SKIPLINES> is of several lines".to_owned()),
            Some("DNS" | "CIDR" | "SUBNET" | "F-ID") => {
                return Err(format!(
                    "<{}> is not the address of a client",
                    name.unwrap_or_default()
                ));
            }
            Some(name) if name.starts_with("F-") && name.ends_with('/') => {
                tagged.push_str(r"\w+");
                end
            }
            Some(name) if name.starts_with("F-") => {
                tagged.push_str("(?:");
                end
            }
            Some(name) if name.starts_with("/F-") => {
                tagged.push(')');
                end
            }
            _ => {
                tagged.push('<');
                Some(0)
            }
        };
        rest = &tag[length.unwrap_or(0) + 1..];
    }
    tagged.push_str(rest);
    Ok(tagged)
}

/// With `.*` in place of `(?:(?!text).)*`: a text that stops before another is found at each place that it can have.
fn without_lazy_lookahead(text: &str) -> String {
    let mut changed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("(?:(?!") {
        changed.push_str(&rest[..at]);
        let after = &rest[at..];
        let end = after
            .find(").)")
            .filter(|end| !after[6..*end].contains(['(', ')']));
        let repeated = end.and_then(|end| after[end + 3..].strip_prefix(['*', '+']));
        match repeated {
            Some(behind) => {
                changed.push_str(".*");
                rest = behind.strip_prefix('?').unwrap_or(behind);
            }
            None => {
                changed.push_str("(?:(?!");
                rest = &after[6..];
            }
        }
    }
    changed.push_str(rest);
    changed
}

/// Whether `text` begins with `{2}`, `{2,}` or `{2,3}`.
fn is_quantifier(text: &str) -> bool {
    let inner = text[1..].split('}').next().unwrap_or_default();
    let has_end = text.len() > inner.len() + 1;
    has_end
        && inner.starts_with(|char: char| char.is_ascii_digit())
        && inner.chars().all(|char| char.is_ascii_digit() || char == ',')
}

/// The expressions in which the address stands in no group, that together match all that `text` matches with an address.
fn hoisted(text: &str) -> Result<Vec<String>, String> {
    let branches = branches(text);
    if branches.len() > 1 {
        let mut all = Vec::new();
        for branch in branches.into_iter().filter(|branch| branch.contains(HOST)) {
            all.extend(hoisted(branch)?);
        }
        return bounded(all);
    }
    let Some(at) = text.find(HOST) else {
        return Ok(Vec::new());
    };
    let Some((open, close)) = group_around(text, at) else {
        return match text.matches(HOST).count() {
            1 => Ok(vec![text.to_owned()]),
            _ => Err("<HOST> stands in it more than once".to_owned()),
        };
    };
    let (before, behind) = (&text[..open], &text[close + 1..]);
    // Without an address it blames nobody, so what is optional has to be there.
    let behind = match behind.chars().next() {
        Some('*' | '+') => return Err("<HOST> stands in what is repeated".to_owned()),
        Some('?') => behind[1..].strip_prefix('?').unwrap_or(&behind[1..]),
        Some('{') if is_quantifier(behind) => return Err("<HOST> stands in what is repeated".to_owned()),
        _ => behind,
    };
    let inner = &text[open + 1..close];
    let inner = inner
        .strip_prefix("?:")
        .or_else(|| inner.strip_prefix("?P<user>"))
        .unwrap_or(inner);
    let mut all = Vec::new();
    for inner in hoisted(inner)? {
        all.extend(hoisted(&format!("{before}{inner}{behind}"))?);
    }
    bounded(all)
}

fn bounded(all: Vec<String>) -> Result<Vec<String>, String> {
    match all.len() {
        0..=MAX_PATTERNS => Ok(all),
        many => Err(format!("it would be {many} patterns")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(expression: &str) -> Vec<String> {
        let found = patterns(None, expression).unwrap();
        found.into_iter().map(|pattern| pattern.text).collect()
    }

    #[test]
    fn an_address_stands_in_no_group() {
        assert_eq!(
            told(r"^x (?:a <HOST> b|c (?:<ADDR>)?|d)e{2}$"),
            [r"x a \[?{client}\]? be{2}", r"x c \[?{client}\]?e{2}"]
        );
        assert_eq!(told(r"<HOST> [^[\]]{"), [r".*\[?{client}\]? [^\[\]]\{.*"]);
        assert_eq!(
            told(r"^u <F-USER>(?:(?! from ).)*?</F-USER> from <HOST>\s*$"),
            [r"u (?P<user>.*) from \[?{client}\]?\s*"]
        );
        assert_eq!(told("(?iu)^failed <HOST>$"), [r"(?i)failed \[?{client}\]?"]);
        assert_eq!(told(r"^x - <ADDR>\b"), [r"x - \[?{client}\]?.*"]);
        assert_eq!(
            told(r"^a{,3} [a-z&&x]{,} <HOST>$"),
            [r"a{0,3} [a-z\&\&x]{0,} \[?{client}\]?"]
        );
        assert_eq!(
            told("^a <HOST>|b <HOST>$"),
            [r"a \[?{client}\]?.*", r".*b \[?{client}\]?"]
        );
        assert_eq!(
            told(r"^bad (?:::f{4,6}:)?(?P<host>[\w\-.^_]*(?:\w))$"),
            [r"bad \[?{client}\]?"]
        );
        let access = patterns(None, r#"^<HOST> - \S+ \[\] "GET /x"#).unwrap();
        assert_eq!(access[0].begin, Begin::Whole);
        assert_eq!(
            access[0].text,
            r#"\[?{client}\]? - \S+ \[(?P<time>[^\]]*)\] "GET /x.*"#
        );
        for (expression, error) in [
            ("^(?!x)<HOST>", "it looks ahead"),
            ("^(?P<a>x)?(?(a)y) <HOST>", "one part of it depends on another"),
            ("^<HOST> <HOST>", "<HOST> stands in it more than once"),
            ("^(?:<HOST>)+", "<HOST> stands in what is repeated"),
            (r"^(a)\1 <HOST>", "it refers to what it matched before"),
            ("^nobody", "it names no <HOST>"),
            (
                r"^tcp/accept \]: <ADDR>\.\d+ x",
                "a port follows <HOST> behind a full stop, where no address ends here",
            ),
            (
                "^<F-NOFAIL>x</F-NOFAIL> <HOST>",
                "<F-NOFAIL> marks a line that is not a failure by itself",
            ),
        ] {
            assert_eq!(patterns(None, expression).unwrap_err(), error, "{expression}");
        }
    }
}
