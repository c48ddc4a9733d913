//! A certificate authority of which nobody gets a certificate: each of its answers is wrong in a way of its own.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

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
}

/// One that listens for as long as the test's process lives.
#[derive(Debug)]
pub struct FaultyCa {
    fault: Arc<Mutex<Fault>>,
    asked: Arc<AtomicUsize>,
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

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

async fn serve(
    listener: std::net::TcpListener,
    tls: ServerTls,
    fault: Arc<Mutex<Fault>>,
    asked: Arc<AtomicUsize>,
) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, fault, asked) = (tls.acceptor(), fault.clone(), asked.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let Some(head) = head(&mut stream).await else {
                return;
            };
            asked.fetch_add(1, Relaxed);
            let fault = *fault.lock();
            if fault == Fault::Silent {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            let _ = stream.write_all(answer(&head, fault).as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// Reads a request. Returns its head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
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
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    Some(head)
}

fn answer(head: &str, fault: Fault) -> String {
    let (status, kind, more, body) = match fault {
        Fault::Silent | Fault::Broken => ("500 Internal Server Error", "text/plain", String::new(), "boom".to_owned()),
        Fault::Garbage => ("200 OK", "text/html", String::new(), "<h1>It works!</h1>".to_owned()),
        Fault::RateLimited(_) if head.starts_with("GET /dir ") => {
            let url = |name: &str| format!("https://127.0.0.1:14001/{name}");
            let directory = format!(
                r#"{{"newNonce": "{}", "newAccount": "{}", "newOrder": "{}"}}"#,
                url("nonce"),
                url("account"),
                url("order")
            );
            ("200 OK", "application/json", String::new(), directory)
        }
        Fault::RateLimited(_) if head.starts_with("HEAD /nonce ") => {
            ("200 OK", "text/plain", "Replay-Nonce: bm9uY2U\r\n".to_owned(), String::new())
        }
        Fault::RateLimited(seconds) => (
            "429 Too Many Requests",
            "application/problem+json",
            format!("Retry-After: {seconds}\r\n"),
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many accounts", "status": 429}"#.to_owned(),
        ),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
