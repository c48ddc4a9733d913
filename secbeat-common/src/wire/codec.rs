//! The encoding of messages: the only file that knows the codec of their content, bincode 2 in its standard configuration.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Kind,
    parts::{self, Part, PartWriter},
};

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

/// A message that travels on the bus. What [`Serialize`] makes of it is its base, which never changes; what later releases
/// add are parts.
pub trait Message: Serialize + DeserializeOwned {
    const KIND: Kind;
    /// Tags of the parts that this release knows.
    const PARTS: &'static [u16] = &[];

    /// Appends the parts, in ascending order of their tags. One whose value is its default is left out.
    ///
    /// # Errors
    ///
    /// When one cannot be encoded.
    fn write_parts(&self, _parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        Ok(())
    }

    /// Takes over one of its [`PARTS`](Self::PARTS).
    ///
    /// # Errors
    ///
    /// When it is malformed.
    fn read_part(&mut self, _part: Part<'_>) -> Result<(), WireError> {
        Ok(())
    }
}

/// A message as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<M> {
    pub message: M,
    /// Number of its parts that this release does not know and may ignore.
    pub skipped: u32,
}

/// Why bytes are not a message, or a message cannot become bytes.
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

/// Returns the bytes of `message`.
///
/// # Errors
///
/// [`WireError::TooLarge`] past [`MAX_MESSAGE`] bytes.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![FORMAT, M::KIND as u8];
    append(message, &mut bytes)?;
    message.write_parts(&mut PartWriter::after_base(&mut bytes))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// Returns the message in `bytes`, and how much of it was skipped.
///
/// # Errors
///
/// [`WireError`] unless `bytes` are exactly one message of this kind that this release may use.
pub fn decode_counted<M: Message>(bytes: &[u8]) -> Result<Decoded<M>, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    let (&format, rest) = bytes.split_first().ok_or(WireError::Empty)?;
    if format != FORMAT {
        return Err(WireError::Format(format));
    }
    let (&kind, rest) = rest.split_first().ok_or(WireError::Truncated)?;
    if kind != M::KIND as u8 {
        return Err(
            Kind::of(kind).map_or(WireError::UnknownKind(kind), |found| WireError::WrongKind {
                expected: M::KIND,
                found,
            }),
        );
    }
    let (mut message, rest) = split(rest)?;
    let skipped = parts::read_into(&mut message, rest)?;
    Ok(Decoded { message, skipped })
}

/// [`decode_counted`] for a reader that counts nothing, such as one of messages that this process wrote.
///
/// # Errors
///
/// As [`decode_counted`].
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, WireError> {
    decode_counted(bytes).map(|decoded| decoded.message)
}

/// Appends the encoding of `value`.
pub(super) fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), WireError> {
    bincode::serde::encode_into_std_write(value, bytes, CONFIG)
        .map(drop)
        .map_err(|error| WireError::Malformed(error.to_string()))
}

/// Reads one value off the begin of `bytes`.
fn split<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), WireError> {
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
