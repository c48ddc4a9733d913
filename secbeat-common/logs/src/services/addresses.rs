//! The addresses in a line.

use std::{
    net::{IpAddr, Ipv6Addr},
    ops::Range,
};

use crate::address::split_v4;

/// Each address in `text`, with where it stands; IPv4-mapped ones as IPv4. What is part of a longer word of digits, dots and
/// colons is none, but an IPv4 address may end at a port, and any at a colon or a full stop. A word that is an IPv6 address,
/// and another one with a port behind it, is both: a pattern says which of them fits.
pub(super) fn addresses(text: &[u8]) -> impl Iterator<Item = (Range<usize>, IpAddr)> {
    words(text).flat_map(|(start, word)| {
        let found = begins(word).into_iter().flatten();
        found.map(move |(length, address)| (start..start + length, address))
    })
}

/// Words of hexadecimal digits, dots and colons with where they start, without a colon before them, as in `UDP:192.0.2.1`.
fn words(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let mut start = from + text[from..].iter().position(|byte| is_part(*byte))?;
        let length = text[start..].iter().position(|byte| !is_part(*byte));
        let end = length.map_or(text.len(), |length| start + length);
        from = end;
        if matches!(text[start..end], [b':', after, ..] if after != b':') {
            start += 1;
        }
        Some((start, &text[start..end]))
    })
}

const fn is_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':' | b'.')
}

/// The addresses that `word` begins with, and their lengths.
fn begins(word: &[u8]) -> [Option<(usize, IpAddr)>; 2] {
    if let Some((v4, rest)) = split_v4(word) {
        let ends = matches!(rest, [] | [b'.' | b':'] | [b':', b'0'..=b'9', ..]);
        return [ends.then(|| (word.len() - rest.len(), v4.into())), None];
    }
    let Ok(whole) = std::str::from_utf8(word) else {
        return [None; 2];
    };
    let v6 = |text: &str| {
        let address = text.parse::<Ipv6Addr>().ok()?;
        Some((text.len(), IpAddr::V6(address).to_canonical()))
    };
    let ended = v6(whole).or_else(|| v6(whole.strip_suffix(['.', ':'])?));
    // Some services write a port behind it without brackets.
    let with_port = || {
        let (before, port) = whole.strip_suffix(['.', ':']).unwrap_or(whole).rsplit_once(':')?;
        let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        is_port.then(|| v6(before)).flatten()
    };
    [ended, with_port()]
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
        assert_eq!(addresses(b"UDP:203.0.113.7:5060 :x").count(), 1);
    }

    #[test]
    fn a_port_of_four_digits_may_be_one_of_an_address() {
        let found: Vec<_> = addresses(b"[client 2001:db8::b:8080]")
            .map(|(_, address)| address.to_string())
            .collect();
        assert_eq!(found, ["2001:db8::b:8080", "2001:db8::b"]);
        assert_eq!(addresses(b"2001:db8::b:40022").count(), 1);
    }
}
