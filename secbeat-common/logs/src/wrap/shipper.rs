//! JSON that shippers of logs write around a line: Filebeat, Vector, Fluent Bit, Fluentd, Promtail and Loki's `logcli`.
//!
//! Each is known by a key, or by what stands before its object, that other programs do not write. A shipper may take the JSON of an
//! application apart, which may have what a client sent as its `message`: beside that, there may be no keys but a shipper's own.

use std::collections::BTreeMap;

use memchr::memmem;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, Visitor},
};

use super::{Part, Stream};

/// Bytes at which the runtimes of containers divide lines.
const DIVIDED_AT: usize = 16 * 1024;

/// Longest tag or time before an object, in bytes.
const MAX_TOKEN: usize = 255;

/// Keys beside a line that shippers write themselves.
const OF_SHIPPERS: [&str; 40] = [
    "@metadata",
    "@timestamp",
    "@version",
    "agent",
    "cloud",
    "container",
    "container_created_at",
    "container_id",
    "container_name",
    "data_stream",
    "date",
    "docker",
    "ecs",
    "elastic_agent",
    "event",
    "fields",
    "file",
    "fileset",
    "host",
    "image",
    "input",
    "kubernetes",
    "label",
    "labels",
    "log",
    "logtag",
    "message",
    "offset",
    "orchestrator",
    "partial_message",
    "port",
    "service",
    "source",
    "source_type",
    "stream",
    "tag",
    "tags",
    "time",
    "timestamp",
    "_partial",
];

/// Keys of what Filebeat says of a log.
const OF_LOG: [&str; 5] = ["file", "flags", "offset", "source", "syslog"];

/// What was shipped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shipped {
    pub(super) text: Vec<u8>,
    /// Which part of a line it is, if the shipper says.
    pub(super) part: Option<Part>,
    /// It has the length at which lines are divided, and the shipper does not say whether this one was.
    pub(super) may_go_on: bool,
}

impl Shipped {
    /// A line of a shipper that joins what was divided.
    const fn whole(text: Vec<u8>) -> Self {
        Self {
            text,
            part: None,
            may_go_on: false,
        }
    }

    /// A line of one that ships each part as it is.
    const fn apart(text: Vec<u8>) -> Self {
        Self {
            may_go_on: text.len() == DIVIDED_AT,
            text,
            part: None,
        }
    }
}

/// Takes a line out of the object of a shipper.
pub(super) fn unwrap(line: &[u8]) -> Option<Shipped> {
    if line.starts_with(b"{\"date\":") {
        return fluent_bit(line);
    }
    if line.starts_with(b"{\"labels\":{") {
        let Loki { line, .. } = read(line)?;
        return Some(Shipped::apart(line.0));
    }
    if memmem::find(line, b"\"filebeat\"").is_some() {
        return filebeat(line);
    }
    if memmem::find(line, b"\"source_type\"").is_some() {
        return vector(line);
    }
    memmem::find(line, b"\"_entry\"")?;
    let Promtail { entry } = read(line)?;
    Some(Shipped::apart(entry.0))
}

/// Takes a line out of an object with something before it: `tag: [1795255616.75, {…}]` of Fluent Bit, or time, tag and object of
/// Fluentd, with tabs between them.
pub(super) fn unwrap_tagged(line: &[u8]) -> Option<Shipped> {
    let open = memchr::memchr(b'{', &line[..line.len().min(2 * MAX_TOKEN)])?;
    let (before, object) = line.split_at(open);
    let object = match before.strip_suffix(b"\t") {
        Some(before) => {
            let tab = memchr::memchr(b'\t', before)?;
            let (time, tag) = (&before[..tab], &before[tab + 1..]);
            let is_time = time.first().is_some_and(u8::is_ascii_digit) && time.contains(&b'T');
            (is_time && is_tag(tag)).then_some(object)?
        }
        None => {
            let before = before.strip_suffix(b", ")?;
            let colon = memmem::find(before, b": [")?;
            let (tag, time) = (&before[..colon], &before[colon + 3..]);
            (is_tag(tag) && is_seconds(time)).then_some(object.strip_suffix(b"]")?)?
        }
    };
    let fluent: Fluent = read(object)?;
    fluent.shipped(is_bare(object))
}

