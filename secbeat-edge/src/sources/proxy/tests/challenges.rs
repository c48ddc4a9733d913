//! What a certificate authority is shown while an order is open, and nobody else.

use std::sync::{Arc, Mutex};

use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{
    lab::{Conn, Lab, get, soon},
    tls::{Authority, connect},
};

const DIGEST: [u8; 32] = *b"a digest of 32 bytes, as SHA-256";

/// Looks at any certificate.
#[derive(Debug, Default)]
struct Looker(Mutex<Option<Vec<u8>>>);

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Asks as a certificate authority does. The certificate, and how many bytes came before the end.
async fn ask(lab: &Lab, name: &'static str) -> std::io::Result<(Vec<u8>, usize)> {
    let looker = Arc::<Looker>::default();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(looker.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(lab.proxy).await?;
    let name = ServerName::try_from(name).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let mut stream = soon("a handshake", connecting).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let mut rest = Vec::new();
    soon("the end", stream.read_to_end(&mut rest)).await?;
    let certificate = looker.0.lock().unwrap().take().unwrap();
    Ok((certificate, rest.len()))
}

#[tokio::test]
async fn a_challenge_by_tls_is_answered_while_it_is_open_and_is_no_offence() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let lab = Lab::with(|config| {
        config.listeners[0].certificates = vec![files];
        config.listeners[0].acme = true;
    })
    .await;
    assert!(ask(&lab, "a.example").await.is_err(), "no order is open");
    let posed = lab.challenges.pose_tls("a.example", &DIGEST).unwrap();
    let (certificate, sent) = ask(&lab, "A.example").await.unwrap();
    assert!(certificate.windows(DIGEST.len()).any(|part| part == DIGEST));
    assert_eq!(sent, 0, "the handshake is all");
    assert!(
        ask(&lab, "b.example").await.is_err(),
        "the order is for another name"
    );
    // Others get what they always get.
    let client = authority.client(&["acme-tls/1", "h2"]);
    let stream = connect(&lab, &client, "a.example").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    drop(posed);
    assert!(ask(&lab, "a.example").await.is_err(), "the order is over");
    assert!(lab.queue.is_empty(), "nobody is to blame");
}

#[tokio::test]
async fn garbage_is_an_offence_also_while_a_challenge_is_open() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let mut lab = Lab::with(|config| {
        config.listeners[0].certificates = vec![files];
        config.listeners[0].acme = true;
    })
    .await;
    let _posed = lab.challenges.pose_tls("a.example", &DIGEST).unwrap();
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    client.rest().await;
    assert_eq!(lab.queue.next().await.status, 400);
}

#[tokio::test]
async fn a_challenge_by_http_is_answered_before_redirects_and_for_its_token_alone() {
    const PATH: &str = "/.well-known/acme-challenge/token";
    async fn status(client: &mut Conn, path: &str) -> String {
        client.send(&get(path)).await;
        client.head().await
    }
    let lab = Lab::with(|config| config.listeners[0].redirect_to_https = Some(443)).await;
    let mut client = lab.client().await;
    assert!(status(&mut client, PATH).await.starts_with("HTTP/1.1 308 "));
    let posed = lab.challenges.pose_http("token", "token.thumbprint");
    for path in [
        "/.well-known/acme-challenge/other",
        "/.well-known/acme-challenge/",
        "/token",
    ] {
        assert!(
            status(&mut client, path).await.starts_with("HTTP/1.1 308 "),
            "{path}"
        );
    }
    assert!(status(&mut client, PATH).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.until("thumbprint").await, "token.thumbprint");
    drop(posed);
    assert!(status(&mut client, PATH).await.starts_with("HTTP/1.1 308 "));
}
