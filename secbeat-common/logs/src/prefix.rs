//! What stands before a server's own line when a container runtime writes it down.

/// Strips what the Kubernetes container runtime interface puts before each line,
/// `2026-01-24T01:34:36.743000000+00:00 stdout F `; a line without it stays as it is.
pub(super) fn strip_container(line: &[u8]) -> &[u8] {
    const STREAMS: [&[u8]; 2] = [b" stdout F ", b" stderr F "];
    // RFC 3339 with up to nine digits of a second's fraction has 20 to 35 bytes.
    if line.get(10) != Some(&b'T') || line.get(4) != Some(&b'-') {
        return line;
    }
    let Some(space) = memchr::memchr(b' ', &line[..line.len().min(36)]) else {
        return line;
    };
    let rest = &line[space..];
    let stripped = STREAMS.iter().find_map(|stream| rest.strip_prefix(*stream));
    stripped.unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_prefix_is_no_part_of_the_line() {
        for stamp in ["2026-01-24T01:34:36Z", "2026-01-24T01:34:36.743000000+00:00"] {
            for stream in ["stdout", "stderr"] {
                let line = format!("{stamp} {stream} F a b");
                assert_eq!(strip_container(line.as_bytes()), b"a b");
            }
        }
        for line in [
            "",
            "2026-01-24T01:34:36Z",
            "2026-01-24T01:34:36Z stdout P half a line",
            "203.0.113.7 - - [x",
        ] {
            assert_eq!(strip_container(line.as_bytes()), line.as_bytes());
        }
    }
}
