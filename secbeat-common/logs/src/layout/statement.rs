//! A format within the statement of a server's config that names it.

use std::borrow::Cow;

use super::PatternError;

/// The format of `log_format NAME '…' '…';`, of `LogFormat "…" NAME` or of `log-format "…"`, or of the parts alone that nginx joins; any
/// other text as it is.
///
/// # Errors
///
/// Returns an error if a quote is not closed, when the log would be JSON, or when its server escapes nothing.
pub(super) fn format(text: &str) -> Result<Cow<'_, str>, PatternError> {
    let text = text.trim();
    // As Tomcat's server.xml has a quote.
    if text.contains("&quot;") {
        return format(&text.replace("&quot;", "\"")).map(|format| format.into_owned().into());
    }
    if let Some(rest) = after(text, "log_format") {
        return of_nginx(rest).map(Into::into);
    }
    if let Some(rest) = after(text, "LogFormat") {
        let (format, _) = first(rest, "LogFormat")?;
        return Ok(unescaped(format, &['"', '\\']).into());
    }
    if let Some(rest) = after(text, "CustomLog") {
        // Behind the file: the format, or its name.
        let (_, rest) = match first(rest, "CustomLog") {
            Ok(split) => split,
            Err(_) => rest.split_once(char::is_whitespace).unwrap_or_default(),
        };
        return match first(rest.trim_start(), "CustomLog") {
            Ok((format, _)) => Ok(unescaped(format, &['"', '\\']).into()),
            Err(_) => Err(PatternError::Nickname),
        };
    }
    if let Some(rest) = after(text, "log-format") {
        return match rest.starts_with(['"', '\'']) {
            true => first(rest, "log-format").map(|(format, _)| unescaped(format, &['"', '\\']).into()),
            // Blanks are escaped there.
            false => Ok(rest.replace("\\ ", " ").into()),
        };
    }
    if text.starts_with('\'') && text.trim_end_matches(';').trim_end().ends_with('\'') {
        return joined(text).map(Into::into);
    }
    Ok(text.into())
}

fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(word)?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim_start())
}

/// Behind the name, and how nginx escapes.
fn of_nginx(text: &str) -> Result<String, PatternError> {
    let is_quote = |c: char| matches!(c, '"' | '\'');
    let (before, parts) = text.split_at(text.find(is_quote).unwrap_or(text.len()));
    let mut words = before.split_whitespace();
    if words.clone().any(|word| word == "escape=none") {
        return Err(PatternError::Unescaped);
    }
    let format = joined(parts)?;
    // Text, too, may be escaped as JSON is.
    let is_json = words.any(|word| word == "escape=json") && format.trim_start().starts_with('{');
    (!is_json).then_some(format).ok_or(PatternError::Json)
}

/// Quoted parts, one behind the other.
fn joined(text: &str) -> Result<String, PatternError> {
    let mut whole = String::new();
    let mut rest = text;
    while rest.starts_with(['"', '\'']) {
        let quote = rest.chars().next().unwrap_or_default();
        let (part, after) = first(rest, "log_format")?;
        whole += &unescaped(part, &[quote]);
        rest = after.trim_start();
    }
    Ok(whole)
}

/// The text between the quotes that `text` begins with, and what follows them.
fn first<'a>(text: &'a str, statement: &'static str) -> Result<(&'a str, &'a str), PatternError> {
    let unclosed = PatternError::Unclosed(statement);
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let quote = quote.ok_or_else(|| unclosed.clone())?;
    let (inner, mut is_escaped) = (&text[1..], false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' => is_escaped = true,
            c if c == quote => return Ok((&inner[..at], &inner[at + 1..])),
            _ => {}
        }
    }
    Err(unclosed)
}

/// Without the backslashes before `chars`.
fn unescaped(text: &str, chars: &[char]) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek() {
            Some(next) if c == '\\' && chars.contains(next) => {
                plain.push(*next);
                rest.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_the_format_in_it() {
        let nginx = r#"$remote_addr [$time_local] "$request" $status"#;
        let apache = r#"%h %l %u %t "%r" %>s %b"#;
        for (statement, expected) in [
            (
                r#"log_format main '$remote_addr [$time_local] "$request" ' '$status';"#,
                nginx,
            ),
            (
                "log_format  main  escape=default\n  '$remote_addr [$time_local] '\n  '\"$request\" $status';",
                nginx,
            ),
            (
                r#"log_format x "$remote_addr [$time_local] \"$request\" $status";"#,
                nginx,
            ),
            (
                r#"log_format text escape=json '$remote_addr [$time_local] "$request" $status';"#,
                nginx,
            ),
            (r#"'$remote_addr [$time_local] ' '"$request" $status'"#, nginx),
            (r#"LogFormat "%h %l %u %t \"%r\" %>s %b" common"#, apache),
            (r#"CustomLog a.log "%h %l %u %t \"%r\" %>s %b""#, apache),
            (
                r#"CustomLog "|/bin/x y" "%h %l %u %t \"%r\" %>s %b" env=x"#,
                apache,
            ),
            ("%h %l %u %t &quot;%r&quot; %>s %b", apache),
            (r#"log-format "%ci %tr %ST %{+Q}r""#, "%ci %tr %ST %{+Q}r"),
            (r"log-format %ci\ %tr\ %ST\ %{+Q}r", "%ci %tr %ST %{+Q}r"),
            (nginx, nginx),
            (apache, apache),
            (r#""$request" $status"#, r#""$request" $status"#),
        ] {
            assert_eq!(format(statement).unwrap(), expected, "{statement}");
        }
        for (statement, error) in [
            (
                "log_format main '$remote_addr",
                "a quote of the statement `log_format` is not closed",
            ),
            (
                "LogFormat %h",
                "a quote of the statement `LogFormat` is not closed",
            ),
            (
                "CustomLog logs/access.log combined",
                "`CustomLog` names its format only: state that of the `LogFormat` with this name",
            ),
            (
                r#"log_format j escape=json '{"a":"$remote_addr"}';"#,
                "`escape=json` makes JSON of the log: state `nginx-json`, or the keys of your own",
            ),
        ] {
            assert_eq!(format(statement).unwrap_err().to_string(), error, "{statement}");
        }
    }
}
