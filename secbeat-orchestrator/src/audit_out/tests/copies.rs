//! From the audit in NATS to a file, and to servers on loopback.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use secbeat_bus::{
    AuditLog, Bus, make_all,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_daemon::tls::{CertificateFiles, ServerTls};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinHandle,
};

use super::*;
use crate::{
    audit_out::{AuditCopies, AuditOut, CopyStats},
    leases::{Share, Shares},
};

/// An audit, and an orchestrator that copies it.
struct Lab {
    bus: Bus,
    _member: MemoryBus,
    shares: watch::Sender<Shares>,
}

impl Lab {
    async fn new() -> Self {
        let server = MemoryServer::new(0);
        let member = server.join();
        make_all(&member.bus(), Duration::from_secs(60)).await.unwrap();
        let (shares, _) = watch::channel(shares(Some(1)));
        Self {
            bus: member.bus(),
            _member: member,
            shares,
        }
    }

    async fn record(&self, numbers: std::ops::RangeInclusive<u8>) {
        let mut records = numbers.map(|n| ban(n, "")).collect();
        AuditLog::new(&self.bus).append(&mut records).await.unwrap();
    }

    fn copy(&self, toml: &str) -> (JoinHandle<()>, CopyStats) {
        let settings: AuditOut = toml::from_str(toml).unwrap();
        let (copies, stats) = AuditCopies::new(&settings, &self.bus, &self.shares.subscribe());
        (tokio::spawn(copies.run()), stats)
    }
}

/// What the orchestrator `a` knows while it owns the first partition, or does not.
fn shares(epoch: Option<u64>) -> Shares {
    Shares {
        instance: "a".to_owned(),
        members: Vec::new(),
        differing: Vec::new(),
        unread_since_ms: None,
        partitions: vec![Share {
            partition: 0,
            holder: epoch.map(|_| "a".to_owned()),
            epoch,
        }],
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .is_ok(),
        "{what}"
    );
}

