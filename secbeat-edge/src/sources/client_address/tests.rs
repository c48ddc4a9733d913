//! Whom chains and headers name.

mod connections;

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(header: &str) -> ClientRule {
    let trusted = ["10.0.0.0/8", "2001:db8:ff::/48"];
    ClientRule {
        trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
        header: header.parse().unwrap(),
    }
}

fn headers(name: &str, lines: &[&[u8]]) -> HeaderMap {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(&name, HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

/// Whom a request from the proxy with these lines is from.
fn named(header: &str, lines: &[&str]) -> Result<String, Unattributed> {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    let client = rule(header).client(&Connection::direct(address(PROXY)), &headers(header, &lines))?;
    assert_eq!(client.learned_from, LearnedFrom::Header);
    Ok(client.address.to_string())
}

#[test]
fn x_forwarded_for_names_the_right_most_untrusted_hop() {
    use Unattributed::{Hidden, Malformed, Missing, OnlyProxies};
    let long = format!("{}198.51.100.7", "192.0.2.1, ".repeat(6000));
    let cases: &[(&[&str], Result<&str, Unattributed>)] = &[
        (&["198.51.100.7"], Ok("198.51.100.7")),
        (&["198.51.100.7, 10.1.2.3"], Ok("198.51.100.7")),
        (&["192.0.2.1, 198.51.100.7, 10.1.2.3"], Ok("198.51.100.7")),
        (
            &["192.0.2.1", "198.51.100.7", "10.1.2.3, 10.0.0.9"],
            Ok("198.51.100.7"),
        ),
        (&["198.51.100.7:4711"], Ok("198.51.100.7")),
        (&["\t198.51.100.7 ,, 10.1.2.3 ,"], Ok("198.51.100.7")),
        (&["198.51.100.7", ""], Ok("198.51.100.7")),
        (&["2001:db8::7"], Ok("2001:db8::7")),
        (&["[2001:db8::7]"], Ok("2001:db8::7")),
        (&["[2001:db8::7]:443, 2001:DB8:ff::1"], Ok("2001:db8::7")),
        (&["fe80::7%eth0"], Ok("fe80::7")),
        (&["[fe80::7%25eth0]:1"], Ok("fe80::7")),
        (&["::ffff:198.51.100.7, ::ffff:10.0.0.2"], Ok("198.51.100.7")),
        // What the client wrote changes nothing, however odd.
        (&["junk, 198.51.100.7"], Ok("198.51.100.7")),
        (&["unknown", "\"", "198.51.100.7"], Ok("198.51.100.7")),
        (&[&long], Ok("198.51.100.7")),
        (&[], Err(Missing)),
        (&[""], Err(Missing)),
        (&[" , ,, "], Err(Missing)),
        (&["10.1.2.3"], Err(OnlyProxies)),
        (&["10.1.2.3, 10.0.0.9", "2001:db8:ff::9"], Err(OnlyProxies)),
        (&["198.51.100.7, unknown"], Err(Hidden)),
        (&["198.51.100.7, _gazonk, 10.1.2.3"], Err(Hidden)),
        (&["198.51.100.7, junk"], Err(Malformed)),
        (&["198.51.100.7, junk, 10.1.2.3"], Err(Malformed)),
        (&["198.51.100.007"], Err(Malformed)),
        (&["198.51.100"], Err(Malformed)),
        (&["198.51.100.7:"], Err(Malformed)),
        (&["198.51.100.7:65536"], Err(Malformed)),
        (&["198.51.100.7:+1"], Err(Malformed)),
        (&["198.51.100.7 10.1.2.3"], Err(Malformed)),
        (&["198.51.100.7%eth0"], Err(Malformed)),
        (&["[198.51.100.7]"], Err(Malformed)),
        (&["[2001:db8::7"], Err(Malformed)),
        (&["[2001:db8::7]x"], Err(Malformed)),
        (&["2001:db8::7]"], Err(Malformed)),
        (&["fe80::7%"], Err(Malformed)),
        (&["\"198.51.100.7\""], Err(Malformed)),
        (&["for=198.51.100.7"], Err(Malformed)),
        (&["_"], Err(Malformed)),
        (&["_a b"], Err(Malformed)),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            named("x-forwarded-for", lines),
            expected.map(str::to_owned),
            "{lines:?}"
        );
    }
}

#[test]
fn forwarded_names_the_right_most_untrusted_hop() {
    use Unattributed::{Hidden, Malformed, Missing, OnlyProxies};
    let cases: &[(&[&str], Result<&str, Unattributed>)] = &[
        (&["for=198.51.100.7"], Ok("198.51.100.7")),
        (
            &["For=198.51.100.7;proto=http;by=203.0.113.43"],
            Ok("198.51.100.7"),
        ),
        (
            &["proto=wss; host=\"a, b;for=x\" ;for=198.51.100.7"],
            Ok("198.51.100.7"),
        ),
        (
            &["for=192.0.2.1, for=198.51.100.7, for=10.1.2.3"],
            Ok("198.51.100.7"),
        ),
        (
            &["for=192.0.2.1", "for=198.51.100.7;;", "for=10.1.2.3"],
            Ok("198.51.100.7"),
        ),
        (&["for=\"198.51.100.7:4711\""], Ok("198.51.100.7")),
        (&["for=\"198.51.100.7:_port\""], Ok("198.51.100.7")),
        (&["for=\"[2001:db8:cafe::17]:4711\""], Ok("2001:db8:cafe::17")),
        (
            &["for=\"[2001:db8::17]\", for=\"[2001:db8:ff::1]\""],
            Ok("2001:db8::17"),
        ),
        (&["for=[2001:db8::17]"], Ok("2001:db8::17")),
        (&["for=\"[::ffff:198.51.100.7]\""], Ok("198.51.100.7")),
        (&["for=\"198\\.51.100.7\""], Ok("198.51.100.7")),
        (
            &[
                "for=198.51.100.7;x=\"a\\\\\"",
                "for=10.0.0.1;x=\"\\\", for=1.1.1.1\"",
            ],
            Ok("198.51.100.7"),
        ),
        // A quote that the client left open does not swallow what the proxy appended.
        (&["for=\", for=198.51.100.7"], Ok("198.51.100.7")),
        (&["for=\"\\, for=198.51.100.7;x=\"y\""], Ok("198.51.100.7")),
        (&["junk, for=198.51.100.7"], Ok("198.51.100.7")),
        (&[], Err(Missing)),
        (&["  "], Err(Missing)),
        (&["for=10.1.2.3"], Err(OnlyProxies)),
        (&["for=198.51.100.7, for=unknown"], Err(Hidden)),
        (&["for=198.51.100.7, for=Unknown:80"], Err(Hidden)),
        (&["for=198.51.100.7, for=\"_gazonk\""], Err(Hidden)),
        (&["for=198.51.100.7, proto=https"], Err(Hidden)),
        (&["for=198.51.100.7, ;"], Err(Hidden)),
        (&["for=198.51.100.7;for=192.0.2.1"], Err(Malformed)),
        (&["for"], Err(Malformed)),
        (&["for="], Err(Malformed)),
        (&["for=\""], Err(Malformed)),
        (&["for=\"198.51.100.7"], Err(Malformed)),
        (&["for = 198.51.100.7"], Err(Hidden)),
        (&["for= 198.51.100.7"], Err(Malformed)),
        (&["198.51.100.7"], Err(Malformed)),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            named("forwarded", lines),
            expected.map(str::to_owned),
            "{lines:?}"
        );
    }
}

