//! The syntax of HAProxy's `log-format`.

use super::{
    Part, PatternError, Quotes,
    field::{Field, Kind, Role},
};

/// Whether a format with `%` is HAProxy's, not Apache's.
pub(super) fn is_format(text: &str) -> bool {
    ["%ci", "%[", "%ST", "%HM", "%tr", "]ci", "}ci"]
        .iter()
        .any(|name| text.contains(name))
}

/// Splits a format into literal text and fields.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Vec::new();
    // HAProxy writes no two spaces in a row: a field that may be empty takes those around it.
    let mut eat_space = false;
    let mut are_quoted = false;
    let mut are_escaped = false;
    let mut rest = text.trim();
    loop {
        let percent = rest.find('%').unwrap_or(rest.len());
        let literal = &rest[..percent];
        let literal = if eat_space {
            literal.trim_start_matches(' ')
        } else {
            literal
        };
        let Some(directive) = rest[percent..].strip_prefix('%') else {
            super::nginx::push_text(&mut parts, literal);
            return Ok(parts);
        };
        if let Some(after) = directive.strip_prefix('%') {
            super::nginx::push_text(&mut parts, literal);
            super::nginx::push_text(&mut parts, "%");
            (rest, eat_space) = (after, false);
            continue;
        }
        let (flags, directive) = split_flags(directive);
        let is_expression = directive.starts_with('[');
        let (name, after) = split_name(directive).ok_or(PatternError::NoName('%'))?;
        eat_space = matches!(name, "hr" | "hs" | "hrl" | "hsl");
        let literal = if eat_space {
            literal.trim_end_matches(' ')
        } else {
            literal
        };
        rest = after;
        let is_time = |part: &Part| matches!(part, Part::Field(field) if field.role == Role::Time);
        if name == "ms" && literal == "." && parts.last().is_some_and(is_time) {
            // The fraction of the time before it.
            continue;
        }
        super::nginx::push_text(&mut parts, literal);
        if name == "o" {
            // Only sets flags, for all fields behind it.
            are_quoted = (are_quoted || flags.contains("+Q")) && !flags.contains("-Q");
            are_escaped = (are_escaped || flags.contains("+E")) && !flags.contains("-E");
            eat_space = true;
            continue;
        }
        let is_text = is_expression || is_text(name);
        let is_quoted = flags.contains("+Q") || (are_quoted && is_text && !flags.contains("-Q"));
        let quote = if is_quoted { "\"" } else { "" };
        super::nginx::push_text(&mut parts, quote);
        let is_escaped = flags.contains("+E") || (are_escaped && !flags.contains("-E"));
        parts.push(Part::Field(Field {
            quotes: quotes(name, is_expression, is_escaped),
            ..field(name, is_expression)
        }));
        super::nginx::push_text(&mut parts, quote);
    }
}

/// Returns what HAProxy does with a quote in a field; `None` if it writes its number. The flag `+Q` only sets quotes around what
/// there is, and expressions and captured cookies are written as a client sent them, unless `+E` or a converter escapes them.
fn quotes(name: &str, is_expression: bool, is_escaped: bool) -> Option<Quotes> {
    if is_escaped {
        return Some(Quotes::Escaped);
    }
    // What a unique ID is made of may be a header.
    if !is_expression && !matches!(name, "CC" | "CS" | "ID") {
        return None;
    }
    let (fetch, converters) = name.split_once(',').unwrap_or((name, ""));
    // The last one says what is written.
    match converters.rsplit(',').next().unwrap_or_default() {
        last if last.starts_with("json(") || last == "json" => Some(Quotes::Escaped),
        last if last.starts_with("url_enc") => None,
        _ if is_own(fetch) => None,
        _ => Some(Quotes::Bare),
    }
}

