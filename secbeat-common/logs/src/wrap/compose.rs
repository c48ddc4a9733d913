//! What `docker compose logs`, `docker service logs`, `kubectl logs --prefix` and pm2 write before a line.

use crate::quoted;

/// Takes off `web-1  | `, `web.1.abc@node    | `, `[pod/web-abc/nginx] ` or `0|web  | `, in any colour.
pub(super) fn unwrap(line: &[u8]) -> Option<&[u8]> {
    let line = without_colour(line);
    let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(byte);
    if let Some(rest) = line.strip_prefix(b"[pod/") {
        let end = rest
            .iter()
            .position(|byte| !of_name(byte) && *byte != b'/')
            .filter(|end| *end > 0)?;
        return rest[end..].strip_prefix(b"] ");
    }
    // The number of a process of pm2.
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let line = match line[digits..].strip_prefix(b"|") {
        Some(rest) if digits > 0 => rest,
        _ => line,
    };
    let name = line
        .iter()
        .position(|byte| !of_name(byte))
        .filter(|end| *end > 0)?;
    let rest = &line[name..];
    let spaces = rest
        .iter()
        .position(|byte| *byte != b' ')
        .filter(|end| *end > 0)?;
    let rest = without_colour(rest[spaces..].strip_prefix(b"|")?);
    Some(without_colour(rest.strip_prefix(b" ")?))
}

/// Returns what follows an escape sequence that sets a terminal's colour, if the text begins with one.
fn without_colour(text: &[u8]) -> &[u8] {
    quoted::without_colour(text).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_no_part_of_the_line() {
        for before in [
            "web-1  | ",
            "shop_web.1 | ",
            "shop_web.1.u2kz8a4@node1    | ",
            "0|app  | ",
            "[pod/web-7d4b9-x2x/nginx] ",
            "\x1b[36mweb-1  |\x1b[0m ",
            "\x1b[36;1mweb-1  | \x1b[0m",
        ] {
            let line = format!("{before}203.0.113.7 | x");
            assert_eq!(unwrap(line.as_bytes()), Some(&b"203.0.113.7 | x"[..]), "{before}");
        }
        for line in [
            "",
            "| x",
            "|app  | x",
            "0|app| x",
            "web-1| x",
            "web-1  |x",
            "203.0.113.7 - - | x",
            "web 1 | x",
            "[pod/] x",
            "[pod/a b] x",
            "[web] x",
            "\x1b[36",
        ] {
            assert_eq!(unwrap(line.as_bytes()), None, "{line}");
        }
    }
}
