//! Targets as some clients send them (RFC 9112 §3.2): with bytes that a URI does not have. Servers take them, and so what is asked
//! is to be seen by signatures and in the log; hyper would refuse the request without a word of it.

/// The begin of a head with such bytes of its target percent-encoded; `None` where there are none, as almost always. What comes of
/// a line in a later packet stays as it is. Empty lines may stand before it (RFC 9112 §2.2).
pub(super) fn encoded(head: &[u8]) -> Option<Vec<u8>> {
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let end = memchr::memchr(b'\n', &head[start..]).map_or(head.len(), |end| start + end);
    let line = &head[start..end];
    // Without a branch for each byte.
    if line.iter().fold(0_u8, |odd, byte| odd | odd_bit(*byte)) == 0 {
        return None;
    }
    let target = start + memchr::memchr(b' ', line)? + 1;
    let mut encoded = head[..target].to_vec();
    for byte in &head[target..end] {
        match odd_bit(*byte) {
            0 => encoded.push(*byte),
            _ => encoded.extend(escape(*byte)),
        }
    }
    encoded.extend(&head[end..]);
    Some(encoded)
}

/// Has the line of a head in a later version of HTTP/1 name 1.1, as which it is to be read (RFC 9112 §2.3), if all of it is there.
pub(super) fn lower_version(head: &mut [u8]) {
    let Some(start) = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
        return;
    };
    let Some(length) = memchr::memchr(b'\n', &head[start..]) else {
        return;
    };
    let line = match &mut head[start..start + length] {
        [line @ .., b'\r'] => line,
        line => line,
    };
    if let [before @ .., minor @ b'2'..=b'9'] = line
        && before.ends_with(b" HTTP/1.")
    {
        *minor = b'1';
    }
}

/// 1 for a byte that is to be encoded, and 0 for any other.
fn odd_bit(byte: u8) -> u8 {
    u8::from(byte == b'<')
        | u8::from(byte == b'>')
        | u8::from(byte == b'"')
        | u8::from(byte == b'`')
        | (byte >> 7)
}

/// RFC 3986 §2.1.
fn escape(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [
        b'%',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_becomes_the_latest_that_is_known_and_nothing_else_changes() {
        for (head, expected) in [
            ("GET / HTTP/1.2\r\nX: 1\r\n\r\n", "GET / HTTP/1.1\r\nX: 1\r\n\r\n"),
            (
                "\r\nGET / HTTP/1.9\nX:  HTTP/1.2\n",
                "\r\nGET / HTTP/1.1\nX:  HTTP/1.2\n",
            ),
            ("GET / HTTP/1.0\r\n", "GET / HTTP/1.0\r\n"),
            ("GET / HTTP/2.2\r\n", "GET / HTTP/2.2\r\n"),
            ("GET / HTTP/1.12\r\n", "GET / HTTP/1.12\r\n"),
            ("GET /HTTP/1.2\r\n", "GET /HTTP/1.2\r\n"),
            ("GET / HTTP/1.2", "GET / HTTP/1.2"),
            ("\r\n", "\r\n"),
            ("\n", "\n"),
            ("", ""),
        ] {
            let mut bytes = head.as_bytes().to_vec();
            lower_version(&mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
        }
    }

    #[test]
    fn a_target_is_encoded_and_nothing_else() {
        let encoded = |head: &[u8]| encoded(head).map(|head| String::from_utf8_lossy(&head).into_owned());
        for (head, expected) in [
            (&b"GET /a?b=1 HTTP/1.1\r\nX: <\"\xe9\r\n\r\n"[..], None),
            (
                b"GET /wp-login.php?q=<script> HTTP/1.1\r\nX: <\r\n\r\n",
                Some("GET /wp-login.php?q=%3Cscript%3E HTTP/1.1\r\nX: <\r\n\r\n"),
            ),
            (
                b"GET /caf\xe9?{\"a\"} HTTP/1.1\r\n",
                Some("GET /caf%E9?{%22a%22} HTTP/1.1\r\n"),
            ),
            (b"GET /half<", Some("GET /half%3C")),
            (
                b"\r\n\nGET /a<b HTTP/1.1\r\nX: <\r\n",
                Some("\r\n\nGET /a%3Cb HTTP/1.1\r\nX: <\r\n"),
            ),
            (b"\r\n", None),
            (b"<GET", None),
            (b"<GET /", Some("<GET /")),
            (b"", None),
        ] {
            assert_eq!(encoded(head).as_deref(), expected);
        }
    }
}
