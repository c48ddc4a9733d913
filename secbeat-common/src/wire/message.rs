//! Messages: a head, a base that never changes, and parts that later releases add.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Kind,
    codec::{FORMAT, MAX_MESSAGE, WireError, append, split},
    parts::{Part, PartWriter, is_critical},
};

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
    /// Returns an error if one cannot be encoded.
    fn write_parts(&self, _parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        Ok(())
    }

    /// Takes over one of its [`PARTS`](Self::PARTS).
    ///
    /// # Errors
    ///
    /// Returns an error if it is malformed.
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
    let skipped = read_parts(&mut message, rest)?;
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

/// Reads all parts of a message, the rest of it, and returns how many of them this release does not know.
fn read_parts<M: Message>(message: &mut M, bytes: &[u8]) -> Result<u32, WireError> {
    let (&count, mut rest) = bytes.split_first().ok_or(WireError::Truncated)?;
    let (mut skipped, mut last) = (0, None);
    for _ in 0..count {
        let (part, after) = Part::split(rest).ok_or(WireError::Truncated)?;
        if last >= Some(part.tag()) {
            return Err(WireError::PartOrder(part.tag()));
        }
        if M::PARTS.contains(&part.tag()) {
            message.read_part(part)?;
        } else if is_critical(part.tag()) {
            return Err(WireError::CriticalPart(part.tag()));
        } else {
            skipped += 1;
        }
        (last, rest) = (Some(part.tag()), after);
    }
    match rest.len() {
        0 => Ok(skipped),
        bytes => Err(WireError::TrailingBytes(bytes)),
    }
}
