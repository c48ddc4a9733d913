//! The W3C's extended log format, as IIS and CloudFront write it: a line `#Fields:` says what the lines after it have.

use super::{
    Layout, Part, PatternError, Quotes, compile,
    field::{Field, Kind, Role},
};

/// Returns what a header line says; `None` if a line is none.
pub(in super::super) fn fields_of_header(line: &[u8]) -> Option<&str> {
    let fields = line.strip_prefix(b"#Fields:")?;
    std::str::from_utf8(fields).ok()
}

/// Compiles the layout of the lines after a header. No field has a space or a tab in it: IIS writes `+`, CloudFront `%20`.
pub(in super::super) fn layout(fields: &str, separator: char) -> Result<Layout, PatternError> {
    with_kinds(fields, separator, |_| None)
}

/// As [`layout`], of lines that no header says anything of: all that has a shape must have it, since the columns may be
/// others.
pub(super) fn layout_without_header(fields: &str, separator: char) -> Result<Layout, PatternError> {
    with_kinds(fields, separator, |name| {
        Some(match name {
            "s-ip" => Kind::Address,
            "s-port" | "sc-bytes" | "sc-substatus" => Kind::Number,
            "cs-method" => Kind::Method,
            "cs-uri-stem" => Kind::Stem,
            _ => return None,
        })
    })
}

fn with_kinds(
    fields: &str,
    separator: char,
    kind: impl Fn(&str) -> Option<Kind>,
) -> Result<Layout, PatternError> {
    let names = fields.trim_start_matches("#Fields:").split_ascii_whitespace();
    let has_peer = names.clone().any(|name| name.eq_ignore_ascii_case("c-ip"));
    let mut parts = Vec::new();
    let mut before: Option<&str> = None;
    for name in names {
        // A date and the time after it are one time.
        let is_of_date = before.is_some_and(|before| before.eq_ignore_ascii_case("date"));
        if !(is_of_date && name.eq_ignore_ascii_case("time")) {
            if before.is_some() {
                parts.push(Part::Text(separator.to_string()));
            }
            let field = field(name, has_peer);
            let kind = kind(name).unwrap_or(field.kind);
            parts.push(Part::Field(Field { kind, ..field }));
        }
        before = Some(name);
    }
    compile::compile(fields, parts, Quotes::Encoded)
}

/// `has_peer` says whether the other end of the connection has a field, too.
fn field(name: &str, has_peer: bool) -> Field {
    // Tools that write headers of their own do not agree on the case.
    let (role, kind, rank) = match &*name.to_ascii_lowercase() {
        "c-ip" => (Role::Client, Kind::Address, 1),
        // No space is in it, as in all others.
        "x-forwarded-for" | "cs(x-forwarded-for)" if has_peer => (Role::Forwarded, Kind::Token, 0),
        "x-forwarded-for" | "cs(x-forwarded-for)" => (Role::Client, Kind::Token, 0),
        "date" => (Role::Time, Kind::Time, 0),
        "timestamp" | "timestamp(ms)" => (Role::Time, Kind::Time, 1),
        "sc-status" => (Role::Status, Kind::Status, 0),
        "cs-method" => (Role::Method, Kind::Token, 0),
        "cs-uri-stem" | "cs-uri" => (Role::Path, Kind::Token, 0),
        "x-host-header" | "cs-host" | "cs(host)" => (Role::Host, Kind::Token, 0),
        "cs(user-agent)" => (Role::UserAgent, Kind::Token, 0),
        "cs(referer)" => (Role::Referer, Kind::Token, 0),
        _ => (Role::Nothing, Kind::Token, 0),
    };
    Field {
        name: name.to_owned(),
        role,
        kind,
        rank,
        quotes: None,
    }
}
