//! Formats of one's own, in the syntax of nginx's `log_format`.

use memchr::memmem;

use super::{
    LogError, LogLine, address,
    cut::{CutLine, Place},
    error::quote,
    quoted::{parse_status, some_text, split_request, unquote},
    time::{self, TIME_LEN, Zone},
};

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the pattern has no {0}")]
    Missing(&'static str),
    #[error("the pattern has `${0}` twice, or another field that says the same")]
    Twice(String),
    #[error("nothing stands between `${0}` and `${1}`, so that nobody can tell where one ends")]
    Adjacent(String, String),
    #[error("`$` in the pattern is followed by no name")]
    NoName,
}

/// A pattern taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    /// What stands before the first field.
    begin: Vec<u8>,
    fields: Vec<Field>,
}

/// A field and what follows it.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    says: Says,
    /// Empty only for the last field.
    then: Vec<u8>,
    /// Whether it is within quotes, where a backslash escapes them.
    quoted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Client,
    /// `10/Oct/2023:11:06:56 +0200`.
    ClfTime,
    /// RFC 3339, or seconds since the epoch.
    Time,
    Request,
    Method,
    Path,
    Status,
    Host,
    UserAgent,
    Nothing,
}

impl Says {
    fn of(name: &str) -> Self {
        match name {
            "remote_addr" => Self::Client,
            "time_local" => Self::ClfTime,
            "time_iso8601" | "msec" => Self::Time,
            "request" => Self::Request,
            "request_method" => Self::Method,
            "request_uri" | "uri" => Self::Path,
            "status" => Self::Status,
            "host" | "http_host" | "server_name" => Self::Host,
            "http_user_agent" => Self::UserAgent,
            _ => Self::Nothing,
        }
    }

    /// Fields that say the same are the same; of several hosts, the last one counts.
    fn may_repeat(self) -> bool {
        matches!(self, Self::Nothing | Self::Host | Self::Path)
    }

    fn is_time(self) -> bool {
        matches!(self, Self::ClfTime | Self::Time)
    }

    fn is_same(self, other: Self) -> bool {
        self == other || self.is_time() && other.is_time()
    }
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let mut parts = text.trim().split('$');
        let begin = parts.next().unwrap_or_default().as_bytes().to_vec();
        let mut fields: Vec<Field> = Vec::new();
        for part in parts {
            let (name, then) = split_name(part).ok_or(PatternError::NoName)?;
            let says = Says::of(name);
            let before = fields
                .last()
                .map_or(begin.as_slice(), |field| field.then.as_slice());
            if let (Some(last), true) = (fields.last(), before.is_empty()) {
                return Err(PatternError::Adjacent(last.name.clone(), name.to_owned()));
            }
            if !says.may_repeat() && fields.iter().any(|field| field.says.is_same(says)) {
                return Err(PatternError::Twice(name.to_owned()));
            }
            let quoted = before.ends_with(b"\"") && then.starts_with('"');
            fields.push(Field {
                name: name.to_owned(),
                says,
                then: then.as_bytes().to_vec(),
                quoted,
            });
        }
        let has = |says: fn(Says) -> bool| fields.iter().any(|field| says(field.says));
        for (there, what) in [
            (has(|says| says == Says::Client), "client: `$remote_addr`"),
            (
                has(Says::is_time),
                "time: `$time_local`, `$time_iso8601` or `$msec`",
            ),
            (has(|says| says == Says::Status), "`$status`"),
        ] {
            if !there {
                return Err(PatternError::Missing(what));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            begin,
            fields,
        })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Parses one line without surrounding space. Once client, time and status are known, what does not follow the pattern
    /// is left out, as in a line that is cut off.
    pub(super) fn parse<'a>(&self, line: &'a [u8], zone: &Zone) -> Result<LogLine<'a>, LogError> {
        let (line, error) = self.read(line, zone)?;
        match error {
            Some(error) if !line.is_request() => Err(error),
            _ => line.finish(),
        }
    }

    /// Parses the beginning of a line whose end is not known, as far as it says whose it is.
    pub(super) fn parse_cut(&self, head: &[u8], zone: &Zone) -> Result<CutLine, LogError> {
        let (line, _) = self.read(head, zone)?;
        let unreadable = line.status.is_none();
        let line = Partial {
            status: line.status.or(Some(0)),
            ..line
        };
        let line = LogLine {
            unreadable,
            ..line.finish()?
        };
        Ok(CutLine::new(line, Place::Anywhere))
    }

    /// Reads fields as far as the line follows the pattern; also returns why it does not, if so.
    fn read<'a>(&self, line: &'a [u8], zone: &Zone) -> Result<(Partial<'a>, Option<LogError>), LogError> {
        let mut rest = line.strip_prefix(&*self.begin).ok_or_else(|| LogError::Literal {
            literal: quote(&self.begin),
            after: "the beginning".to_owned(),
        })?;
        let mut line = Partial::default();
        for (at, field) in self.fields.iter().enumerate() {
            let next = self.fields.get(at + 1);
            let split = field.split(rest, next, zone);
            let Some((value, after)) = split else {
                let error = LogError::Literal {
                    literal: quote(&field.then),
                    after: format!("`${}`", field.name),
                };
                return Ok((line, Some(error)));
            };
            line.set(field.says, value, zone)?;
            rest = after;
        }
        Ok((line, None))
    }

    /// Whether a line begins with something that no client writes: a text of the pattern, or a field of the server's own.
    pub(super) fn begins_with_server(&self) -> bool {
        let of_server = |says| matches!(says, Says::Client | Says::ClfTime | Says::Time | Says::Status);
        !self.begin.is_empty() || self.fields.first().is_some_and(|field| of_server(field.says))
    }
}

