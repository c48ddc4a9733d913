//! What must hold of any input, however odd: for the fuzzer, and for the test that replays what it found.

use std::net::IpAddr;

use super::{
    announced::{MAX_HEADER, announced},
    chain::{Grammar, client},
};

/// 10.0.0.0/8 and fd00::/8.
fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.octets()[0] == 0xfd,
    }
}

/// A chain, its lines separated by line feeds: who is named is not a proxy, and nothing that stands further left, in the same
/// line or an earlier one, changes who it is.
///
/// # Panics
///
/// When that does not hold.
pub(super) fn chain(input: &[u8]) {
    for grammar in [Grammar::Addresses, Grammar::Forwarded] {
        let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        let named = client(grammar, lines.iter().copied(), is_trusted);
        let Ok(address) = named else { continue };
        assert!(!is_trusted(address), "{address} is a proxy's");
        assert_eq!(address, address.to_canonical());
        for forged in [
            &b"192.0.2.1"[..],
            b"for=192.0.2.1",
            b"junk",
            b"for=\"",
            b"\"\\",
            b"\xff",
            b"",
            b", ,;",
        ] {
            let mut earlier = vec![forged];
            earlier.extend(&lines);
            assert_eq!(client(grammar, earlier.into_iter(), is_trusted), named);
            let mut appended = [forged, b", "].concat();
            appended.extend_from_slice(lines[0]);
            let appended = [&appended[..]].into_iter().chain(lines[1..].iter().copied());
            let appended: Vec<_> = appended.collect();
            assert_eq!(client(grammar, appended.into_iter(), is_trusted), named);
        }
    }
}

/// What a connection may begin with: a PROXY header is no longer than the longest, and is the same whatever follows it.
///
/// # Panics
///
/// When that does not hold.
pub(super) fn proxy_header(input: &[u8]) {
    let Ok((whom, length)) = announced(input) else {
        return;
    };
    assert!(length <= MAX_HEADER.min(input.len()), "{length} bytes");
    assert_eq!(announced(&input[..length]), Ok((whom, length)));
    let followed = [&input[..length], b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(announced(&followed), Ok((whom, length)));
    for cut in 0..length {
        assert!(announced(&input[..cut]).is_err(), "{cut} of {length} bytes");
    }
}
