use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use secbeat_daemon::tls::CertificateFiles;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use super::{
    super::{
        LOOK,
        config::{self, ListenerConfig, ServerUrl},
    },
    lab::{Lab, OK, get, soon},
};

/// Who signs in these tests.
pub(super) struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Writes a certificate for `names` and its key.
    pub(super) fn issue(&self, folder: &Path, file: &str, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        let files = CertificateFiles {
            certificate: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    pub(super) fn client(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.1.as_bytes()).unwrap())
            .unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }
}

async fn lab(files: Vec<CertificateFiles>) -> Lab {
    Lab::with(|config| config.listeners[0].certificates = files).await
}

pub(super) async fn connect(
    lab: &Lab,
    connector: &TlsConnector,
    name: &'static str,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(lab.proxy).await.unwrap();
    soon(
        "a handshake",
        connector.connect(ServerName::try_from(name).unwrap(), stream),
    )
    .await
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = vec![
        authority.issue(folder.path(), "a", &["a.example"]),
        authority.issue(folder.path(), "b", &["b.example", "*.b.example"]),
    ];
    let lab = lab(files).await;
    let connector = authority.client(&["http/1.1"]);
    for name in ["a.example", "b.example", "x.b.example"] {
        let mut client = connect(&lab, &connector, name).await.unwrap();
        client.write_all(get("/").as_bytes()).await.unwrap();
        let mut upstream = lab.upstream().await;
        let head = upstream.head().await.to_lowercase();
        assert!(head.contains("x-forwarded-proto: https\r\n"), "{head}");
        upstream.send(OK).await;
        let mut status = [0; 12];
        soon("the answer", client.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    assert!(connect(&lab, &connector, "c.example").await.is_err());
}

#[tokio::test]
async fn http2_and_http1_are_negotiated() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let lab = lab(vec![authority.issue(folder.path(), "a", &["a.example"])]).await;
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        // As `curl -0` does.
        (&["http/1.0"], Some(b"http/1.0")),
        (&[], None),
    ] {
        let client = connect(&lab, &authority.client(offered), "a.example")
            .await
            .unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), chosen);
    }
}

