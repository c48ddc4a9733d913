//! The syntax of nginx's `log_format`.

use super::{Part, PatternError, field::Field};

/// Splits a format into literal text and variables.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, PatternError> {
    let text = text.trim();
    let mut parts = Vec::new();
    let mut pieces = text.split('$');
    push_text(&mut parts, pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, then) = split_name(piece).ok_or(PatternError::NoName('$'))?;
        parts.push(Part::Field(Field::of_nginx(name)));
        push_text(&mut parts, then);
    }
    Ok(parts)
}

/// With what nginx's own configuration files escape.
pub(super) fn push_text(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = match (char, chars.peek()) {
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some(escaped @ ('"' | '\'' | '\\'))) => Some(*escaped),
            _ => None,
        };
        if escaped.is_some() {
            chars.next();
        }
        plain.push(escaped.unwrap_or(char));
    }
    parts.push(Part::Text(plain));
}

/// A name, with or without braces, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(text) = text.strip_prefix('{') {
        return text.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    Some(text.split_at(end.unwrap_or(text.len()))).filter(|(name, _)| !name.is_empty())
}
