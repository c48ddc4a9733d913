//! Errors of the bus.

use std::time::Duration;

use secbeat_common::wire::WireError;

/// The reason why a call to the bus failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bucket or log does not exist. An orchestrator makes it.
    #[error("{0} does not exist")]
    Missing(String),
    /// No acknowledgement came in time. The write may have been made all the same.
    #[error("{0} was not acknowledged")]
    Unacknowledged(String),
    /// The server refused.
    #[error("{what} was refused: {why}")]
    Refused { what: String, why: String },
    /// The server did not answer, or sent nothing for so long.
    #[error("no answer about {what} within {}s", .waited.as_secs_f32())]
    Silent { what: String, waited: Duration },
    /// A stream of messages ended, as when the connection breaks.
    #[error("{0} ended")]
    Ended(String),
    /// The server is too old to work with.
    #[error("the NATS server at {server} is {version}; SecBeat needs {}.{} or newer", .oldest.0, .oldest.1)]
    TooOld {
        server: String,
        version: String,
        oldest: (i64, i64),
    },
    /// The address, the key or the certificate of the connection cannot be used.
    #[error("connecting to NATS at {server}: {why}")]
    Connection { server: String, why: String },
    /// The message cannot be sent: its key is invalid, or it does not encode.
    #[error("invalid message: {0}")]
    Invalid(String),
}

/// The result of a call to the bus.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}
