//! The format of a segment file: a head, then records.
//!
//! Head: 8 bytes of magic, the 16 bytes of the host's boot id. Record: the body's length and its CRC-32 with the length
//! before it (both `u32`), then the body: when the batch was closed (`u64`, milliseconds of the boot clock), its answers
//! (`u64`), its partition (`u16`), its payload. Integers are little endian.

use std::io::{self, ErrorKind, Read};

use bytes::{Buf as _, BufMut as _, Bytes};
use crc32fast::Hasher;
use secbeat_common::wire::MAX_MESSAGE;
use uuid::Uuid;

use super::EncodedBatch;

const MAGIC: [u8; 8] = *b"SBSPOOL1";
/// Bytes of the head.
pub(super) const HEAD: usize = MAGIC.len() + 16;
/// Bytes of a record before its body.
const PREFIX: usize = 4 + 4;
/// Bytes of a body before its payload.
const FIXED: usize = 8 + 8 + 2;

/// The head of a segment that is begun in this boot of the host.
pub(super) fn head(boot: Uuid) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (magic, id) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    id.copy_from_slice(boot.as_bytes());
    head
}

/// Returns which boot a segment is of; `None` if it is not a segment, or its head was never finished.
pub(super) fn read_head(from: &mut impl Read) -> io::Result<Option<Uuid>> {
    let mut head = [0; HEAD];
    if fill(from, &mut head)? < HEAD || head[..MAGIC.len()] != MAGIC {
        return Ok(None);
    }
    Ok(Uuid::from_slice(&head[MAGIC.len()..]).ok())
}

/// The record of `batch`.
pub(super) fn record(batch: &EncodedBatch) -> Vec<u8> {
    let body = FIXED + batch.payload.len();
    let length = u32::try_from(body).unwrap_or(u32::MAX);
    let mut record = Vec::with_capacity(PREFIX + body);
    record.put_u32_le(length);
    record.put_u32_le(0);
    record.put_u64_le(batch.closed_ms);
    record.put_u64_le(batch.answers);
    record.put_u16_le(batch.partition);
    record.put_slice(&batch.payload);
    let checksum = checksum(length, &record[PREFIX..]);
    record[4..PREFIX].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Record(EncodedBatch),
    End,
    /// What follows is not a whole record: the segment ends here.
    Torn,
}

/// Reads one record.
pub(super) fn read_record(from: &mut impl Read) -> io::Result<Next> {
    let mut prefix = [0; PREFIX];
    match fill(from, &mut prefix)? {
        0 => return Ok(Next::End),
        PREFIX => {}
        _ => return Ok(Next::Torn),
    }
    let mut prefix = &prefix[..];
    let (length, expected) = (prefix.get_u32_le(), prefix.get_u32_le());
    if !(FIXED..=FIXED + MAX_MESSAGE).contains(&(length as usize)) {
        return Ok(Next::Torn);
    }
    let mut body = vec![0; length as usize];
    if fill(from, &mut body)? < body.len() || checksum(length, &body) != expected {
        return Ok(Next::Torn);
    }
    let mut body = Bytes::from(body);
    Ok(Next::Record(EncodedBatch {
        closed_ms: body.get_u64_le(),
        answers: body.get_u64_le(),
        partition: body.get_u16_le(),
        payload: body,
    }))
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Reads until `buffer` is full or the file ends; returns how much was read.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