fn targets(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let target = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["target"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    text.lines().map(target).collect()
}

fn expected(numbers: std::ops::RangeInclusive<u8>) -> Vec<String> {
    numbers.map(|n| format!("198.51.100.{n}/32")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_each_record_once_over_restarts_and_rotation() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.json");
    let config = format!("[file]\npath = \"{}\"", path.display());
    lab.record(1..=3).await;
    let position = folder.path().join("audit.json.position");
    let at = |sequence: u64| {
        let position = position.clone();
        move || {
            std::fs::read_to_string(&position)
                .is_ok_and(|text| text.contains(&format!("\"sequence\":{sequence}}}")))
        }
    };
    let (copying, stats) = lab.copy(&config);
    until("three are written", at(3)).await;
    assert_eq!(targets(&path), expected(1..=3));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    // As logrotate does it.
    let old = folder.path().join("audit.json.1");
    std::fs::rename(&path, &old).unwrap();
    lab.record(4..=5).await;
    until("five are written", at(5)).await;
    assert_eq!(
        (targets(&old), targets(&path)),
        (expected(1..=3), expected(4..=5))
    );
    assert_eq!(stats.read()[0].written, 5);
    copying.abort();
    let _ = copying.await;
    // Half a line is left to itself.
    lab.record(6..=7).await;
    let mut half = std::fs::read_to_string(&path).unwrap();
    half.push_str("{\"target\":\"half\"}");
    std::fs::write(&path, &half).unwrap();
    let (copying, _) = lab.copy(&config);
    until("seven are written", at(7)).await;
    let mut all = expected(4..=5);
    all.push("half".to_owned());
    all.extend(expected(6..=7));
    assert_eq!(targets(&path), all);
    copying.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_is_said_and_written_later() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let path = missing.join("audit.json");
    lab.record(1..=2).await;
    let (copying, stats) = lab.copy(&format!("[file]\npath = \"{}\"", path.display()));
    until("it fails", || stats.read()[0].failing.is_some()).await;
    std::fs::create_dir(&missing).unwrap();
    until("it is written", || stats.read()[0].written == 2).await;
    until("it says so", || stats.read()[0].failing.is_none()).await;
    assert_eq!(targets(&path), expected(1..=2));
    copying.abort();
}

/// Reads the target of one frame of octet counting.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut length = String::new();
    loop {
        match stream.read_u8().await.unwrap() {
            b' ' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let mut message = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut message).await.unwrap();
    target(&String::from_utf8(message).unwrap())
}

fn target(message: &str) -> String {
    assert!(message.starts_with("<85>1 "), "{message}");
    let (_, rest) = message.split_once("target=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

async fn frames(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<String> {
    let mut frames = Vec::new();
    for _ in 0..count {
        let next = tokio::time::timeout(Duration::from_secs(20), frame(stream)).await;
        frames.push(next.unwrap());
    }
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_syslog_server_may_have_lost_is_sent_again_and_what_it_kept_is_not() {
    let lab = Lab::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let config = format!("[syslog]\nserver = \"tcp://{server}\"");
    lab.record(1..=2).await;
    let (copying, stats) = lab.copy(&config);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(frames(&mut stream, 2).await, expected(1..=2));
    // It goes at once: nothing says that it has kept them.
    drop(stream);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(frames(&mut stream, 2).await, expected(1..=2));
    // It stays, and what came counts.
    until("it counts", || stats.read()[0].failing.is_none()).await;
    lab.record(3..=3).await;
    assert_eq!(frames(&mut stream, 1).await, expected(3..=3));
    drop(stream);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(frames(&mut stream, 1).await, expected(3..=3));
    copying.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_orchestrators_the_one_that_owns_the_first_partition_sends() {
    let lab = Lab::new().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = format!("[syslog]\nserver = \"udp://{}\"", socket.local_addr().unwrap());
    lab.shares.send_replace(shares(None));
    lab.record(1..=1).await;
    let (first, stats) = lab.copy(&config);
    let mut buffer = vec![0; 10_000];
    assert!(!stats.read()[0].is_ours);
    assert!(socket.try_recv(&mut buffer).is_err());
    lab.shares.send_replace(shares(Some(1)));
    let mut read = async || {
        let length = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        target(std::str::from_utf8(&buffer[..length]).unwrap())
    };
    assert_eq!(read().await, "198.51.100.1/32");
    until("it was sent", || stats.read()[0].written == 1).await;
    lab.shares.send_replace(shares(None));
    until("it is another's", || !stats.read()[0].is_ours).await;
    first.abort();
    let _ = first.await;
    // Another one goes on where this one was.
    lab.record(2..=2).await;
    lab.shares.send_replace(shares(Some(2)));
    let (second, _) = lab.copy(&config);
    assert_eq!(read().await, "198.51.100.2/32");
    second.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_tls_gets_it_if_it_is_the_one() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let files = CertificateFiles {
        certificate: folder.path().join("a.crt"),
        key: folder.path().join("a.key"),
    };
    std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let acceptor = ServerTls::new(std::slice::from_ref(&files), &[])
        .unwrap()
        .acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("tls://localhost:{}", listener.local_addr().unwrap().port());
    lab.record(1..=1).await;
    let (unknown, stats) = lab.copy(&format!("[syslog]\nserver = \"{server}\""));
    let (stream, _) = listener.accept().await.unwrap();
    assert!(acceptor.accept(stream).await.is_err());
    until("it fails", || {
        stats.read()[0]
            .failing
            .as_ref()
            .is_some_and(|why| why.contains("certificate"))
    })
    .await;
    unknown.abort();
    let ca_file = files.certificate.display();
    let (copying, _) = lab.copy(&format!(
        "[syslog]\nserver = \"{server}\"\nca_file = \"{ca_file}\""
    ));
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    assert_eq!(frames(&mut stream, 1).await, expected(1..=1));
    copying.abort();
}
