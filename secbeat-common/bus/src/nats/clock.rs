//! The clock of the server.

use async_nats::jetstream::{ErrorCode, context::RequestErrorKind, response::Response};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{ACK_TIMEOUT, Nats, why};
use crate::error::{Error, Result};

/// What the server says of a stream (NATS ADR-31), as far as it tells the time. The client's own type leaves that out.
#[derive(Deserialize)]
struct StreamInfo {
    /// Time at which it answered, RFC 3339.
    ts: Option<String>,
}

impl Nats {
    /// Returns what the clock of the server that leads `stream` says, microseconds since the Unix epoch. Every member may ask for
    /// it: the one who reads a stream asks what there is of it.
    pub(super) async fn server_time(&self, stream: &str) -> Result<i64> {
        let refused = |why| Error::Refused {
            what: "asking for the server's time".to_owned(),
            why,
        };
        let asked = self.context.request(format!("STREAM.INFO.{stream}"), &()).await;
        let answer: Response<StreamInfo> = asked.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => Error::Silent {
                what: "the server's time".to_owned(),
                waited: ACK_TIMEOUT,
            },
            RequestErrorKind::NoResponders | RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
                refused(why(&error))
            }
        })?;
        let info = match answer {
            Response::Ok(info) => info,
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                return Err(Error::Missing(stream.to_owned()));
            }
            Response::Err { error } => return Err(refused(why(&error))),
        };
        let ts = info
            .ts
            .ok_or_else(|| refused("the answer names no time".to_owned()))?;
        parse(&ts).ok_or_else(|| refused(format!("invalid time `{ts}`")))
    }
}

/// Microseconds since the Unix epoch.
fn parse(ts: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(ts, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_server_writes_them() {
        assert_eq!(
            parse("2026-11-20T10:00:07.123456789Z"),
            Some(1_795_168_807_123_456)
        );
        assert_eq!(parse("2026-11-20T10:00:07Z"), Some(1_795_168_807_000_000));
        assert_eq!(parse("yesterday"), None);
    }
}