/// Whether an expression fetches what no client chooses.
fn is_own(fetch: &str) -> bool {
    const OWN: [&str; 21] = [
        "src",
        "src_port",
        "dst",
        "dst_port",
        "status",
        "method",
        "fe_name",
        "fe_id",
        "be_name",
        "be_id",
        "srv_name",
        "srv_id",
        "pid",
        "hostname",
        "uuid",
        "date",
        "accept_date",
        "request_date",
        "bytes_out",
        "ssl_fc_cipher",
        "ssl_fc_protocol",
    ];
    let name = fetch.split('(').next().unwrap_or_default();
    let prefixes = ["fc_", "bc_", "rand"];
    // What the PROXY protocol carries besides addresses is what the client sent to the proxy, as the server's name.
    OWN.contains(&name)
        || prefixes.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with("fc_pp_")
}

/// Whether quotes that are set for all fields stand around this one: not around numbers and times, nor where nothing was captured.
fn is_text(name: &str) -> bool {
    const TEXTS: [&str; 21] = [
        "ci", "fi", "bi", "si", "ft", "f", "b", "s", "CC", "CS", "r", "ID", "HM", "HP", "HPO", "HQ", "HU",
        "HV", "H", "sslc", "sslv",
    ];
    TEXTS.contains(&name)
}

/// `{+Q,-E}` before a name.
fn split_flags(text: &str) -> (&str, &str) {
    let flags = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    flags.unwrap_or(("", text))
}

/// A name of letters, or an expression in brackets.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let Some(rest) = text.strip_prefix('[') else {
        let end = text
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(text.len());
        return (end > 0).then(|| text.split_at(end));
    };
    let mut depth = 1;
    for (at, char) in rest.char_indices() {
        match char {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&rest[..at], &rest[at + 1..]));
        }
    }
    None
}

fn field(name: &str, is_expression: bool) -> Field {
    let (role, kind, rank) = match name {
        "ci" | "src" => (Role::Client, Kind::Address, 1),
        "t" | "tr" | "T" | "trg" | "trl" | "Tl" => (Role::Time, Kind::Time, 1),
        "Ts" => (Role::Time, Kind::Time, 0),
        "ST" | "status" => (Role::Status, Kind::Status, 0),
        "r" => (Role::Request, Kind::Free, 0),
        "HM" | "method" => (Role::Method, Kind::ClientToken, 0),
        // A whole URL for HTTP/2 and 3.
        "HU" | "url" => (Role::Url, Kind::Free, 0),
        "HP" | "HPO" | "path" | "pathq" => (Role::Path, Kind::Free, 0),
        "HV" => (Role::Nothing, Kind::ClientToken, 0),
        "hr" | "hs" | "hrl" | "hsl" | "HQ" | "CC" | "CS" | "ID" => (Role::Nothing, Kind::Free, 0),
        name if !is_expression || is_own(name) => (Role::Nothing, Kind::Token, 0),
        name if is_header(name, "x-forwarded-for") => (Role::Client, Kind::AddressList, 0),
        name if is_header(name, "host") => (Role::Host, Kind::Free, 0),
        name if is_header(name, "user-agent") => (Role::UserAgent, Kind::Free, 0),
        name if is_header(name, "referer") => (Role::Referer, Kind::Free, 0),
        _ => (Role::Nothing, Kind::Free, 0),
    };
    Field {
        name: format!("%{name}"),
        role,
        kind,
        rank,
        quotes: None,
    }
}

/// `req.hdr(HEADER)` and the like, of the last line or entry: clients write the first.
fn is_header(expression: &str, header: &str) -> bool {
    let expression = expression.to_ascii_lowercase();
    let names = ["req.hdr(", "req.fhdr(", "hdr(", "fhdr("];
    let arguments = names.iter().find_map(|name| expression.strip_prefix(name));
    let Some((arguments, _)) = arguments.and_then(|rest| rest.split_once(')')) else {
        return false;
    };
    let (name, occurrence) = arguments.split_once(',').unwrap_or((arguments, "-1"));
    name.trim() == header && occurrence.trim().starts_with('-')
}
