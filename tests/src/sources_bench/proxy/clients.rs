//! Who asks the proxies: wrk, h2load, curl, and clients that keep their connections open.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Output,
};

use super::front::LARGE;
use crate::{
    bench::report::Missing,
    lab::{executable::TestProgram, netns::Namespace},
};

/// Connections that wrk keeps open.
const CONNECTIONS: u32 = 32;
/// Seconds of one measurement.
const SECONDS: u32 = 4;
/// Seconds of a measurement of h2load before which it warms up.
const WARM_UP: u32 = 1;
/// Connections of HTTP/2, each with so many requests at a time.
const SESSIONS: u32 = 4;
const STREAMS: u32 = 100;
/// Handshakes of one measurement.
const HANDSHAKES: u32 = 1000;
/// Connections that are kept open without a request.
const IDLE: usize = 10_000;

/// What wrk says of `url`: requests a second, and milliseconds at the 99th percentile.
pub(super) fn wrk(visitor: &Namespace, url: &str) -> Result<[f64; 2], Missing> {
    let mut command = visitor.command(TestProgram::Wrk);
    command
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{SECONDS}s"), "--latency", url]);
    told("wrk", command.output(), wrk_figures)
}

/// Requests a second that h2load gets answered in HTTP/2, 100 of each connection at a time.
pub(super) fn streams(visitor: &Namespace, at: SocketAddr) -> Result<f64, Missing> {
    let mut command = visitor.command(TestProgram::H2load);
    command
        .args([
            "--duration",
            &SECONDS.to_string(),
            "--warm-up-time",
            &WARM_UP.to_string(),
        ])
        .args([
            "--clients",
            &SESSIONS.to_string(),
            "--max-concurrent-streams",
            &STREAMS.to_string(),
        ])
        .arg(format!("https://{at}/"));
    told("h2load", command.output(), h2load_figure)
}

/// Full TLS handshakes a second, each with one request after it.
pub(super) fn handshakes(visitor: &Namespace, at: SocketAddr) -> Result<f64, Missing> {
    let mut command = visitor.command(TestProgram::H2load);
    let number = HANDSHAKES.to_string();
    command
        .args(["--h1", "--requests", &number, "--clients", &number])
        .arg(format!("https://{at}/"));
    told("h2load", command.output(), h2load_figure)
}

/// Downloads [`LARGE`] bytes.
pub(super) fn download(visitor: &Namespace, at: SocketAddr) -> Result<(), Missing> {
    let mut command = visitor.command(TestProgram::Curl);
    command
        .args([
            "--silent",
            "--fail",
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download}",
        ])
        .arg(format!("http://{at}/large"));
    told("curl", command.output(), |text| {
        (text.trim() == LARGE.to_string()).then_some(())
    })
}

/// Connections that have had an answer, and now keep quiet.
pub(super) fn idle(visitor: &Namespace, at: SocketAddr) -> Result<Vec<TcpStream>, Missing> {
    let open = || -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: secbeat.test\r\n\r\n")?;
        let (mut answer, mut buffer) = (Vec::<u8>::new(), [0; 1024]);
        while !answer.ends_with(b"hello\n") {
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                some => answer.extend_from_slice(&buffer[..some]),
            }
        }
        Ok(stream)
    };
    let opened = visitor.enter(|| (0..IDLE).map(|_| open()).collect::<io::Result<Vec<_>>>());
    opened.map_err(|error| Missing::Failed(format!("{IDLE} connections: {error}")))
}

/// Reads what a program has said with `read`, which returns nothing where it met errors.
fn told<T>(
    program: &str,
    output: io::Result<Output>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Missing> {
    let output = output.map_err(|error| Missing::Failed(format!("{program}: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = read(&text).filter(|_| output.status.success());
    figures.ok_or_else(|| Missing::Failed(format!("{program} says {output:?}")))
}

fn wrk_figures(text: &str) -> Option<[f64; 2]> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label));
    let rate = after("Requests/sec:")?.trim().parse().ok()?;
    Some([rate, milliseconds(after("99%")?.trim())?])
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|char: char| char.is_ascii_alphabetic())?);
    let number: f64 = number.parse().ok()?;
    match unit {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        _ => None,
    }
}

/// Requests a second, if all were answered well.
fn h2load_figure(text: &str) -> Option<f64> {
    let is_whole = text.contains(" 0 failed, 0 errored, 0 timeout")
        && text.contains(" 2xx, 0 3xx, 0 4xx, 0 5xx")
        && !text.contains(" 0 2xx");
    let rate = text.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let rate = rate.split(", ").nth(1)?.strip_suffix(" req/s")?;
    rate.parse().ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit() {
        let times = ["12.50us", "3.00ms", "1.20s", "3", "3m"].map(milliseconds);
        assert_eq!(times, [Some(0.0125), Some(3.0), Some(1200.0), None, None]);
    }

    #[test]
    fn a_rate_counts_if_every_request_was_answered() {
        let said = |failed, status| {
            format!(
                "finished in 2.01s, 5123.40 req/s, 1.20MB/s\n\
                 requests: 10298 total, 10298 started, 10298 done, 10298 succeeded, {failed} failed, 0 errored, 0 timeout\n\
                 status codes: {status}\n"
            )
        };
        let good = "10298 2xx, 0 3xx, 0 4xx, 0 5xx";
        assert_eq!(h2load_figure(&said(0, good)), Some(5123.4));
        assert_eq!(h2load_figure(&said(1, good)), None);
        assert_eq!(h2load_figure(&said(0, "10297 2xx, 0 3xx, 1 4xx, 0 5xx")), None);
        assert_eq!(h2load_figure(&said(0, "0 2xx, 0 3xx, 0 4xx, 0 5xx")), None);
        assert_eq!(h2load_figure(""), None);
    }
}
