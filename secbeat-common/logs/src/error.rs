//! Reasons why a line is not a request.

use std::net::IpAddr;

use super::LogLine;

/// The reason why a line is not a [`LogLine`]. Reasons describe the line's shape and never quote it, since clients
/// write what lines contain, and reasons are shown to everybody who may see statistics. Fields are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the line is empty")]
    Empty,
    #[error("the client is not an address")]
    Client,
    #[error("field {0} is not an address")]
    Field(usize),
    /// The line is a request, but the format is not that of its log.
    #[error("the line is a request, but field {0} is not a single address")]
    OtherLayout(usize),
    /// The line is a request of the format, with a name or nothing in place of its client's address.
    #[error("the line is a request, but field 1 is not a single address")]
    NoAddress,
    #[error("two readings: the client may be field {0} or field {1}; state a format in which it is clear")]
    TwoReadings(usize, usize),
    /// As [`TwoReadings`](Self::TwoReadings), which a client may have brought about, whatever the log's layout is.
    #[error("two readings: the client may be field {0} or field {1}; state a format in which it is clear")]
    UserReadsTwice(usize, usize),
    /// The line may be a request of another layout, or have been made to look like one by a client that wrote into a line of
    /// another kind.
    #[error("the line does not begin as its format does, with the client's address in field {0}")]
    NotFirst(usize),
    #[error(
        "two readings: a wrapper may stand before the line, or a client may have written it; no line before it says which"
    )]
    Wrapper,
    /// Of several formats; what each says of it.
    #[error("{}", list(.0))]
    NoneOf(Vec<LogError>),
    #[error("formats {0} and {1} read another client each; name one of them only")]
    TwoFormats(usize, usize),
    /// With the client that it begins with, if nobody else can have written that.
    #[error(
        "the line ends within its user name: its server writes line feeds of clients as they are, so that what follows it may be \
         any client's; have it log JSON, or no user name"
    )]
    EndsInUser(Option<IpAddr>),
    /// With the client that it begins with.
    #[error("the line was cut off within its user name")]
    CutInUser(IpAddr),
    /// With the client that it begins with, if that is one address.
    #[error(
        "the line may go on in the next one: it is as long as the parts that a container's runtime makes, and what ships it does not \
         say; have the shipper join them"
    )]
    MayGoOn(Option<IpAddr>),
    #[error("a line before it ends within what a client wrote, and so this one may be that client's, too")]
    Behind,
    #[error("a key of the client, the time or the status is there twice, with two values")]
    TwoValues,
    #[error(
        "two keys that may be the client's have different addresses, and neither is `remote_addr`: name the client's in \
         `[access_log.keys]`"
    )]
    TwoClients,
    #[error("no time like {0}")]
    Time(&'static str),
    #[error("the time has no known shape")]
    BadTime,
    #[error("the quoted request does not end")]
    Request,
    #[error("no three-digit status after the request")]
    Status,
    #[error("invalid status: expected a number from 100 to 999")]
    BadStatus,
    #[error("no `client:port [date]` of an HTTP log")]
    HaproxyBegin,
    #[error("no status and quoted request after the date: not of the HTTP log")]
    HaproxyRest,
    #[error("no `[pid: …] client (user) ` of uWSGI")]
    UwsgiBegin,
    #[error("no time like [Sat Nov 21 11:06:56 2026] behind uWSGI's number of variables")]
    UwsgiTime,
    #[error("no `[GIN] ` of Gin")]
    GinBegin,
    #[error("no `[GIN] time | status | duration | client | method \"path\"` of Gin 1.6 or newer")]
    Gin,
    #[error("`{literal}` expected after {after}")]
    Literal { literal: String, after: String },
    #[error("the line is a header of the log")]
    Header,
    #[error("the header before the line names no client, time or status that can be read")]
    NoFields,
    #[error("not the number of quotes that the format has, and its server does not escape those of clients")]
    BareQuotes,
    #[error("not a JSON object: {what} at byte {at}")]
    Json { at: u64, what: &'static str },
    #[error("the message is not that of a request")]
    Message,
    /// The same of a line that has no client either.
    #[error("the message is not that of a request")]
    OtherMessage,
    #[error("no {0} under a key that the format knows: name yours in `[access_log.keys]`")]
    Missing(&'static str),
    #[error(
        "the list names no client: from the right, all are trusted proxies up to an entry that is not an address"
    )]
    NoClient,
    #[error(
        "the client is only in `x_forwarded_for`, which clients may write, and another value is an address: name the client's key in \
         `[access_log.keys]`"
    )]
    Forwarded,
    #[error(
        "the program that writes this log takes the client's address from a header that any client may write: read the log of the \
         server in front, or, if only your proxy reaches it, name the key in `[access_log.keys]`"
    )]
    AnyHeader,
    #[error("the client is a trusted proxy")]
    Proxy,
    #[error("a part of a line that a container's runtime divided")]
    Divided,
}

