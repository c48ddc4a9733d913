//! Published telemetry that may not have arrived.

use std::{collections::VecDeque, time::Duration};

use secbeat_bus::Bus;
use tokio::time::Instant;

use crate::spool::EncodedBatch;

/// Bytes of published batches that are remembered; past it the oldest are taken to have arrived.
const UNCONFIRMED_BYTES: usize = 16 * 1024 * 1024;
/// The same on a bus inside this process: no connection can take with it what is on its way.
const UNCONFIRMED_BYTES_WITHIN: usize = 1024 * 1024;
/// The stream is kept in the server's memory: what it took just before it died may be unread.
pub(super) const HOLD: Duration = Duration::from_secs(1);
/// What a batch costs beside its payload, in bytes: its share of bookkeeping here, on the way and in memory.
pub(super) const OVERHEAD: usize = 256;

/// Published batches that the server may not have had, oldest first.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    batches: VecDeque<(Instant, EncodedBatch)>,
    bytes: usize,
    max_bytes: usize,
}

impl Unconfirmed {
    /// None yet.
    pub(super) fn on(bus: &Bus) -> Self {
        Self::bounded(match bus.ends_with_members() {
            true => UNCONFIRMED_BYTES_WITHIN,
            false => UNCONFIRMED_BYTES,
        })
    }

    const fn bounded(max_bytes: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    pub(super) fn push(&mut self, batch: EncodedBatch) {
        self.bytes += batch.payload.len() + OVERHEAD;
        self.batches.push_back((Instant::now(), batch));
        while self.bytes > self.max_bytes {
            self.pop();
        }
    }

    /// A probe that was sent at `asked` has been answered.
    pub(super) fn confirm(&mut self, asked: Instant) {
        while self
            .batches
            .front()
            .is_some_and(|(published, _)| *published + HOLD < asked)
        {
            self.pop();
        }
    }

    /// Takes all of them out, oldest first.
    pub(super) fn take(&mut self) -> impl ExactSizeIterator<Item = EncodedBatch> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
            .into_iter()
            .map(|(_, batch)| batch)
    }

    fn pop(&mut self) {
        if let Some((_, batch)) = self.batches.pop_front() {
            self.bytes -= batch.payload.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(size: usize) -> EncodedBatch {
        EncodedBatch {
            partition: 0,
            closed_ms: 0,
            answers: 1,
            payload: vec![0; size].into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_probe_has_not_outlived_by_a_second_stays_in_doubt() {
        let mut unconfirmed = Unconfirmed::bounded(UNCONFIRMED_BYTES);
        unconfirmed.push(batch(1));
        tokio::time::advance(HOLD).await;
        unconfirmed.push(batch(2));
        unconfirmed.confirm(Instant::now());
        assert_eq!(unconfirmed.batches.len(), 2, "just a second");
        tokio::time::advance(Duration::from_millis(1)).await;
        unconfirmed.confirm(Instant::now());
        assert_eq!(unconfirmed.batches.len(), 1);
        assert_eq!(unconfirmed.bytes, 2 + OVERHEAD);
    }

    #[tokio::test]
    async fn what_is_in_doubt_is_bounded_also_in_tiny_batches() {
        let mut unconfirmed = Unconfirmed::bounded(UNCONFIRMED_BYTES);
        for _ in 0..100_000 {
            unconfirmed.push(batch(1));
        }
        assert!(unconfirmed.batches.len() * OVERHEAD <= UNCONFIRMED_BYTES);
        unconfirmed.push(batch(UNCONFIRMED_BYTES - OVERHEAD));
        assert_eq!(unconfirmed.batches.len(), 1, "the youngest");
    }
}
