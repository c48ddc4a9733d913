//! Copies of what was sent of requests' bodies, in case they have to be sent again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::{Bytes, BytesMut};

/// Bytes of a body that are kept in any case.
const OWN: usize = 16 * 1024;
/// Bytes of a body that are kept while there is room: as much as servers take of one before they have looked at it.
const MOST: usize = 1024 * 1024;
/// Bytes that all bodies together keep beyond their own.
const SHARED: usize = 64 * 1024 * 1024;

/// Room for what bodies keep beyond their own.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicUsize::new(SHARED))
    }
}

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let left = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Relaxed, Relaxed, left).is_ok()
    }
}

/// A copy of all that was sent of a body. Bytes of small pieces are put together: a client chooses how small they are.
#[derive(Debug)]
pub(super) struct BodyCopy {
    bytes: BytesMut,
    room: Arc<Room>,
    /// Bytes of the shared room that it holds.
    held: usize,
}

impl BodyCopy {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self {
            bytes: BytesMut::new(),
            room,
            held: 0,
        }
    }

    /// Adds what is sent; `None` where that is too much.
    pub(super) fn with(mut self, sent: &Bytes) -> Option<Self> {
        let length = self.bytes.len() + sent.len();
        let beyond = length.saturating_sub(OWN);
        if length > MOST || !self.room.take(beyond - self.held) {
            return None;
        }
        self.held = beyond;
        self.bytes.extend_from_slice(sent);
        Some(self)
    }

    /// All that was sent. It holds no room any more: it is on its way again.
    pub(super) fn into_bytes(mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}

impl Drop for BodyCopy {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.held, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_own_and_more_while_there_is_room() {
        let room = Arc::new(Room(AtomicUsize::new(MOST)));
        let piece = |bytes: usize| Bytes::from(vec![b'x'; bytes]);
        let copy = |bytes: usize| BodyCopy::new(room.clone()).with(&piece(bytes));
        assert!(copy(MOST + 1).is_none());
        let large = copy(MOST).unwrap();
        assert_eq!(room.0.load(Relaxed), OWN);
        assert!(copy(2 * OWN + 1).is_none(), "there is no room");
        let small = copy(OWN).unwrap();
        assert!(small.with(&piece(OWN)).unwrap().with(&piece(1)).is_none());
        drop(large);
        assert_eq!(room.0.load(Relaxed), MOST, "all is given back");
        let again = copy(3).unwrap().with(&piece(OWN)).unwrap();
        assert_eq!(again.into_bytes().len(), OWN + 3);
        assert_eq!(room.0.load(Relaxed), MOST);
    }
}
