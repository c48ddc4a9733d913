//! The encoding of values: the only file that knows the codec of their content, bincode 2 in its standard configuration.

use serde::{Serialize, de::DeserializeOwned};

use super::Kind;

/// The first byte of each message. It changes only if what follows is laid out otherwise: what a later release adds to a
/// message is a part of it.
pub const FORMAT: u8 = 2;
/// Largest message in bytes: the largest payload that a NATS server takes by default.
pub const MAX_MESSAGE: usize = 1024 * 1024;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_MESSAGE>,
> = bincode::config::standard().with_limit::<MAX_MESSAGE>();

/// The reason why bytes are not a message, or a message cannot become bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("empty message")]
    Empty,
    #[error("message format {0}; this release reads format {FORMAT}")]
    Format(u8),
    #[error("message kind {0} of a later release")]
    UnknownKind(u8),
    #[error("a message of kind `{found}` where `{expected}` belongs")]
    WrongKind { expected: Kind, found: Kind },
    #[error("message of {0} bytes, the limit is {MAX_MESSAGE}")]
    TooLarge(usize),
    #[error("the message is cut short")]
    Truncated,
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
    #[error("part {0} comes twice or out of order")]
    PartOrder(u16),
    #[error("critical part {0} of a later release: the message must not be used without it")]
    CriticalPart(u16),
    #[error("part {tag}: {why}")]
    Part { tag: u16, why: String },
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// Appends the encoding of `value`.
pub(super) fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), WireError> {
    bincode::serde::encode_into_std_write(value, bytes, CONFIG)
        .map(drop)
        .map_err(|error| WireError::Malformed(error.to_string()))
}

/// Reads one value off the begin of `bytes`.
pub(super) fn split<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), WireError> {
    use bincode::error::DecodeError;
    let (value, read) = bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|error| match error {
        DecodeError::UnexpectedEnd { .. } => WireError::Truncated,
        error => WireError::Malformed(error.to_string()),
    })?;
    Ok((value, bytes.split_at(read).1))
}

/// Reads one value, which must be all of `bytes`.
pub(super) fn exactly<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match split(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(WireError::TrailingBytes(rest.len())),
    }
}
