//! Mail to a server of the test, which speaks as much SMTP as it takes.

use secbeat_daemon::tls::ServerTls;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};

use super::{webhooks::certificate, *};
use crate::notify::outcome::{Failure, Retry};

/// Answers until the client asks for TLS (then returns the stream) or is done. Every line that it reads goes to `lines`.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greets: bool,
    refuses: bool,
    lines: &mpsc::UnboundedSender<String>,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 mail.example.org\r\n").await.unwrap();
    }
    let (mut line, mut in_data) = (String::new(), false);
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        let said = line.trim_end().to_owned();
        line.clear();
        lines.send(said.clone()).unwrap();
        let answer = match said.split(' ').next().unwrap() {
            "." if in_data => {
                in_data = false;
                "250 queued as 1\r\n"
            }
            _ if in_data => continue,
            "EHLO" => "250-mail.example.org\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
            "STARTTLS" => {
                stream.write_all(b"220 go ahead\r\n").await.unwrap();
                return Some(stream.into_inner());
            }
            "AUTH" => "235 in\r\n",
            "RCPT" if refuses => "550 no such user\r\n",
            "DATA" => {
                in_data = true;
                "354 go ahead\r\n"
            }
            "QUIT" => return None,
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    None
}

/// Sends a hostile message to a server, and returns what became of it and what the server read.
async fn send(
    tls: &str,
    more: &str,
    refuses: bool,
    folder: &tempfile::TempDir,
) -> (Result<String, Failure>, Vec<String>) {
    let files = certificate(folder);
    let acceptor = ServerTls::new(std::slice::from_ref(&files), &[])
        .unwrap()
        .acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, mut told) = mpsc::unbounded_channel();
    let in_tls = tls == "tls";
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if in_tls {
            let stream = acceptor.accept(stream).await.unwrap();
            speak(stream, true, refuses, &tell).await;
        } else if let Some(stream) = speak(stream, true, refuses, &tell).await
            && let Ok(stream) = acceptor.accept(stream).await
        {
            speak(stream, false, refuses, &tell).await;
        }
    });
    let toml = format!(
        "name = \"a\"\nkind = \"email\"\nserver = \"localhost\"\nport = {port}\ntls = \"{tls}\"\n\
         from = \"SecBeat <secbeat@example.org>\"\nto = [\"ops@example.org\", \"Näme <b@example.org>\"]\n{more}",
    );
    let outcome = tokio::task::spawn_blocking(move || receiver(&toml).tell(&hostile()));
    let outcome = outcome.await.unwrap();
    serving.await.unwrap();
    let mut lines = Vec::new();
    while let Ok(line) = told.try_recv() {
        lines.push(line);
    }
    (outcome, lines)
}

#[tokio::test]
async fn a_mail_has_the_recipients_of_the_config_and_no_other_header() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, lines) = send("none", "", false, &folder).await;
    assert_eq!(outcome, Ok("250 queued as 1".to_owned()));
    let recipients: Vec<_> = lines.iter().filter(|line| line.starts_with("RCPT")).collect();
    assert_eq!(
        recipients,
        ["RCPT TO:<ops@example.org>", "RCPT TO:<b@example.org>"]
    );
    let data = lines.iter().position(|line| line == "DATA").unwrap();
    let head: Vec<_> = lines[data + 1..]
        .iter()
        .take_while(|line| !line.is_empty())
        .collect();
    let names = head
        .iter()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let expected = [
        "Auto-Submitted",
        "Content-Transfer-Encoding",
        "Content-Type",
        "Date",
        "From",
        "Message-ID",
        "Subject",
        "To",
    ];
    assert_eq!(names, expected, "{head:?}");
    assert!(!lines.iter().any(|line| line.starts_with("Bcc")), "{lines:?}");
}

#[tokio::test]
async fn a_login_goes_over_tls_alone_and_the_certificate_counts() {
    let folder = tempfile::tempdir().unwrap();
    let password = secret(&folder, "password", "hidden-password");
    let login = format!("username = \"u\"\npassword_file = \"{}\"\n", password.display());
    for tls in ["starttls", "tls"] {
        let trusting = format!("{login}ca_file = \"{}\"", folder.path().join("a.crt").display());
        let (outcome, lines) = send(tls, &trusting, false, &folder).await;
        assert_eq!(outcome, Ok("250 queued as 1".to_owned()), "{tls}");
        let at = |what: &str| lines.iter().position(|line| line.starts_with(what));
        assert!(tls == "tls" || at("STARTTLS") < at("AUTH PLAIN"), "{lines:?}");
        assert!(at("AUTH PLAIN").is_some(), "{lines:?}");
    }
    let (outcome, lines) = send("starttls", &login, false, &folder).await;
    let failure = outcome.unwrap_err();
    assert!(failure.why.contains("certificate"), "{failure:?}");
    assert_eq!(failure.retry, Retry::Later);
    assert!(!lines.iter().any(|line| line.starts_with("AUTH")), "{lines:?}");
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = send("none", "", true, &folder).await;
    let failure = outcome.unwrap_err();
    assert!(failure.why.contains("no such user"), "{failure:?}");
    assert_eq!(failure.retry, Retry::Never);
}