#[test]
fn exactly_one_header_counts() {
    let mut both = headers("x-forwarded-for", &[b"198.51.100.7"]);
    both.insert("forwarded", HeaderValue::from_static("for=198.51.100.8"));
    both.insert("cf-connecting-ip", HeaderValue::from_static("2001:db8::9"));
    let client = |header: &str| rule(header).client(&Connection::direct(address(PROXY)), &both);
    for (header, expected) in [
        ("X-Forwarded-For", "198.51.100.7"),
        ("Forwarded", "198.51.100.8"),
        ("CF-Connecting-IP", "2001:db8::9"),
    ] {
        assert_eq!(client(header).unwrap().address, address(expected), "{header}");
    }
    assert_eq!(client("x-real-ip"), Err(Unattributed::Missing));
    assert!("x forwarded for".parse::<ClientHeader>().is_err());
}

#[test]
fn a_header_counts_for_whom_the_proxy_protocol_names_if_that_is_a_proxy_too() {
    let headers = headers("x-forwarded-for", &[b"198.51.100.7"]);
    let over = |client: &str| Client {
        address: address(client),
        learned_from: LearnedFrom::ProxyProtocol,
    };
    let connection = |from| Connection {
        peer: address(PROXY),
        from,
    };
    let rule = rule("x-forwarded-for");
    assert_eq!(
        rule.client(&connection(Ok(over("192.0.2.9"))), &headers),
        Ok(over("192.0.2.9"))
    );
    assert_eq!(
        rule.client(&connection(Ok(over("10.0.0.9"))), &headers)
            .map(|client| client.address),
        Ok(address("198.51.100.7"))
    );
    assert_eq!(
        rule.client(&connection(Err(Unattributed::Local)), &headers),
        Err(Unattributed::Local)
    );
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
    ]
}

