//! Whom PROXY headers name, and which connections are refused.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::super::{announced::HeaderError, proxy_protocol::ProxyProtocolError};
use super::*;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: command, family, and what follows the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, rest].concat()
}

fn v4_rest(tlvs: usize) -> Vec<u8> {
    let mut rest = vec![198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];
    rest.resize(rest.len() + tlvs, 0xff);
    rest
}

#[test]
fn proxy_headers_name_a_client_or_nobody() {
    let mapped = [&[0; 10][..], &[0xff; 2], &[198, 51, 100, 7], &[0; 20]].concat();
    let v1 = |text: &str| text.as_bytes().to_vec();
    for (header, expected) in [
        (
            v1("PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"),
            Ok("198.51.100.7"),
        ),
        (
            v1("PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"),
            Ok("2001:db8::7"),
        ),
        (
            v1("PROXY TCP6 ::ffff:198.51.100.7 ::1 1 2\r\n"),
            Ok("198.51.100.7"),
        ),
        (v1("PROXY UNKNOWN\r\n"), Err(Unattributed::Local)),
        (
            v1("PROXY UNKNOWN ffff:f::1 ffff:f::2 65535 65535\r\n"),
            Err(Unattributed::Local),
        ),
        (v2(0x21, 0x11, &v4_rest(0)), Ok("198.51.100.7")),
        // Bytes that are no TLVs are skipped like TLVs.
        (v2(0x21, 0x11, &v4_rest(4000)), Ok("198.51.100.7")),
        (v2(0x21, 0x21, &mapped), Ok("198.51.100.7")),
        (v2(0x20, 0x00, &[]), Err(Unattributed::Local)),
        (v2(0x20, 0x11, &v4_rest(0)), Err(Unattributed::Local)),
        (v2(0x21, 0x00, &[1, 2, 3]), Err(Unattributed::Local)),
        (v2(0x21, 0x12, &v4_rest(0)), Err(Unattributed::Local)),
        (v2(0x21, 0x31, &[b'x'; 216]), Err(Unattributed::Local)),
    ] {
        let length = header.len();
        let followed = [header, b"GET / HTTP/1.1\r\n".to_vec()].concat();
        let expected = expected.map(address);
        assert_eq!(
            announced::announced(&followed),
            Ok((expected, length)),
            "{expected:?}"
        );
        oracle::proxy_header(&followed);
    }
}

#[test]
fn what_is_no_proxy_header_is_refused() {
    let too_long = v2(0x21, 0x11, &v4_rest(4096));
    let malformed = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\n".to_vec(),
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(),
        b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 443\r\n".to_vec(),
        b"PROXY\tTCP4 198.51.100.7 192.0.2.1 4711 443\r\n".to_vec(),
        b"proxy TCP4 198.51.100.7 192.0.2.1 4711 443\r\n".to_vec(),
        v2(0x22, 0x11, &v4_rest(0)),
        v2(0x11, 0x11, &v4_rest(0)),
        v2(0x21, 0x11, &v4_rest(0)[..11]),
        v2(0x21, 0x41, &v4_rest(0)),
        Vec::new(),
    ];
    for header in malformed {
        assert_eq!(
            announced::announced(&header),
            Err(HeaderError::Malformed),
            "{}",
            header.escape_ascii()
        );
    }
    assert_eq!(announced::announced(&too_long), Err(HeaderError::TooLong(4124)));
    let endless = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    assert_eq!(
        announced::announced(endless.as_bytes()),
        Err(HeaderError::TooLong(116))
    );
}

/// Both ends of a connection over loopback.
async fn connection() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    (client, server, peer)
}

fn loopback() -> TrustedProxies {
    ["127.0.0.0/8".parse().unwrap()].into_iter().collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_header_is_taken_off_the_connection_and_nothing_else_however_it_is_cut() {
    let line = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n".to_vec();
    for header in [line, v2(0x21, 0x11, &v4_rest(100))] {
        for pieces in [1, 7, header.len() + 5] {
            let (mut client, mut server, peer) = connection().await;
            client.set_nodelay(true).unwrap();
            let sent = [&header[..], b"hello"].concat();
            let sending = tokio::spawn(async move {
                for piece in sent.chunks(pieces) {
                    client.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let named = proxied_client(&mut server, peer.ip(), &loopback(), PATIENCE)
                .await
                .unwrap();
            let expected = Client {
                address: address("198.51.100.7"),
                learned_from: LearnedFrom::ProxyProtocol,
            };
            assert_eq!(named, Ok(expected));
            sending.await.unwrap();
            let mut rest = String::new();
            server.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "hello");
        }
    }
}

#[tokio::test]
async fn connections_without_a_header_of_a_trusted_proxy_are_refused() {
    let refused = async |sent: &[u8], closes: bool, trusted: TrustedProxies, patience| {
        let (mut client, mut server, peer) = connection().await;
        client.write_all(sent).await.unwrap();
        if closes {
            client.shutdown().await.unwrap();
        }
        proxied_client(&mut server, peer.ip(), &trusted, patience)
            .await
            .unwrap_err()
    };
    let good = b"PROXY UNKNOWN\r\n";
    let error = refused(good, true, TrustedProxies::default(), PATIENCE).await;
    assert!(matches!(error, ProxyProtocolError::Untrusted(_)), "{error}");
    for sent in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[b'P'; 200],
        b"PROXY nonsense\r\n",
    ] {
        let error = refused(sent, false, loopback(), PATIENCE).await;
        assert!(
            matches!(error, ProxyProtocolError::Header(HeaderError::Malformed)),
            "{error}"
        );
    }
    let error = refused(&v2(0x21, 0x11, &v4_rest(5000)), false, loopback(), PATIENCE).await;
    assert!(
        matches!(error, ProxyProtocolError::Header(HeaderError::TooLong(5028))),
        "{error}"
    );
    for sent in [&b""[..], b"PROXY", b"\r\n\r\n\0"] {
        let error = refused(sent, false, loopback(), Duration::from_millis(50)).await;
        assert!(matches!(error, ProxyProtocolError::TimedOut), "{error}");
        let error = refused(sent, true, loopback(), PATIENCE).await;
        assert!(
            matches!(
                error,
                ProxyProtocolError::Header(HeaderError::Malformed) | ProxyProtocolError::Read(_)
            ),
            "{error}"
        );
    }
}
