//! Client addresses as servers write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address alone, or in brackets, with or without a zone; IPv4-mapped ones become IPv4.
pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    if let Some(address) = parse_v4(text) {
        return Some(IpAddr::V4(address));
    }
    let text = match text {
        [b'[', inner @ .., b']'] => inner,
        _ => text,
    };
    let text = std::str::from_utf8(text).ok()?;
    if let Some((address, zone)) = text.split_once('%') {
        // The interface of a link-local address: `fe80::1%eth0`.
        let is_of_zone = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_zone = !zone.is_empty() && zone.bytes().all(is_of_zone);
        let address: Option<Ipv6Addr> = address.parse().ok();
        return address
            .filter(|_| is_zone)
            .map(|address| IpAddr::V6(address).to_canonical());
    }
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// `203.0.113.7:4711` or `[2001:db8::7]:4711`, or without a port.
pub(super) fn parse_with_port(text: &[u8]) -> Option<IpAddr> {
    parse(text).or_else(|| parse_before_port(text))
}

/// As `parse_with_port`, but the port has to be there: `2001:db8::7:4711` is 2001:db8::7.
pub(super) fn parse_before_port(text: &[u8]) -> Option<IpAddr> {
    let colon = memchr::memrchr(b':', text)?;
    let port = &text[colon + 1..];
    let is_port = !port.is_empty() && port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    is_port.then(|| parse(&text[..colon])).flatten()
}

/// The last address of a list as `X-Forwarded-For` has it: the one that the server, or the proxy next to it, wrote itself.
/// What stands before it may be forged by the client.
pub(super) fn parse_last(text: &[u8]) -> Option<IpAddr> {
    let last = memchr::memrchr(b',', text).map_or(text, |comma| &text[comma + 1..]);
    parse_entry(last)
}

/// An entry of a list, with space around it, for which IIS writes `+`, and CloudFront `%20`.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let entry = entry.trim_ascii();
    let rest = entry.strip_prefix(b"+").or_else(|| entry.strip_prefix(b"%20"));
    parse_with_port(rest.unwrap_or(entry))
}

/// Whether a text that holds an address holds more than one.
pub(super) fn is_list(text: &[u8]) -> bool {
    memchr::memchr(b',', text).is_some()
}

/// The first entry from the right that is not a trusted address. `None` if something that is not an address comes before it.
pub(super) fn last_untrusted(list: &[u8], is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let entries = list.rsplit(|byte| *byte == b',');
    let mut addresses = entries.map(parse_entry);
    addresses
        .find(|address| !address.is_some_and(&is_trusted))
        .flatten()
}

/// An IPv4 address alone.
pub(super) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (address, rest) = split_v4(text)?;
    rest.is_empty().then_some(address)
}

/// Four decimal numbers up to 255, without leading zeros, and what follows them.
#[inline]
pub(super) fn split_v4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (mut address, mut rest) = (0_u32, text);
    for dots_left in [3, 2, 1, 0] {
        let (part, after) = split_part(rest)?;
        address = address << 8 | part;
        rest = if dots_left > 0 {
            after.strip_prefix(b".")?
        } else {
            after
        };
    }
    Some((Ipv4Addr::from(address), rest))
}

/// One to three digits that are a number up to 255, and what follows them: no digit.
#[inline]
fn split_part(text: &[u8]) -> Option<(u32, &[u8])> {
    let digit = |at: usize| {
        let digit = u32::from(text.get(at)?.wrapping_sub(b'0'));
        (digit < 10).then_some(digit)
    };
    let first = digit(0)?;
    let Some(second) = digit(1) else {
        return Some((first, &text[1..]));
    };
    if first == 0 {
        return None;
    }
    let two = first * 10 + second;
    let Some(third) = digit(2) else {
        return Some((two, &text[2..]));
    };
    let three = two * 10 + third;
    (three < 256 && digit(3).is_none()).then(|| (three, &text[3..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn addresses_come_with_and_without_brackets_and_ports() {
        for text in [
            "203.0.113.7",
            "203.0.113.7:4711",
            "::ffff:203.0.113.7",
            "[::ffff:203.0.113.7]:1",
        ] {
            assert_eq!(parse_with_port(text.as_bytes()), address("203.0.113.7"), "{text}");
        }
        for text in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:4711"] {
            assert_eq!(parse_with_port(text.as_bytes()), address("2001:db8::7"), "{text}");
        }
        for text in ["fe80::1%eth0", "[fe80::1%4]:4711"] {
            assert_eq!(parse_with_port(text.as_bytes()), address("fe80::1"), "{text}");
        }
        assert_eq!(parse_before_port(b"2001:db8::7:4711"), address("2001:db8::7"));
        for text in [
            "",
            "localhost",
            "unix:",
            "203.0.113.7:",
            "203.0.113.7:http",
            "203.0.113.7:123456",
            "-",
            "fe80::1%",
            "203.0.113.7%eth0",
        ] {
            assert_eq!(parse_with_port(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn of_a_list_the_last_counts() {
        assert_eq!(
            parse_last(b"6.6.6.6, [2001:db8::7]:54321"),
            address("2001:db8::7")
        );
        assert_eq!(parse_last(b"203.0.113.7"), address("203.0.113.7"));
        assert_eq!(parse_last(b"6.6.6.6,%20203.0.113.7"), address("203.0.113.7"));
        assert_eq!(parse_last(b"203.0.113.7, unknown"), None);
    }

    #[test]
    fn a_list_is_walked_over_trusted_addresses_only() {
        let client = |list: &str| {
            last_untrusted(list.as_bytes(), |address| match address {
                IpAddr::V4(address) => address.octets()[0] == 10,
                IpAddr::V6(_) => false,
            })
        };
        assert_eq!(client("203.0.113.66, 10.0.0.5"), address("203.0.113.66"));
        assert_eq!(
            client("6.6.6.6,203.0.113.66:80, 10.0.0.4,10.0.0.5:1"),
            address("203.0.113.66")
        );
        for list in [
            "10.0.0.4, 10.0.0.5",
            "203.0.113.66, unknown, 10.0.0.5",
            "203.0.113.66, ",
        ] {
            assert_eq!(client(list), None, "{list}");
        }
    }

    proptest! {
        #[test]
        fn ipv4_is_what_the_standard_library_says(text in "[0-9]{1,3}(\\.[0-9]{0,4}){2,4}|[0-9.a]{0,16}") {
            prop_assert_eq!(parse_v4(text.as_bytes()), text.parse::<Ipv4Addr>().ok());
        }

        #[test]
        fn every_address_is_itself(bits in any::<u32>(), v6 in any::<u128>()) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(parse(v4.to_string().as_bytes()), Some(IpAddr::V4(v4)));
            let v6 = Ipv6Addr::from(v6);
            prop_assert_eq!(parse(format!("[{v6}]").as_bytes()), Some(IpAddr::V6(v6).to_canonical()));
        }
    }
}
