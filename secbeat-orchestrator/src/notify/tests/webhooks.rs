//! Webhooks over loopback.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use secbeat_daemon::tls::{CertificateFiles, ServerTls};
use serde_json::Value;

use super::*;
use crate::notify::outcome::{Failure, Retry};

/// What a receiver was sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

/// A receiver that gives one of `answers` after the other (status line and what follows it), then ends.
pub(super) fn serve(answers: &[&str]) -> (SocketAddr, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    let answers: Vec<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let _ = tell.send(read(&mut reader));
            let (head, body) = answer.split_once("\n\n").unwrap_or((&answer, ""));
            let (head, length) = (head.replace('\n', "\r\n"), body.len());
            let answer =
                format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, told)
}

fn read(reader: &mut BufReader<impl Read>) -> Request {
    let mut lines = reader.by_ref().lines().map(|line| line.unwrap());
    let line = lines.next().unwrap();
    let headers: HashMap<_, _> = lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        })
        .collect();
    let length = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Request {
        line,
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}

fn webhook(url: &str, more: &str) -> Receiver {
    receiver(&format!(
        "name = \"a\"\nkind = \"webhook\"\nurl = \"{url}\"\n{more}"
    ))
}

fn tell(answer: &str, more: &str, path: &str) -> (Result<String, Failure>, Request) {
    let (address, told) = serve(&[answer]);
    let outcome = webhook(&format!("http://{address}{path}"), more).tell(&hostile());
    (outcome, told.recv().unwrap())
}

#[test]
fn a_message_is_posted_as_json_with_the_headers_and_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret(&folder, "token", "TOKEN\n");
    let more = format!(
        "token_file = \"{}\"\nheaders = {{ x-team = \"web\" }}",
        token.display()
    );
    let (outcome, request) = tell("200 OK\n\nthanks", &more, "/hook?a=b");
    assert_eq!(outcome, Ok("status 200: thanks".to_owned()));
    assert_eq!(request.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["authorization"], "Bearer TOKEN");
    assert_eq!(request.headers["x-team"], "web");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, serde_json::to_value(hostile()).unwrap());
}

#[test]
fn each_shape_goes_where_its_server_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret(&folder, "token", "TOKEN");
    let with_token = |shape: &str| format!("shape = \"{shape}\"\ntoken_file = \"{}\"", token.display());
    let (_, request) = tell("200 OK", &with_token("ntfy"), "/secbeat");
    assert_eq!(request.line, "POST / HTTP/1.1");
    assert_eq!(request.headers["authorization"], "Bearer TOKEN");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        (&body["topic"], &body["priority"]),
        (&"secbeat".into(), &5.into())
    );
    let (_, request) = tell("200 OK", &with_token("gotify"), "/");
    assert_eq!(request.line, "POST /message HTTP/1.1");
    assert_eq!(request.headers["x-gotify-key"], "TOKEN");
    let (address, told) = serve(&["202 Accepted", "202 Accepted"]);
    let pager = webhook(&format!("http://{address}/v2/enqueue"), &with_token("pagerduty"));
    assert!(pager.tell(&hostile()).is_ok());
    for _ in 0..2 {
        let request = told.recv().unwrap();
        assert_eq!(request.headers.get("authorization"), None);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["routing_key"], "TOKEN");
    }
    for (shape, key) in [
        ("slack", "text"),
        ("discord", "content"),
        ("teams", "attachments"),
    ] {
        let (_, request) = tell("200 OK", &format!("shape = \"{shape}\""), "/x");
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert!(body.get(key).is_some(), "{shape}: {body}");
    }
}

#[test]
fn what_can_pass_is_tried_again_and_what_cannot_is_not() {
    for (answer, retry) in [
        ("500 No\n\nbroken", Retry::Later),
        ("429 Slow\nretry-after: 17", Retry::After(17)),
        ("404 Not Found\n\nno such hook", Retry::Never),
        ("302 Found\nlocation: http://127.0.0.1:1/", Retry::Never),
    ] {
        let (outcome, _) = tell(answer, "", "/");
        assert_eq!(outcome.unwrap_err().retry, retry, "{answer}");
    }
    let nobody = webhook("http://127.0.0.1:1/", "").tell(&hostile()).unwrap_err();
    assert_eq!(nobody.retry, Retry::Later);
    assert!(nobody.why.contains("refused"), "{nobody:?}");
}

#[test]
fn no_failure_shows_a_secret_that_the_receiver_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret(&folder, "token", "hidden-token");
    let more = format!(
        "token_file = \"{}\"\nheaders = {{ x-key = \"hidden-header\" }}",
        token.display()
    );
    let repeats = "403 No\n\n/services/hidden-path hidden-token hidden-header \u{1b}[2J";
    let (outcome, _) = tell(repeats, &more, "/services/hidden-path");
    let why = outcome.unwrap_err().why;
    assert!(!why.contains("hidden") && !why.contains('\u{1b}'), "{why}");
    let url = secret(&folder, "url", "http://127.0.0.1:1/hidden-path");
    let toml = format!(
        "name = \"a\"\nkind = \"webhook\"\nurl_file = \"{}\"",
        url.display()
    );
    let why = receiver(&toml).tell(&hostile()).unwrap_err().why;
    assert!(!why.contains("hidden"), "{why}");
}

#[test]
fn a_secret_that_everybody_may_read_or_that_is_not_there_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let url = secret(&folder, "url", "http://127.0.0.1:1/hidden");
    let toml = format!(
        "name = \"a\"\nkind = \"webhook\"\nurl_file = \"{}\"",
        url.display()
    );
    std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o644)).unwrap();
    let why = receiver(&toml).tell(&hostile()).unwrap_err().why;
    assert!(why.contains("mode 644") && !why.contains("hidden"), "{why}");
    std::fs::remove_file(&url).unwrap();
    let why = receiver(&toml).tell(&hostile()).unwrap_err().why;
    assert!(why.contains("No such file"), "{why}");
}

/// A certificate of `localhost` with its key.
pub(super) fn certificate(folder: &tempfile::TempDir) -> CertificateFiles {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let files = CertificateFiles {
        certificate: folder.path().join("a.crt"),
        key: folder.path().join("a.key"),
    };
    std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

#[tokio::test]
async fn a_server_in_tls_has_to_show_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(&folder);
    let acceptor = ServerTls::new(std::slice::from_ref(&files), &["http/1.1"])
        .unwrap()
        .acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut read = Vec::new();
            while !read.ends_with(b"}") {
                if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = stream
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    let trusted = webhook(&url, &format!("ca_file = \"{}\"", files.certificate.display()));
    let unknown = webhook(&url, "");
    let both = tokio::task::spawn_blocking(move || (trusted.tell(&hostile()), unknown.tell(&hostile())));
    let (trusted, unknown) = tokio::time::timeout(Duration::from_secs(30), both)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(trusted, Ok("status 204".to_owned()));
    let why = unknown.unwrap_err().why;
    assert!(why.contains("certificate"), "{why}");
    serving.abort();
}
