//! Interim answers (RFC 9110 §15.2) on their way to the client, past hyper, whose server sends none but its own 100.

use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::{Context, Poll, ready},
};

use hyper::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;

use super::headers::strip_hop_by_hop;

/// Bytes of interim answers that may wait.
const MOST: usize = 64 * 1024;

/// What waits to go to one HTTP/1 client, before whatever hyper writes next.
pub(super) struct Interims {
    bytes: Mutex<Vec<u8>>,
    has_some: AtomicBool,
    /// Whether hyper holds nothing back of the answer before: only then may something go between.
    is_clean: AtomicBool,
}

impl Default for Interims {
    fn default() -> Self {
        Self {
            bytes: Mutex::default(),
            has_some: AtomicBool::new(false),
            is_clean: AtomicBool::new(true),
        }
    }
}

impl Interims {
    pub(super) fn push(&self, status: StatusCode, headers: &HeaderMap) {
        if !self.is_clean.load(SeqCst) {
            return;
        }
        let mut headers = headers.clone();
        strip_hop_by_hop(&mut headers);
        // It would be that of the answer to come, and may not stand here (RFC 9110 §8.6).
        headers.remove(CONTENT_LENGTH);
        let reason = status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        for (name, value) in &headers {
            let parts = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
            head.extend(parts.concat());
        }
        head.extend(b"\r\n");
        let mut bytes = self.bytes.lock();
        if bytes.len() + head.len() <= MOST {
            bytes.extend(head);
            self.has_some.store(true, SeqCst);
        }
    }

    /// Hyper is about to write.
    pub(super) fn written(&self) {
        self.is_clean.store(false, SeqCst);
    }

    /// Hyper has written all it has.
    pub(super) fn flushed(&self) {
        self.is_clean.store(true, SeqCst);
    }

    /// Writes what waits.
    pub(super) fn poll_write(
        &self,
        mut stream: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.has_some.load(SeqCst) {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = self.bytes.lock();
        while !bytes.is_empty() {
            let written = ready!(stream.as_mut().poll_write(cx, &bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.drain(..written);
        }
        self.has_some.store(false, SeqCst);
        Poll::Ready(Ok(()))
    }
}
