//! Requests that are looked at.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A request as far as it is known; what is not is empty. Text is as the client sent it, or as a server logged it with its own
/// escapes (`\x22`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    pub method: &'a [u8],
    /// With the query.
    pub target: &'a [u8],
    /// 0 where it is not known.
    pub status: u16,
    pub user_agent: &'a [u8],
    pub referer: &'a [u8],
    pub host: &'a [u8],
    pub content_type: &'a [u8],
    /// Names and values.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}

impl<'a> Request<'a> {
    /// Returns what stands before the target's first question mark, and behind it.
    pub(crate) fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        match memchr::memchr(b'?', self.target) {
            Some(mark) => (&self.target[..mark], &self.target[mark + 1..]),
            None => (self.target, b""),
        }
    }
}

/// A request in a signature's file: `"GET /.env"`, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Sample {
    pub method: String,
    pub target: String,
    pub status: u16,
    pub user_agent: String,
    pub referer: String,
    pub host: String,
    pub content_type: String,
    pub headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a request line or a table with `request`")]
enum Written {
    Line(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default = "root")]
    request: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    referer: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn root() -> String {
    "GET /".to_owned()
}

impl From<Written> for Sample {
    fn from(written: Written) -> Self {
        match written {
            Written::Line(line) => Self::of_line(&line),
            Written::Table(table) => Self {
                status: table.status,
                user_agent: table.user_agent,
                referer: table.referer,
                host: table.host,
                content_type: table.content_type,
                headers: table.headers.into_iter().collect(),
                ..Self::of_line(&table.request)
            },
        }
    }
}

impl Sample {
    /// The request of a line such as `GET /.env HTTP/1.1`; without a method, the target alone.
    #[must_use]
    pub fn of_line(line: &str) -> Self {
        let is_of_method = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-');
        let is_method = |text: &str| !text.is_empty() && text.bytes().all(is_of_method);
        let (method, target) = match line.split_once(' ') {
            Some((method, target)) if is_method(method) => (method, target),
            _ => ("", line),
        };
        let target = match target.rsplit_once(" HTTP/") {
            Some((target, _)) => target,
            None => target,
        };
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            status: 0,
            user_agent: String::new(),
            referer: String::new(),
            host: String::new(),
            content_type: String::new(),
            headers: Vec::new(),
        }
    }

    /// Calls `with` with the request.
    pub fn with<T>(&self, with: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        with(&Request {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            status: self.status,
            user_agent: self.user_agent.as_bytes(),
            referer: self.referer.as_bytes(),
            host: self.host.as_bytes(),
            content_type: self.content_type.as_bytes(),
            headers: &headers,
        })
    }
}