impl Field {
    /// The field and what follows its literal.
    fn split<'a>(&self, text: &'a [u8], next: Option<&Self>, zone: &Zone) -> Option<(&'a [u8], &'a [u8])> {
        if self.then.is_empty() {
            return Some((text, b""));
        }
        if self.says == Says::ClfTime {
            let (time, rest) = text.split_at_checked(TIME_LEN)?;
            return Some((time, rest.strip_prefix(&*self.then)?));
        }
        if self.quoted {
            let (value, _) = unquote(text)?;
            return Some((value, text[value.len()..].strip_prefix(&*self.then)?));
        }
        let time = next.filter(|next| next.says.is_time() && self.says == Says::Nothing);
        memmem::find_iter(text, &self.then).find_map(|at| {
            let (value, rest) = (&text[..at], &text[at + self.then.len()..]);
            // A client chooses its user name, so that only what is followed by a time ends it.
            let is_end = time.is_none_or(|time| {
                let split = time.split(rest, None, zone);
                split.is_some_and(|(value, _)| time::parse_any(value, zone).is_some())
            });
            is_end.then_some((value, rest))
        })
    }
}

/// A name, with or without braces, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(text) = text.strip_prefix('{') {
        return text.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    Some(text.split_at(end.unwrap_or(text.len()))).filter(|(name, _)| !name.is_empty())
}

/// What is known of a line.
#[derive(Default)]
struct Partial<'a> {
    client: Option<std::net::IpAddr>,
    at_ms: Option<i64>,
    status: Option<u16>,
    method: &'a [u8],
    path: &'a [u8],
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
}

impl<'a> Partial<'a> {
    fn is_request(&self) -> bool {
        self.client.is_some() && self.at_ms.is_some() && self.status.is_some()
    }

    fn set(&mut self, says: Says, value: &'a [u8], zone: &Zone) -> Result<(), LogError> {
        match says {
            Says::Client => self.client = Some(address::parse_last(value)?),
            Says::ClfTime | Says::Time => {
                let time = time::parse_any(value, zone);
                self.at_ms = Some(time.ok_or_else(|| LogError::BadTime(quote(value)))?);
            }
            Says::Status => {
                let status = parse_status(value);
                self.status = Some(status.ok_or_else(|| LogError::BadStatus(quote(value)))?);
            }
            Says::Request => (self.method, self.path) = split_request(value),
            Says::Method => self.method = some_text(value).unwrap_or_default(),
            Says::Path => self.path = some_text(value).unwrap_or_default(),
            Says::Host => self.host = some_text(value).or(self.host),
            Says::UserAgent => self.user_agent = some_text(value),
            Says::Nothing => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<LogLine<'a>, LogError> {
        Ok(LogLine {
            client: self.client.ok_or(LogError::Missing("client address"))?,
            forwarded: None,
            unreadable: false,
            at_ms: self.at_ms.ok_or(LogError::Missing("time"))?,
            method: self.method.into(),
            path: self.path.into(),
            status: self.status.ok_or(LogError::Missing("status"))?,
            host: self.host.map(Into::into),
            user_agent: self.user_agent.map(Into::into),
        })
    }
}
