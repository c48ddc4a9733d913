//! The addresses in a line.

use std::{
    net::{IpAddr, Ipv6Addr},
    ops::Range,
};

use crate::address::split_v4;

/// Each address in `text`, with where it stands; IPv4-mapped ones as IPv4. What is part of a longer word of digits, dots and
/// colons is none, but an IPv4 address may end at a port, and any at a colon or a full stop.
pub(super) fn addresses(text: &[u8]) -> impl Iterator<Item = (Range<usize>, IpAddr)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text[from..].iter().position(|byte| is_part(*byte))?;
            let length = text[start..].iter().position(|byte| !is_part(*byte));
            let end = length.map_or(text.len(), |length| start + length);
            from = end;
            if let Some((length, address)) = begins(&text[start..end]) {
                return Some((start..start + length, address));
            }
        }
    })
}

const fn is_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':' | b'.')
}

/// The address that `word` begins with, and its length.
fn begins(word: &[u8]) -> Option<(usize, IpAddr)> {
    if let Some((v4, rest)) = split_v4(word) {
        let ends = matches!(rest, [] | [b'.' | b':'] | [b':', b'0'..=b'9', ..]);
        return ends.then(|| (word.len() - rest.len(), v4.into()));
    }
    let whole = std::str::from_utf8(word).ok()?;
    // Some services write a port behind it without brackets.
    let port = whole
        .rsplit_once(':')
        .filter(|(_, port)| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()));
    let ends = [
        Some(whole),
        whole.strip_suffix(['.', ':']),
        port.map(|(before, _)| before),
    ];
    for text in ends.into_iter().flatten() {
        if let Ok(v6) = text.parse::<Ipv6Addr>() {
            return Some((text.len(), IpAddr::V6(v6).to_canonical()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_where_they_stand() {
        for (text, expected) in [
            ("from 203.0.113.7 port 22", "203.0.113.7"),
            ("203.0.113.7:40022: x", "203.0.113.7"),
            ("IP: 203.0.113.7. Name", "203.0.113.7"),
            ("[2001:db8::7]: 535", "2001:db8::7"),
            ("rhost=::ffff:203.0.113.7  user", "203.0.113.7"),
            ("from 2001:db8::7: x", "2001:db8::7"),
            ("IPV6/TCP/2001:db8:bad::7/5060", "2001:db8:bad::7"),
            ("1.2.3.4.5 256.1.1.1 1.2.3 a1.2.3.4 12:30:01 ::", "::"),
        ] {
            let found: Vec<_> = addresses(text.as_bytes()).collect();
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].1.to_string(), expected, "{text}");
            let written = &text[found[0].0.clone()];
            assert!(written.ends_with(expected), "{text}: {written}");
        }
    }
}
