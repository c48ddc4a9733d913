//! Gin's own log: `[GIN] 2026/11/21 - 11:06:56 | 404 |  1.2ms |  CLIENT | GET  "PATH"`.
//!
//! What a client writes stands behind all else. Before 1.6 the path had no quotes, and Gin wrote line feeds in it as they came, so
//! such lines are not read.

use memchr::{memchr, memrchr};

use super::{
    LogError, LogLine, address,
    quoted::parse_status,
    time::{self, Zone},
};

const BEGIN: &[u8] = b"[GIN] ";
/// Bytes of `2026/11/21 - 11:06:56`.
const TIME_LEN: usize = 21;
/// Bytes of its date.
const DATE_LEN: usize = 10;

/// Parses one line without surrounding space.
pub(super) fn parse<'a>(line: &'a [u8], zone: &Zone) -> Result<LogLine<'a>, LogError> {
    let rest = line.strip_prefix(BEGIN).ok_or(LogError::GinBegin)?;
    read(rest, zone).ok_or(LogError::Gin)
}

fn read<'a>(rest: &'a [u8], zone: &Zone) -> Option<LogLine<'a>> {
    let mut cells = rest.splitn(5, |byte| *byte == b'|').map(bare);
    let at_ms = read_time(cells.next()?, zone)?;
    let status = parse_status(cells.next()?)?;
    let _duration = cells.next()?;
    let client = address::parse(cells.next()?)?;
    let request = cells.next()?;
    let (method, quoted) = request.split_at(memchr(b'"', request)?);
    let method = bare(method);
    // Go takes any token for a method. What others take for none is an error of its client.
    let is_of_method = |byte: &u8| byte.is_ascii_alphabetic() || b"-_".contains(byte);
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_token = !method.is_empty() && method.iter().all(is_of_token);
    let method = match method.iter().all(is_of_method) {
        true => method,
        false => b"",
    };
    let path = &quoted[1..];
    // Of a line that was cut off, all there is.
    let path = &path[..memrchr(b'"', path).unwrap_or(path.len())];
    is_token.then(|| LogLine {
        client,
        forwarded: None,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        unreadable: false,
        ends_in_user: false,
        host: None,
        user_agent: None,
        referer: None,
    })
}

/// Without the spaces around it and the colours of a terminal.
fn bare(mut text: &[u8]) -> &[u8] {
    loop {
        let before = text.len();
        text = text.trim_ascii();
        if let Some(rest) = text.strip_prefix(b"\x1b[")
            && let Some(end) = memchr(b'm', rest)
        {
            text = &rest[end + 1..];
        }
        if text.ends_with(b"m")
            && let Some(begin) = memrchr(0x1b, text)
            && text[begin + 1..text.len() - 1]
                .iter()
                .all(|byte| b"[;0123456789".contains(byte))
        {
            text = &text[..begin];
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Date and time of day, with ` - ` between them.
fn read_time(text: &[u8], zone: &Zone) -> Option<i64> {
    let text: &[u8; TIME_LEN] = text.try_into().ok()?;
    let (date, rest) = text.split_at(DATE_LEN);
    let clock = rest.strip_prefix(b" - ")?;
    time::parse_any(&[date, b" ", clock].concat(), zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::answered;

    const LINE: &str =
        r#"[GIN] 2026/11/21 - 10:06:56 | 404 |       1.234µs |     203.0.113.7 | GET      "/x""#;

    fn shown(line: &str) -> String {
        answered(parse(line.as_bytes(), &Zone::UTC))
    }

    #[test]
    fn a_line_is_read_as_gin_wrote_it() {
        for line in [
            LINE.to_owned(),
            LINE.replace("     203.0.113.7", "203.0.113.7"),
            LINE.replace("1.234µs", "1m2.5s"),
            LINE.replace("| 404 |", "|\x1b[90;43m 404 \x1b[0m|")
                .replace(" GET     ", "\x1b[97;44m GET     \x1b[0m"),
            LINE[..LINE.len() - 1].to_owned(),
        ] {
            assert_eq!(shown(&line), "203.0.113.7 404 GET /x", "{line:?}");
        }
        assert_eq!(shown(&LINE.replace("203.0.113.7", "::1")), "::1 404 GET /x");
    }

    #[test]
    fn no_request_changes_its_client_or_its_status() {
        for forged in [
            r#"/\" | 200 | 1s | 6.6.6.6 | GET \"/"#,
            r"/\n[GIN] 2026/11/21 - 10:06:56 | 200 | 1s | 6.6.6.6 | GET ",
            "/|6.6.6.6|\u{1b}[0m",
        ] {
            let line = shown(&LINE.replace("/x", forged));
            assert!(line.starts_with("203.0.113.7 404 GET /"), "{line}");
        }
    }

    #[test]
    fn a_method_hides_nothing() {
        for method in ["G1T", "G|T", "|", "G!T", "'*"] {
            assert_eq!(
                shown(&LINE.replace("GET", method)),
                "203.0.113.7 404  /x",
                "{method}"
            );
        }
        assert_eq!(
            shown(&LINE.replace("GET", "M-SEARCH")),
            "203.0.113.7 404 M-SEARCH /x"
        );
        // The cells before it are those of Gin.
        let forged = LINE.replace("GET", "200|6.6.6.6|GET");
        assert_eq!(shown(&forged), "203.0.113.7 404  /x");
    }

    #[test]
    fn a_path_without_quotes_is_that_of_an_old_gin() {
        let error = LogError::Gin.to_string();
        for line in [
            LINE.replace("\"/x\"", "/x"),
            LINE.replace(" - ", " "),
            LINE.replace("203.0.113.7", "unix"),
            LINE.replace("404", "40"),
            LINE.replace("GET", ""),
            LINE.replace("GET", "/a b"),
        ] {
            assert_eq!(shown(&line), error, "{line}");
        }
        assert_eq!(shown("[GIN-debug] GET /x"), LogError::GinBegin.to_string());
    }
}
