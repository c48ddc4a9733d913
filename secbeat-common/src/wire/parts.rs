//! Optional parts: what releases add to a message after its base.
//!
//! A part is a tag (16 bits) and a length (32 bits), both little-endian, and its content. Tags follow the rule of Lightning's
//! BOLT 1, "it's OK to be odd": a reader skips an odd tag that it does not know, and refuses a message with an even one.

use serde::{Serialize, de::DeserializeOwned};

use super::codec::{WireError, append, exactly};

/// Whether a reader that does not know the part must refuse the message.
pub(super) const fn is_critical(tag: u16) -> bool {
    tag.is_multiple_of(2)
}

/// Appends the parts of a message, which come in ascending order of their tags.
#[derive(Debug)]
pub struct PartWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// Offset of the number of parts.
    count_at: usize,
}

impl<'a> PartWriter<'a> {
    pub(super) fn after_base(bytes: &'a mut Vec<u8>) -> Self {
        let count_at = bytes.len();
        bytes.push(0);
        Self { bytes, count_at }
    }

    /// Appends one part.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be encoded.
    pub fn put<T: Serialize>(&mut self, tag: u16, content: &T) -> Result<(), WireError> {
        self.bytes.extend(tag.to_le_bytes());
        let length_at = self.bytes.len();
        self.bytes.extend([0; size_of::<u32>()]);
        let begin = self.bytes.len();
        append(content, self.bytes)?;
        let length = self.bytes.len() - begin;
        let length = u32::try_from(length).map_err(|_| WireError::TooLarge(length))?;
        self.bytes[length_at..begin].copy_from_slice(&length.to_le_bytes());
        self.bytes[self.count_at] += 1;
        Ok(())
    }

    /// Appends a field of all items of a list, in their order, unless each has the default.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be encoded.
    pub fn put_column<'v, T>(
        &mut self,
        tag: u16,
        values: impl ExactSizeIterator<Item = &'v T> + Clone,
    ) -> Result<(), WireError>
    where
        T: Serialize + Default + PartialEq + 'v,
    {
        match values.clone().all(|value| *value == T::default()) {
            true => Ok(()),
            false => self.put(tag, &Column(values)),
        }
    }
}

/// Serialized as a list.
struct Column<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Column<I> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// One part of a message that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    tag: u16,
    content: &'a [u8],
}

impl<'a> Part<'a> {
    #[must_use]
    pub const fn tag(&self) -> u16 {
        self.tag
    }

    /// Returns the content.
    ///
    /// # Errors
    ///
    /// [`WireError::Part`] unless it is exactly one `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        exactly(self.content).map_err(|error| self.error(error.to_string()))
    }

    /// Hands the values of a [column](PartWriter::put_column) to the items that they belong to.
    ///
    /// # Errors
    ///
    /// [`WireError::Part`] unless there is exactly one value for each item.
    pub fn read_column<T: DeserializeOwned, I>(
        &self,
        items: &mut [I],
        set: impl Fn(&mut I, T),
    ) -> Result<(), WireError> {
        let values: Vec<T> = self.read()?;
        if values.len() != items.len() {
            return Err(self.error(format!("{} values for {} items", values.len(), items.len())));
        }
        items
            .iter_mut()
            .zip(values)
            .for_each(|(item, value)| set(item, value));
        Ok(())
    }

    fn error(&self, why: String) -> WireError {
        WireError::Part { tag: self.tag, why }
    }

    /// Reads one part off the begin of `bytes`, and returns the rest. `None` when they are cut short.
    pub(super) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (tag, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (content, rest) = bytes.split_at_checked(length)?;
        let tag = u16::from_le_bytes(*tag);
        Some((Self { tag, content }, rest))
    }
}