impl LogError {
    /// See [`Format::calls_for_doubt`](super::Format::calls_for_doubt).
    pub(super) fn calls_for_doubt(&self) -> bool {
        match self {
            Self::OtherLayout(_) | Self::NoAddress | Self::TwoReadings(..) | Self::EndsInUser(_) => true,
            Self::NoneOf(errors) => errors.iter().any(Self::calls_for_doubt),
            _ => false,
        }
    }

    /// Whether the line ended within what a client wrote, so that the next ones may be what the same client wrote.
    pub(super) fn ends_in_text_of_client(&self) -> bool {
        match self {
            Self::EndsInUser(_) | Self::MayGoOn(_) | Self::Request => true,
            Self::NoneOf(errors) => errors.iter().any(Self::ends_in_text_of_client),
            _ => false,
        }
    }

    /// The error of the client that a line without a time names for certain, at a time that is known otherwise: that of its arrival,
    /// or of the line before it.
    #[must_use]
    pub fn of_client(&self, at_ms: i64) -> Option<LogLine<'static>> {
        let (client, ends_in_user) = self.client()?;
        Some(LogLine::without_time(client, at_ms, ends_in_user))
    }

    /// The client that a line without a time names, and whether its server wrote the line feed that it ends with as it was sent.
    /// Formats that name another each name none.
    fn client(&self) -> Option<(IpAddr, bool)> {
        match self {
            Self::EndsInUser(client) => Some(((*client)?, true)),
            Self::CutInUser(client) => Some((*client, false)),
            Self::MayGoOn(client) => Some(((*client)?, false)),
            Self::NoneOf(errors) => {
                let mut clients = errors.iter().filter_map(Self::client);
                let first = clients.next()?;
                clients.all(|other| other == first).then_some(first)
            }
            _ => None,
        }
    }

    /// As it is of a line that may be what a client wrote: it names nobody.
    pub(super) fn of_nobody(self) -> Self {
        match self.client() {
            Some((_, true)) => Self::EndsInUser(None),
            Some((_, false)) => Self::Behind,
            None => self,
        }
    }

    /// Whether the line was close to a request of the format that refused it.
    pub(super) const fn is_of_a_request(&self) -> bool {
        matches!(
            self,
            Self::OtherLayout(_)
                | Self::NoAddress
                | Self::TwoReadings(..)
                | Self::UserReadsTwice(..)
                | Self::NotFirst(_)
                | Self::Wrapper
                | Self::Request
                | Self::Status
                | Self::HaproxyRest
                | Self::Gin
                | Self::BareQuotes
                | Self::TwoValues
                | Self::TwoClients
                | Self::AnyHeader
                | Self::Message
        )
    }
}

fn list(errors: &[LogError]) -> String {
    let errors = errors.iter().enumerate();
    let texts: Vec<String> = errors
        .map(|(at, error)| format!("as format {}: {error}", at + 1))
        .collect();
    texts.join("; ")
}