/// Whether a text is a tag, and not the level of an application's line.
fn is_tag(text: &[u8]) -> bool {
    const LEVELS: [&str; 9] = [
        "debug", "info", "notice", "warn", "warning", "error", "dpanic", "panic", "fatal",
    ];
    let is_level = LEVELS
        .iter()
        .any(|level| text.eq_ignore_ascii_case(level.as_bytes()));
    let of_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/*".contains(byte);
    !is_level && (1..=MAX_TOKEN).contains(&text.len()) && text.iter().all(of_tag)
}

/// Whether a text is a number of seconds with a fraction, as Fluent Bit writes it.
fn is_seconds(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.');
    let mut is_number = || {
        let part = parts.next().unwrap_or_default();
        !part.is_empty() && part.iter().all(u8::is_ascii_digit)
    };
    is_number() && is_number() && parts.next().is_none()
}

fn fluent_bit(line: &[u8]) -> Option<Shipped> {
    let time = line.get(b"{\"date\":".len()..)?;
    let end = memchr::memchr(b',', &time[..time.len().min(MAX_TOKEN)])?;
    if !is_seconds(&time[..end]) {
        return None;
    }
    let fluent: Fluent = read(line)?;
    let of_runtime = fluent.stream.is_some() && fluent.logtag.is_some();
    fluent.shipped(of_runtime && is_bare(line))
}

fn filebeat(line: &[u8]) -> Option<Shipped> {
    let Filebeat {
        message,
        metadata,
        agent,
        log,
    } = read(line)?;
    let is_of_log = |key: &String| OF_LOG.contains(&key.as_str());
    let names = [metadata.map(|of| of.beat), agent.map(|of| of.kind)];
    let is_filebeat = names.iter().flatten().any(|name| name == "filebeat");
    let is_line = is_filebeat && log.unwrap_or_default().keys().all(is_of_log) && is_bare(line);
    is_line.then(|| Shipped::whole(message.0))
}

fn vector(line: &[u8]) -> Option<Shipped> {
    const TYPES: [&str; 8] = [
        "docker_logs",
        "exec",
        "file",
        "journald",
        "kubernetes_logs",
        "socket",
        "stdin",
        "syslog",
    ];
    let Vector {
        message,
        source_type,
        partial,
        ..
    } = read(line)?;
    let is_vectors = TYPES.contains(&source_type.as_str()) && is_bare(line);
    is_vectors.then(|| Shipped {
        may_go_on: partial.is_some(),
        ..Shipped::whole(message.0)
    })
}

/// Whether an object has no keys but those of shippers.
fn is_bare(object: &[u8]) -> bool {
    let keys: Option<BTreeMap<String, IgnoredAny>> = read(object);
    keys.is_some_and(|keys| keys.keys().all(|key| OF_SHIPPERS.contains(&key.as_str())))
}

/// An object that has these keys, once each.
fn read<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

#[derive(Deserialize)]
struct Filebeat {
    message: Text,
    /// Of its outputs.
    #[serde(rename = "@metadata")]
    metadata: Option<Beat>,
    /// What Logstash leaves.
    agent: Option<Agent>,
    log: Option<BTreeMap<String, IgnoredAny>>,
}

#[derive(Deserialize)]
struct Beat {
    beat: String,
}

#[derive(Deserialize)]
struct Agent {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Vector {
    message: Text,
    source_type: String,
    #[serde(rename = "timestamp")]
    _timestamp: IgnoredAny,
    #[serde(rename = "_partial")]
    partial: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Loki {
    #[serde(rename = "labels")]
    _labels: IgnoredAny,
    line: Text,
    #[serde(rename = "timestamp")]
    _timestamp: IgnoredAny,
}

#[derive(Deserialize)]
struct Promtail {
    #[serde(rename = "_entry")]
    entry: Text,
}

/// A record of Fluent Bit or Fluentd.
#[derive(Deserialize)]
struct Fluent {
    log: Option<Text>,
    message: Option<Text>,
    stream: Option<String>,
    /// `F` or `P`, as Kubernetes' runtimes write it.
    logtag: Option<String>,
    partial_message: Option<IgnoredAny>,
}

impl Fluent {
    /// `has_message` says whether `message` is a line, as `log` always is.
    fn shipped(self, has_message: bool) -> Option<Shipped> {
        let stream = match self.stream.as_deref() {
            Some("stderr") => Stream::Stderr,
            _ => Stream::Stdout,
        };
        let is_last = match self.logtag.as_deref() {
            Some("F") => Some(true),
            Some("P") => Some(false),
            _ => None,
        };
        let message = self.message.filter(|_| has_message);
        let mut text = self.log.or(message)?.0;
        // Docker's own text has it at its end.
        let has_end = text.pop_if(|byte| *byte == b'\n').is_some();
        Some(Shipped {
            part: is_last.map(|is_last| Part { stream, is_last }),
            may_go_on: is_last.is_none()
                && !has_end
                && (text.len() == DIVIDED_AT || self.partial_message.is_some()),
            text,
        })
    }
}

/// Text of JSON, which need not be UTF-8.
#[derive(Debug)]
struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfBytes;

        impl Visitor<'_> for OfBytes {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(OfBytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<Shipped> {
        Some(Shipped::whole(text.into()))
    }

    #[test]
    fn a_line_is_what_was_shipped() {
        for line in [
            r#"{"@timestamp":"2026-11-21T10:06:56.750Z","@metadata":{"beat":"filebeat","type":"_doc","version":"8.15.0"},"log":{"offset":0,"file":{"path":"/var/log/nginx/access.log"}},"message":"a \"b\"","input":{"type":"log"}}"#,
            r#"{"@version":"1","message":"a \"b\"","agent":{"type":"filebeat","version":"8.15.0"},"host":{"name":"web1"}}"#,
            r#"{"file":"/var/log/nginx/access.log","host":"web1","message":"a \"b\"","source_type":"file","timestamp":"2026-11-21T10:06:56.75Z"}"#,
            r#"{"date":1795255616.750000,"log":"a \"b\""}"#,
            r#"{"date":1795255616.750000,"log":"a \"b\"\n","stream":"stdout","kubernetes":{"pod_name":"web"}}"#,
            r#"{"labels":{"job":"nginx"},"line":"a \"b\"","timestamp":"2026-11-21T10:06:56.75Z"}"#,
            r#"{"_entry":"a \"b\"","container":"web"}"#,
        ] {
            assert_eq!(unwrap(line.as_bytes()), whole("a \"b\""), "{line}");
        }
        for line in [
            r#"tail.0: [1795255616.750000000, {"log":"a \"b\""}]"#,
            "2026-11-21T10:06:56+01:00\tnginx.access\t{\"message\":\"a \\\"b\\\"\"}",
        ] {
            assert_eq!(unwrap_tagged(line.as_bytes()), whole("a \"b\""), "{line}");
        }
    }

    #[test]
    fn a_part_is_told_by_its_runtimes_tag() {
        for (tag, is_last) in [("F", true), ("P", false)] {
            let line =
                format!(r#"{{"date":1795255616.75,"stream":"stderr","logtag":"{tag}","message":"a"}}"#);
            let shipped = unwrap(line.as_bytes()).unwrap();
            let stream = Stream::Stderr;
            assert_eq!(shipped.part, Some(Part { stream, is_last }));
            assert!(!shipped.may_go_on);
        }
    }

    #[test]
    fn a_line_of_the_length_at_which_runtimes_divide_may_go_on() {
        for (length, end, goes_on) in [
            (DIVIDED_AT, "", true),
            (DIVIDED_AT, r"\n", false),
            (DIVIDED_AT - 1, "", false),
            (DIVIDED_AT + 1, "", false),
        ] {
            let line = format!(r#"{{"date":1795255616.75,"log":"{}{end}"}}"#, "a".repeat(length));
            let shipped = unwrap(line.as_bytes()).unwrap();
            assert_eq!((shipped.may_go_on, shipped.text.len()), (goes_on, length));
        }
    }

    #[test]
    fn what_an_application_logs_is_not_shipped() {
        for line in [
            r#"{"message":"a"}"#,
            r#"{"@timestamp":"2026-11-21T10:06:56Z","@version":"1","message":"a","level":"INFO"}"#,
            r#"{"message":"a \"filebeat\"","agent":"curl"}"#,
            r#"{"message":"a","x":{"agent":{"type":"filebeat"}}}"#,
            r#"{"message":"a","message":"b","agent":{"type":"filebeat"}}"#,
            r#"{"message":"a","source_type":"visitor","timestamp":1}"#,
            r#"{"date":"2026-11-21","log":"a"}"#,
            r#"{"date":1795255616750,"log":"a"}"#,
            r#"{"date":1795255616.75,"message":"a"}"#,
            // An application's own, which its shipper took apart.
            r#"{"@metadata":{"beat":"filebeat"},"message":"a","level":"info"}"#,
            r#"{"@metadata":{"beat":"filebeat"},"message":"a","log":{"offset":0,"level":"info"}}"#,
            r#"{"message":"a","source_type":"file","timestamp":"x","severity":"info"}"#,
            r#"{"date":1795255616.75,"stream":"stdout","logtag":"F","message":"a","level":"info"}"#,
            r#"{"labels":{},"line":"a"}"#,
            r#"{"x":{"_entry":"a"}}"#,
            r#"{"_entry":["a"]}"#,
        ] {
            assert_eq!(unwrap(line.as_bytes()), None, "{line}");
        }
        for line in [
            r#"a b: [1795255616.75, {"log":"a"}]"#,
            r#"a: [x, {"log":"a"}]"#,
            r#"a: [1795255616.75, {"log":"a"}"#,
            "2026-11-21\ta\t{\"message\":\"a\"}",
            "2026-11-21T10:06:56Z\tINFO\t{\"message\":\"a\"}",
            "2026-11-21T10:06:56Z\ta\t{\"message\":\"a\",\"level\":\"info\"}",
            "2026-11-21T10:06:56Z\ta b\t{\"message\":\"a\"}",
            "2026-11-21T10:06:56Z\t{\"message\":\"a\"}",
            "",
        ] {
            assert_eq!(unwrap_tagged(line.as_bytes()), None, "{line}");
        }
    }
}
