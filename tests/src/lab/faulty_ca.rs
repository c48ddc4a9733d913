//! A certificate authority of which nobody gets a certificate: each of its answers is wrong in a way of its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use secbeat_daemon::tls::{CertificateFiles, ServerTls};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::lab::{netns::Namespace, pebble};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A page of somebody else stands where the directory should be.
    Garbage,
    /// Status 500 for everything.
    Broken,
    /// It accepts connections, and says nothing.
    Silent,
    /// Everybody has too many accounts, for so many seconds.
    RateLimited(u32),
    /// It wants each certificate to be renewed now (RFC 9773), and takes no order for an hour.
    WantsRenewal,
}

/// The first lines of requests, with their bodies.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// One that listens for as long as the test's process lives.
#[derive(Debug)]
pub struct FaultyCa {
    fault: Arc<Mutex<Fault>>,
    asked: Asked,
    folder: TempDir,
}

impl FaultyCa {
    /// The URL of its directory.
    pub const DIRECTORY: &'static str = "https://127.0.0.1:14001/dir";

    /// Starts one in `namespace`.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    #[must_use]
    pub fn start(namespace: &Namespace, fault: Fault) -> Self {
        let folder = tempfile::tempdir().expect("making a folder");
        pebble::certify(folder.path());
        let files = CertificateFiles {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
        };
        let tls = ServerTls::new(&[files], &["http/1.1"]).expect("a certificate");
        let authority = Self {
            fault: Arc::new(Mutex::new(fault)),
            asked: Arc::default(),
            folder,
        };
        let (fault, asked) = (authority.fault.clone(), authority.asked.clone());
        let listener = namespace.enter(|| std::net::TcpListener::bind("127.0.0.1:14001").expect("a socket"));
        listener.set_nonblocking(true).expect("a socket");
        namespace.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(serve(listener, tls, fault, asked));
        });
        authority
    }

    /// Who vouches for its server.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Has something else be wrong from now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    /// Requests so far: their first lines and their bodies.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().clone()
    }
}

async fn serve(listener: std::net::TcpListener, tls: ServerTls, fault: Arc<Mutex<Fault>>, asked: Asked) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, fault, asked) = (tls.acceptor(), fault.clone(), asked.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let Some((line, body)) = request(&mut stream).await else {
                return;
            };
            asked.lock().push((line.clone(), body));
            let fault = *fault.lock();
            if fault == Fault::Silent {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            let _ = stream.write_all(answer(&line, fault).as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// Reads a request. Returns its first line and its body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths
        .next()
        .and_then(|(_, length)| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head.lines().next()?.to_owned(), String::from_utf8(body).ok()?))
}

fn answer(line: &str, fault: Fault) -> String {
    let (status, kind, more, body) = match (fault, line) {
        (Fault::Silent | Fault::Broken, _) => {
            ("500 Internal Server Error", "text/plain", String::new(), BOOM)
        }
        (Fault::Garbage, _) => ("200 OK", "text/html", String::new(), "<h1>It works!</h1>"),
        (Fault::WantsRenewal, "GET /dir HTTP/1.1") => {
            ("200 OK", "application/json", String::new(), WITH_RENEWAL)
        }
        (_, "GET /dir HTTP/1.1") => ("200 OK", "application/json", String::new(), DIRECTORY),
        (_, "HEAD /nonce HTTP/1.1") => ("200 OK", "text/plain", "Replay-Nonce: bm9uY2U\r\n".to_owned(), ""),
        (_, line) if line.starts_with("GET /renewal/") => (
            "200 OK",
            "application/json",
            "Retry-After: 21600\r\n".to_owned(),
            NOW,
        ),
        (fault, _) => {
            let seconds = match fault {
                Fault::RateLimited(seconds) => seconds,
                _ => 3600,
            };
            let more = format!("Retry-After: {seconds}\r\n");
            ("429 Too Many Requests", "application/problem+json", more, LIMITED)
        }
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const BOOM: &str = "boom";
const DIRECTORY: &str = r#"{
    "newNonce": "https://127.0.0.1:14001/nonce",
    "newAccount": "https://127.0.0.1:14001/account",
    "newOrder": "https://127.0.0.1:14001/order"
}"#;
const WITH_RENEWAL: &str = r#"{
    "newNonce": "https://127.0.0.1:14001/nonce",
    "newAccount": "https://127.0.0.1:14001/account",
    "newOrder": "https://127.0.0.1:14001/order",
    "renewalInfo": "https://127.0.0.1:14001/renewal"
}"#;
const NOW: &str = r#"{"suggestedWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}}"#;
const LIMITED: &str =
    r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many accounts", "status": 429}"#;
