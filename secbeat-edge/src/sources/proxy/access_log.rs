//! The proxy's own access log: `combined`, and behind it the host in quotes and the seconds taken; or objects of JSON.
//!
//! The client comes first, and what a request says stands in quotes: no request can move a field, no matter who reads the log.
//!
//! A thread of its own writes, so no request waits for a disk. What the queue has no room for is dropped and counted.

use std::{
    borrow::Cow,
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use hyper::{
    Method, Uri, Version,
    header::HeaderValue,
    http::uri::{Authority, PathAndQuery},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{ProxyStats, config::LogFormat};

/// Answers that wait to be written.
const QUEUE: usize = 16 * 1024;
/// Interval at which the file is looked after: what is written is flushed, and a file moved away is reopened.
const LOOK: Duration = Duration::from_secs(1);

/// What a line is made of; all texts are reference-counted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) client: IpAddr,
    pub(super) at_ms: i64,
    /// `None` where there is none that could be read.
    pub(super) request: Option<RequestLine>,
    pub(super) host: Option<HeaderValue>,
    pub(super) referer: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) status: u16,
    /// Of the body.
    pub(super) bytes: u64,
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
    /// Known where the log is one of objects.
    pub(super) details: Option<Box<Details>>,
}

/// Outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// A server has answered it, or the proxy has sent it elsewhere.
    Answered,
    /// A server has answered it, but the body did not arrive whole.
    CutOff,
    /// The proxy has, without a server.
    Refused,
    /// The proxy has, since no server did.
    UpstreamFailed,
    /// The proxy has, since the client is banned.
    Banned,
    /// Nobody has: the client did not wait.
    GaveUp,
}

/// What else is known of a request.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) id: Option<HeaderValue>,
    pub(super) served_by: Option<ServedBy>,
}

/// Who answered, or was the last that did not.
#[derive(Debug)]
pub(super) struct ServedBy {
    pub(super) upstream: String,
    pub(super) server: String,
    /// From the request's head to the answer's, or to the failure.
    pub(super) took: Duration,
}

/// What was asked.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
}

impl RequestLine {
    /// As it was sent, but for the host of one in absolute form.
    fn target(&self) -> Option<&str> {
        let path = self.uri.path_and_query().map(PathAndQuery::as_str);
        path.or_else(|| self.uri.authority().map(Authority::as_str))
    }
}

impl Entry {
    /// Of a client that was answered so, or cut off, before there was a request.
    pub(super) const fn without_request(client: IpAddr, at_ms: i64, status: u16) -> Self {
        Self {
            client,
            at_ms,
            request: None,
            host: None,
            referer: None,
            user_agent: None,
            status,
            bytes: 0,
            took: Duration::ZERO,
            outcome: Outcome::Refused,
            details: None,
        }
    }
}

/// Where entries go. The thread ends with the last of these.
pub(super) struct AccessLog {
    queue: SyncSender<Entry>,
    format: LogFormat,
    reopen: Arc<AtomicBool>,
    stats: Arc<ProxyStats>,
}

impl AccessLog {
    /// Opens the file to append to it, and starts the thread.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened.
    pub(super) fn open(path: &Path, format: LogFormat, stats: Arc<ProxyStats>) -> anyhow::Result<Self> {
        let writer =
            Writer::open(path, format).with_context(|| format!("opening access log {}", path.display()))?;
        let (queue, entries) = mpsc::sync_channel(QUEUE);
        let reopen = Arc::<AtomicBool>::default();
        let asked = reopen.clone();
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(&entries, &asked))
            .context("starting the access log's thread")?;
        Ok(Self {
            queue,
            format,
            reopen,
            stats,
        })
    }

    /// Whether it wants to know [`Details`].
    pub(super) fn has_details(&self) -> bool {
        self.format == LogFormat::Json
    }

    /// Queues an entry, or counts it as dropped.
    pub(super) fn write(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            self.stats.access_log_dropped.fetch_add(1, Relaxed);
        }
    }

    /// Has the file reopened.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Relaxed);
    }
}

struct Writer {
    path: PathBuf,
    format: LogFormat,
    file: BufWriter<File>,
    line: String,
    /// The second that `time` is for.
    second: i64,
    time: String,
}