#[tokio::test]
async fn a_changed_certificate_is_used_and_a_bad_one_is_not() {
    let (old, new, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let files = old.issue(folder.path(), "a", &["a.example"]);
    let lab = lab(vec![files.clone()]).await;
    assert!(connect(&lab, &old.client(&[]), "a.example").await.is_ok());

    // A key that is no longer the certificate's: what was stays.
    let key = fs::read(&files.key).unwrap();
    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    tokio::time::sleep(2 * LOOK).await;
    assert!(connect(&lab, &old.client(&[]), "a.example").await.is_ok());
    let error = lab.reloader.reload(lab.config.clone()).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("does not go with certificate"),
        "{error:#}"
    );

    fs::write(&files.key, key).unwrap();
    new.issue(folder.path(), "a", &["a.example"]);
    let used = async {
        while connect(&lab, &new.client(&[]), "a.example").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the new certificate is used", used).await;
    assert!(connect(&lab, &old.client(&[]), "a.example").await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_cut_off() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let lab = Lab::with(|config| {
        config.listeners[0].certificates = vec![files];
        config.header_timeout = Duration::from_millis(100);
    })
    .await;
    assert_eq!(lab.client().await.rest().await, "");
    let silent = connect(&lab, &authority.client(&["h2"]), "a.example")
        .await
        .unwrap();
    let mut silent = silent;
    let mut rest = Vec::new();
    let _ = soon(
        "an HTTP/2 client that says nothing is cut off",
        silent.read_to_end(&mut rest),
    )
    .await;
}

#[tokio::test]
async fn what_is_no_tls_is_reported_and_whom_we_do_not_suit_is_not() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let mut lab = Lab::with(|config| {
        config.listeners[0].certificates = vec![files];
        config.header_timeout = Duration::from_millis(100);
    })
    .await;
    // Who does not trust the certificate, or goes away again, has done nothing.
    assert!(
        connect(&lab, &Authority::new().client(&["h2"]), "a.example")
            .await
            .is_err()
    );
    drop(lab.client().await);
    for (said, status) in [(get("/"), 400), ("\u{16}\u{3}\u{1}\u{2}".to_owned(), 408)] {
        let mut client = lab.client().await;
        client.send(&said).await;
        client.rest().await;
        assert_eq!(lab.queue.next().await.status, status);
    }
    assert!(lab.queue.is_empty());
}

/// A server in TLS that answers one HTTP/1.1 request, and what it was asked.
async fn answer_once(listener: TcpListener, files: CertificateFiles, protocol: &str) -> String {
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let (stream, _) = soon("the proxy's connection", listener.accept()).await.unwrap();
    let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
    if protocol == "h2" {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sender = std::sync::Mutex::new(Some(sender));
        let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let asked = format!(
                "{:?} {} {:?}",
                request.version(),
                request.uri(),
                request.headers()
            );
            let _ = sender.lock().unwrap().take().unwrap().send(asked);
            async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(
                    http_body_util::Full::<bytes::Bytes>::from("hi"),
                ))
            }
        });
        let connection = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => panic!("the connection ended"),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        return receiver.await.unwrap();
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        .await
        .unwrap();
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn servers_are_spoken_to_in_tls_and_in_http2_where_they_can() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "server", &["localhost"]);
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.1).unwrap();
    for (protocol, expected) in [
        ("http/1.1", "GET /a HTTP/1.1\r\n"),
        ("h2", "HTTP/2.0 https://example.org/a "),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ca = ca.clone();
        let lab = Lab::with(|config| {
            config.upstreams[0].servers = vec![server_at(port)];
            config.upstreams[0].ca = Some(ca);
        })
        .await;
        let server = tokio::spawn(answer_once(listener, files.clone(), protocol));
        let mut client = lab.client().await;
        client.send(&get("/a")).await;
        assert!(
            client.head().await.starts_with("HTTP/1.1 200 OK\r\n"),
            "{protocol}"
        );
        assert_eq!(client.until("hi").await, "hi");
        let asked = server.await.unwrap();
        assert!(asked.starts_with(expected), "{asked}");
    }
}

fn server_at(port: u16) -> config::ServerConfig {
    let url: ServerUrl = format!("https://localhost:{port}").parse().unwrap();
    url.into()
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_a_502() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "server", &["localhost"]);
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, Authority::new().1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lab = Lab::with(|config| {
        config.upstreams[0].servers = vec![server_at(port)];
        config.upstreams[0].ca = Some(ca);
    })
    .await;
    tokio::spawn(answer_once(listener, files, "http/1.1"));
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn clients_that_came_by_tls_are_told_to_stay_with_it() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let lab = Lab::with(|config| {
        config.listeners[0].certificates = vec![files];
        config.hsts = Some(Duration::from_secs(86400));
    })
    .await;
    let mut client = connect(&lab, &authority.client(&["http/1.1"]), "a.example")
        .await
        .unwrap();
    let mut upstream = None;
    for (field, told) in [
        ("", "max-age=86400"),
        ("Strict-Transport-Security: max-age=0\r\n", "max-age=0"),
    ] {
        client.write_all(get("/").as_bytes()).await.unwrap();
        let server = match &mut upstream {
            Some(server) => server,
            None => upstream.insert(lab.upstream().await),
        };
        server.head().await;
        server
            .send(&format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 0\r\n\r\n"))
            .await;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(soon("the answer", client.read_u8()).await.unwrap().into());
        }
        let field = format!("strict-transport-security: {told}\r\n");
        assert!(head.to_lowercase().matches(&field).count() == 1, "{head}");
    }
}

#[tokio::test]
async fn a_listener_turns_to_tls_by_a_reload() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let lab = Lab::new().await;
    let mut config = lab.config.clone();
    config.listeners = vec![ListenerConfig {
        certificates: vec![files],
        ..config.listeners[0].clone()
    }];
    lab.reloader.reload(config).await.unwrap();
    assert!(
        connect(&lab, &authority.client(&["h2"]), "a.example")
            .await
            .is_ok()
    );
}