/// Bytes that a field value may have, those that the grammars know more often than others.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(&b"0123456789abcdef.:[]%,;=\"\\_ \tfor"[..]);
    let byte = prop_oneof![8 => known, 1 => 0x20..=0x7e_u8, 1 => 0x80..=0xff_u8];
    let address = any_address().prop_map(|address| address.to_string().into_bytes());
    let piece = prop_oneof![
        prop::collection::vec(byte, 0..12),
        address,
        Just(b"for=".to_vec()),
        Just(b", ".to_vec())
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_sends(
        peer in any_address(),
        lines in prop::collection::vec(any_value(), 0..4),
        header in prop::sample::select(&["x-forwarded-for", "forwarded", "cf-connecting-ip"][..]),
    ) {
        let rule = rule(header);
        prop_assume!(!rule.trusted.contains(peer));
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let client = rule.client(&Connection::direct(peer), &headers(header, &lines));
        prop_assert_eq!(client, Ok(Client::peer(peer)));
    }

    #[test]
    fn no_proxy_is_ever_blamed(
        lines in prop::collection::vec(any_value(), 0..4),
        header in prop::sample::select(&["x-forwarded-for", "forwarded", "cf-connecting-ip"][..]),
    ) {
        let rule = rule(header);
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        if let Ok(client) = rule.client(&Connection::direct(address(PROXY)), &headers(header, &lines)) {
            prop_assert!(!rule.trusted.contains(client.address), "{}", client.address);
        }
    }

    #[test]
    fn what_a_client_writes_does_not_change_whom_the_proxies_name(
        forged in prop::collection::vec(any_value(), 0..3),
        client in any_address(),
        proxies in prop::collection::vec(any::<[u8; 3]>(), 0..4),
        in_one_line in any::<bool>(),
        forwarded in any::<bool>(),
    ) {
        let header = if forwarded { "forwarded" } else { "x-forwarded-for" };
        let rule = rule(header);
        let client = client.to_canonical();
        prop_assume!(!rule.trusted.contains(client));
        let proxies = proxies.iter().map(|[a, b, c]| IpAddr::from([10, *a, *b, *c]));
        let appended: Vec<_> = std::iter::once(client).chain(proxies).map(|hop| match (forwarded, hop) {
            (false, hop) => hop.to_string(),
            (true, IpAddr::V4(v4)) => format!("for={v4};proto=https"),
            (true, IpAddr::V6(v6)) => format!("for=\"[{v6}]:1\";host=\"a, b\""),
        }).collect();
        let mut lines: Vec<Vec<u8>> = forged;
        lines.extend(appended.into_iter().map(String::into_bytes));
        if in_one_line {
            lines = vec![lines.join(&b", "[..])];
        }
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let found = rule.client(&Connection::direct(address(PROXY)), &headers(header, &lines));
        prop_assert_eq!(found.map(|client| client.address), Ok(client));
    }

    #[test]
    fn well_formed_chains_are_read_as_parse_net_reads_them(
        line in any_value(),
        forwarded in any::<bool>(),
    ) {
        use parse_net::{ClientAddress, ForwardedSource, client_address};
        let header = if forwarded { "forwarded" } else { "x-forwarded-for" };
        let rule = rule(header);
        let lines = [&line[..]];
        let source = match forwarded {
            true => ForwardedSource::Forwarded(&lines),
            false => ForwardedSource::XForwardedFor(&lines),
        };
        let is_trusted = |address| rule.trusted.contains(address);
        let found = rule.client(&Connection::direct(address(PROXY)), &headers(header, &lines));
        match client_address(address(PROXY), source, &is_trusted, u8::MAX) {
            Ok(ClientAddress::Forwarded { addr, .. }) if !is_trusted(addr) =>
                prop_assert_eq!(found.map(|client| client.address), Ok(addr.to_canonical())),
            Ok(ClientAddress::Unknown { .. }) => prop_assert_eq!(found, Err(Unattributed::Hidden)),
            Ok(ClientAddress::Forwarded { .. } | ClientAddress::Peer(_)) => prop_assert!(found.is_err()),
            // It refuses more: what the client wrote is of no interest to us.
            _ => {}
        }
    }

    #[test]
    fn any_bytes_keep_what_the_fuzzer_checks(value in any_value(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        oracle::chain(&value);
        oracle::chain(&bytes);
        oracle::proxy_header(&bytes);
    }
}

/// Grown by `cargo xtask fuzz`.
#[test]
fn the_fuzzers_corpora_keep_what_it_checks() {
    let corpora = [
        ("chain", oracle::chain as fn(&[u8])),
        ("proxy_header", oracle::proxy_header),
    ];
    for (target, check) in corpora {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut replayed = 0;
        for file in fs::read_dir(&folder).unwrap() {
            check(&fs::read(file.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 20, "only {replayed} files in {}", folder.display());
    }
}
