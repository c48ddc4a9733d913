//! Position up to which a file was read, and marks by which it is recognised.

use std::{fmt::Write as _, fs::File, io, os::unix::fs::FileExt as _};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// First bytes of a file that tell it from another with the same inode number. Lines carry their time and client, so no
/// two logs begin alike.
pub(super) const HEAD: usize = 256;
/// Bytes before the place where reading goes on that tell a copy of a log from another file.
pub(super) const TAIL: usize = 4096;

/// Where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes done with: the start of a line, or somewhere in one that comes in pieces.
    pub(super) offset: u64,
    /// Whether the offset is in a line that comes in pieces.
    pub(super) passing_over: bool,
    /// Of a container's log: for each stream, whether the offset is between two parts of a line.
    pub(super) divided: [bool; 2],
    /// Whether a line has shown that the log's lines are in wrappers.
    pub(super) in_wrappers: bool,
    /// The file's first bytes, at most [`HEAD`] and none beyond the offset.
    pub(super) head: Vec<u8>,
    /// The last bytes before the offset, at most [`TAIL`].
    pub(super) tail: Vec<u8>,
}

impl Mark {
    /// The mark at `offset` of `file`.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn at(file: &File, offset: u64, passing_over: bool) -> io::Result<Self> {
        let shorter = |most: usize| usize::try_from(offset).map_or(most, |offset| offset.min(most));
        let (mut head, mut tail) = (vec![0; shorter(HEAD)], vec![0; shorter(TAIL)]);
        let read = read_at(file, &mut head, 0)?;
        head.truncate(read);
        let tail_at = offset - tail.len() as u64;
        let read = read_at(file, &mut tail, tail_at)?;
        tail.truncate(read);
        Ok(Self {
            offset,
            passing_over,
            divided: [false; 2],
            in_wrappers: false,
            head,
            tail,
        })
    }

    /// Takes note that `bytes`, which follow, are done with.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        if self.offset == self.head.len() as u64 {
            let missing = HEAD.saturating_sub(self.head.len());
            self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        }
        let kept = TAIL.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        self.offset += bytes.len() as u64;
    }

    /// Returns what a checkpoint says of it.
    pub(super) fn saved(&self) -> SavedMark {
        SavedMark {
            offset: self.offset,
            passing_over: self.passing_over,
            divided: self.divided,
            in_wrappers: self.in_wrappers,
            head: Print::of(&self.head),
            tail: Print::of(&self.tail),
        }
    }
}

/// A [`Mark`] that quotes nothing of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedMark {
    pub(super) offset: u64,
    pub(super) passing_over: bool,
    #[serde(default)]
    pub(super) divided: [bool; 2],
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) in_wrappers: bool,
    pub(super) head: Print,
    /// Empty in a checkpoint of a release that knew of none.
    #[serde(default)]
    pub(super) tail: Print,
}

impl SavedMark {
    /// The mark in `file`, if that begins with all that was read.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn find_in(&self, file: &File) -> io::Result<Option<Mark>> {
        if file.metadata()?.len() < self.offset {
            return Ok(None);
        }
        let mark = Mark::at(file, self.offset, self.passing_over)?;
        // An older release kept no tail.
        let tail = &mark.tail[mark.tail.len().saturating_sub(self.tail.length)..];
        let is_same = self.head.is_of(&mark.head) && self.tail.is_of(tail);
        Ok(is_same.then_some(Mark {
            divided: self.divided,
            in_wrappers: self.in_wrappers,
            ..mark
        }))
    }
}

/// Bytes of a log, of which only the length and a hash is kept. SHA-256, since who writes a log may try to make two files
/// that look the same. It needs no key: a checkpoint can be read by those alone who may read the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPrint")]
pub(super) struct Print {
    length: usize,
    sha256: String,
}

impl Print {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let mut sha256 = String::new();
        for byte in digest(&SHA256, bytes).as_ref() {
            let _ = write!(sha256, "{byte:02x}");
        }
        Self {
            length: bytes.len(),
            sha256,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn is_of(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes)
    }

    /// Whether a file's first bytes are these.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn begins(&self, file: &File) -> io::Result<bool> {
        let mut first = vec![0; self.length.min(HEAD)];
        let read = read_at(file, &mut first, 0)?;
        Ok(self.is_of(&first[..read]))
    }
}

/// Bytes as a checkpoint has them.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredPrint {
    /// As an older release wrote them: U+0000 to U+00FF.
    Text(String),
    Hash {
        length: usize,
        sha256: String,
    },
}

impl TryFrom<StoredPrint> for Print {
    type Error = std::char::TryFromCharError;

    fn try_from(stored: StoredPrint) -> Result<Self, Self::Error> {
        match stored {
            StoredPrint::Text(text) => {
                let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
                Ok(Self::of(&bytes?))
            }
            StoredPrint::Hash { length, sha256 } => Ok(Self { length, sha256 }),
        }
    }
}

/// Reads until `buffer` is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_remembers_the_first_and_the_last_bytes_however_they_come() {
        let text: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();
        for part in [1, 100, TAIL - 1, TAIL, 3 * TAIL, text.len()] {
            let mut mark = Mark::default();
            text.chunks(part).for_each(|part| mark.advance(part));
            assert_eq!(mark.offset, 40_000);
            assert!(mark.head == text[..HEAD], "parts of {part}");
            assert!(mark.tail == text[text.len() - TAIL..], "parts of {part}");
        }
    }

    #[test]
    fn a_checkpoint_holds_hashes_and_one_of_an_older_release_is_understood() {
        let mut mark = Mark::default();
        mark.advance("\u{ff}GET /?secret".as_bytes());
        let text = serde_json::to_string(&mark.saved()).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(serde_json::from_str::<SavedMark>(&text).unwrap(), mark.saved());
        let old = r#"{"offset":14,"passing_over":false,"head":"Ã¿GET /?secret"}"#;
        let old: SavedMark = serde_json::from_str(old).unwrap();
        assert_eq!(old.head, mark.saved().head);
        assert!(old.tail.is_empty());
    }
}
