//! The encoding of messages.

use serde::{Serialize, de::DeserializeOwned};

/// Version of the messages below; the first byte of each.
pub const VERSION: u8 = 1;
/// Largest message in bytes: the largest payload that a NATS server takes by default.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// A message that travels on the bus.
pub trait Message: Serialize + DeserializeOwned {}

/// Why bytes are no message, or a message no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("empty message")]
    Empty,
    #[error("message version {0}, this release speaks {VERSION}")]
    Version(u8),
    #[error("message of {0} bytes, the limit is {MAX_MESSAGE}")]
    TooLarge(usize),
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
    #[error("not a message: {0}")]
    Malformed(String),
}

/// # Errors
///
/// [`WireError::TooLarge`] past [`MAX_MESSAGE`] bytes.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![VERSION];
    bincode::serde::encode_into_std_write(message, &mut bytes, bincode::config::standard())
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// # Errors
///
/// Whatever keeps `bytes` from being exactly one message of this version.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    let (&version, body) = bytes.split_first().ok_or(WireError::Empty)?;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let config = bincode::config::standard().with_limit::<MAX_MESSAGE>();
    let (message, read) = bincode::serde::decode_from_slice(body, config)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    match body.len() - read {
        0 => Ok(message),
        rest => Err(WireError::TrailingBytes(rest)),
    }
}