impl Writer {
    fn open(path: &Path, format: LogFormat) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            format,
            file: BufWriter::with_capacity(64 * 1024, append_to(path)?),
            line: String::new(),
            second: i64::MIN,
            time: String::new(),
        })
    }

    fn run(mut self, entries: &Receiver<Entry>, reopen: &AtomicBool) {
        let mut looked = Instant::now();
        loop {
            match entries.recv_timeout(LOOK) {
                Ok(entry) => self.write(&entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= LOOK {
                self.flush();
                self.look(reopen.swap(false, Relaxed));
                looked = Instant::now();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if let Err(error) = self.file.flush() {
            tracing::error!(%error, path = %self.path.display(), "cannot write the access log");
        }
    }

    fn look(&mut self, asked: bool) {
        if !asked && self.is_in_place() {
            return;
        }
        match append_to(&self.path) {
            Ok(file) => self.file = BufWriter::with_capacity(64 * 1024, file),
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "cannot reopen the access log");
            }
        }
    }

    fn is_in_place(&self) -> bool {
        let place = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (self.path.metadata(), self.file.get_ref().metadata()) {
            (Ok(there), Ok(ours)) => place(there) == place(ours),
            _ => false,
        }
    }

    fn write(&mut self, entry: &Entry) {
        let second = entry.at_ms.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.time.clear();
            if let Ok(at) = Timestamp::from_second(second) {
                let _ = write!(self.time, "{}", at.strftime("%d/%b/%Y:%H:%M:%S +0000"));
            }
        }
        self.line.clear();
        match self.format {
            LogFormat::Combined => format(&mut self.line, entry, &self.time),
            LogFormat::Json => format_json(&mut self.line, entry),
        }
        // An error stays with the buffer and shows at the next flush.
        let _ = self.file.write_all(self.line.as_bytes());
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn format(line: &mut String, entry: &Entry, time: &str) {
    let _ = write!(line, "{} - - [{time}] \"", entry.client);
    match &entry.request {
        Some(request) => {
            let _ = write!(line, "{} ", request.method);
            escape(line, request.target().map(str::as_bytes));
            let _ = write!(line, " {:?}", request.version);
        }
        None => line.push('-'),
    }
    let _ = write!(line, "\" {} {} \"", entry.status, entry.bytes);
    escape(line, entry.referer.as_ref().map(HeaderValue::as_bytes));
    line.push_str("\" \"");
    escape(line, entry.user_agent.as_ref().map(HeaderValue::as_bytes));
    line.push_str("\" \"");
    let authority = entry.request.as_ref().and_then(|request| request.uri.authority());
    let host = authority.map(|host| host.as_str().as_bytes());
    escape(
        line,
        host.or_else(|| entry.host.as_ref().map(HeaderValue::as_bytes)),
    );
    let _ = writeln!(line, "\" {:.3}", entry.took.as_secs_f64());
}

/// An object with the names of nginx's variables, so that others read it too.
#[derive(Serialize)]
struct Line<'a> {
    time_iso8601: String,
    remote_addr: IpAddr,
    request_method: Option<&'a str>,
    request_uri: Option<&'a str>,
    server_protocol: Option<String>,
    status: u16,
    body_bytes_sent: u64,
    request_time: f64,
    http_host: Option<Cow<'a, str>>,
    http_referer: Option<Cow<'a, str>>,
    http_user_agent: Option<Cow<'a, str>>,
    outcome: Outcome,
    request_id: Option<Cow<'a, str>>,
    upstream: Option<&'a str>,
    upstream_addr: Option<&'a str>,
    upstream_response_time: Option<f64>,
}

fn format_json(line: &mut String, entry: &Entry) {
    fn text(value: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
        value.map(|value| String::from_utf8_lossy(value.as_bytes()))
    }
    // To the microsecond.
    let seconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e6;
    let request = entry.request.as_ref();
    let authority = request.and_then(|request| request.uri.authority());
    let details = entry.details.as_deref();
    let served_by = details.and_then(|details| details.served_by.as_ref());
    let at = Timestamp::from_millisecond(entry.at_ms).unwrap_or_default();
    let object = Line {
        time_iso8601: format!("{at:.3}"),
        remote_addr: entry.client,
        request_method: request.map(|request| request.method.as_str()),
        request_uri: request.and_then(RequestLine::target),
        server_protocol: request.map(|request| format!("{:?}", request.version)),
        status: entry.status,
        body_bytes_sent: entry.bytes,
        request_time: seconds(entry.took),
        http_host: match authority {
            Some(authority) => Some(authority.as_str().into()),
            None => text(entry.host.as_ref()),
        },
        http_referer: text(entry.referer.as_ref()),
        http_user_agent: text(entry.user_agent.as_ref()),
        outcome: entry.outcome,
        request_id: details.and_then(|details| text(details.id.as_ref())),
        upstream: served_by.map(|by| by.upstream.as_str()),
        upstream_addr: served_by.map(|by| by.server.as_str()),
        upstream_response_time: served_by.map(|by| seconds(by.took)),
    };
    // Nothing of it can fail.
    push_escaped(line, &serde_json::to_string(&object).unwrap_or_default());
    line.push('\n');
}

/// Appends JSON, and escapes the control characters beyond ASCII that are left in it: some terminals take U+009B for `ESC [`.
fn push_escaped(line: &mut String, json: &str) {
    if json.is_ascii() {
        return line.push_str(json);
    }
    for character in json.chars() {
        if character.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
}

/// As nginx does: what is not printable ASCII, and what would end a field, as `\xHH`.
fn escape(line: &mut String, text: Option<&[u8]>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return line.push('-');
    };
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(char::from(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use secbeat_logs::Format;

    use super::*;

    fn entry() -> Entry {
        Entry {
            client: [198, 51, 100, 7].into(),
            at_ms: 1_763_719_279_123,
            request: Some(RequestLine {
                method: Method::GET,
                uri: Uri::from_static("/a?b=c"),
                version: Version::HTTP_11,
            }),
            host: Some(HeaderValue::from_static("example.org")),
            referer: None,
            user_agent: Some(HeaderValue::from_bytes(b"evil\" \xff\\").unwrap()),
            status: 404,
            bytes: 12,
            took: Duration::from_micros(3456),
            outcome: Outcome::Answered,
            details: None,
        }
    }

    const LINE: &str = "198.51.100.7 - - [21/Nov/2025:10:01:19 +0000] \"GET /a?b=c HTTP/1.1\" 404 12 \"-\" \"evil\\x22 \\xFF\\x5C\" \"example.org\" 0.003\n";

    #[test]
    fn the_target_of_a_connect_is_its_host() {
        let entry = Entry {
            request: Some(RequestLine {
                method: Method::CONNECT,
                uri: Uri::from_static("example.org:443"),
                version: Version::HTTP_11,
            }),
            ..entry()
        };
        let mut line = String::new();
        format(&mut line, &entry, "");
        assert!(
            line.contains("\"CONNECT example.org:443 HTTP/1.1\" 404 "),
            "{line}"
        );
    }

    proptest! {
        #[test]
        fn no_header_moves_a_field(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("of a header", |byte| *byte >= 0x20 && *byte != 0x7F), 0..60), 3),
        ) {
            let value = |text: &Vec<u8>| HeaderValue::from_bytes(text).ok();
            let entry = Entry {
                host: value(&texts[0]),
                referer: value(&texts[1]),
                user_agent: value(&texts[2]),
                ..entry()
            };
            let mut line = String::new();
            format(&mut line, &entry, "21/Nov/2025:10:01:19 +0000");
            prop_assert!(line.starts_with("198.51.100.7 - - [21/Nov/2025:10:01:19 +0000] \"GET /a?b=c HTTP/1.1\" 404 12 \""), "{line}");
            prop_assert_eq!(line.matches('"').count(), 8, "{}", &line);
            prop_assert_eq!(line.matches('\n').count(), 1, "{}", &line);
            let read = Format::COMBINED.parse(line.trim_end().as_bytes()).unwrap();
            prop_assert_eq!((read.client, read.status, &*read.path), (entry.client, 404, &b"/a?b=c"[..]));
        }
    }

    #[test]
    fn an_object_says_all_and_is_understood() {
        let format: Format = "nginx-json".parse().unwrap();
        let mut line = String::new();
        let entry = Entry {
            outcome: Outcome::CutOff,
            details: Some(Box::new(Details {
                id: Some(HeaderValue::from_static("f47a")),
                served_by: Some(ServedBy {
                    upstream: "app".to_owned(),
                    server: "http://10.0.0.1:3000".to_owned(),
                    took: Duration::from_millis(2),
                }),
            })),
            ..entry()
        };
        format_json(&mut line, &entry);
        let expected = r#"{"time_iso8601":"2025-11-21T10:01:19.123Z","remote_addr":"198.51.100.7","request_method":"GET","request_uri":"/a?b=c","server_protocol":"HTTP/1.1","status":404,"body_bytes_sent":12,"request_time":0.003456,"http_host":"example.org","http_referer":null,"http_user_agent":"evil\" �\\","outcome":"cut-off","request_id":"f47a","upstream":"app","upstream_addr":"http://10.0.0.1:3000","upstream_response_time":0.002}"#;
        assert_eq!(line.trim_end(), expected);
        let read = format.parse(line.trim_end().as_bytes()).unwrap();
        assert_eq!(
            (read.client, read.status, &*read.path),
            (entry.client, 404, &b"/a?b=c"[..])
        );
        line.clear();
        format_json(&mut line, &Entry::without_request(entry.client, 0, 408));
        let read = format.parse(line.trim_end().as_bytes()).unwrap();
        assert_eq!(
            (read.client, read.status, &*read.method),
            (entry.client, 408, &b""[..])
        );
    }

    #[test]
    fn an_object_has_no_control_characters() {
        let agent = "\u{9b}31m \u{e9}";
        let entry = Entry {
            user_agent: HeaderValue::from_bytes(agent.as_bytes()).ok(),
            ..entry()
        };
        let mut line = String::new();
        format_json(&mut line, &entry);
        assert!(line.contains("\"\\u009b31m \u{e9}\""), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["http_user_agent"], agent);
    }

    #[test]
    fn a_host_that_looks_like_the_begin_of_a_line_names_nobody() {
        for host in [
            "203.0.113.9",
            "203.0.113.9 - -",
            "203.0.113.9 - u [21/Nov/2025:10:01:19 +0000] \"GET / HTTP/1.1\" 404 1",
        ] {
            let entry = Entry {
                host: HeaderValue::from_str(host).ok(),
                ..entry()
            };
            let mut line = String::new();
            format(&mut line, &entry, "21/Nov/2025:10:01:19 +0000");
            let read = Format::COMBINED.parse(line.trim_end().as_bytes()).unwrap();
            assert_eq!((read.client, read.status), (entry.client, 404), "{line}");
        }
    }

    #[test]
    fn who_was_refused_before_a_request_is_there_too() {
        let mut line = String::new();
        let entry = Entry::without_request([198, 51, 100, 7].into(), 0, 431);
        format(&mut line, &entry, "21/Nov/2025:10:01:19 +0000");
        assert_eq!(
            line,
            "198.51.100.7 - - [21/Nov/2025:10:01:19 +0000] \"-\" 431 0 \"-\" \"-\" \"-\" 0.000\n"
        );
        let read = Format::COMBINED.parse(line.trim_end().as_bytes()).unwrap();
        assert_eq!((read.client, read.status), (entry.client, 431));
    }

    fn wait_until(what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for_line(path: &Path) {
        wait_until("the line is there", || {
            fs::read_to_string(path).is_ok_and(|text| text == LINE)
        });
    }

    #[test]
    fn a_file_moved_away_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (
            folder.path().join("access.log"),
            folder.path().join("access.log.1"),
        );
        let log = AccessLog::open(&path, LogFormat::Combined, Arc::default()).unwrap();
        log.write(entry());
        wait_for_line(&path);
        fs::rename(&path, &moved).unwrap();
        wait_until("the file is opened anew", || path.exists());
        log.write(entry());
        wait_for_line(&path);
        assert_eq!(fs::read_to_string(&moved).unwrap(), LINE);
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_counted() {
        let stats = Arc::<ProxyStats>::default();
        let (queue, entries) = mpsc::sync_channel(1);
        let log = AccessLog {
            queue,
            format: LogFormat::Combined,
            reopen: Arc::default(),
            stats: stats.clone(),
        };
        log.write(entry());
        log.write(entry());
        assert_eq!(stats.access_log_dropped(), 1);
        assert!(entries.try_recv().is_ok());
    }
}
