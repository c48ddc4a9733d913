//! The Unix sockets of daemons' APIs, asked as root.

use std::{
    io::{self, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use crate::lab::{client::Response, http::read_response, netns::Namespace};

/// An orchestrator gives an answer up after 5 s.
const PATIENCE: Duration = Duration::from_secs(7);

/// Where the daemon `name` of `host` has its socket, unless its config says otherwise.
#[must_use]
pub fn socket(host: &Namespace, name: &str) -> PathBuf {
    host.runtime_dir().join(name).join("api.sock")
}

/// Sends a request, with JSON if there is a body, and reads the whole answer.
///
/// # Errors
///
/// When nobody listens, or there is no answer in time.
pub fn order(host: &Namespace, name: &str, method: &str, path: &str, body: &str) -> io::Result<Response> {
    let json = match body {
        "" => String::new(),
        _ => format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{json}\r\n");
    let mut stream = UnixStream::connect(socket(host, name))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    read_response(&mut BufReader::new(stream), method)
}
