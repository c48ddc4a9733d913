//! The news of one reader: frames that all readers share.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures::{Stream, stream};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Interval, interval},
};
use utoipa::ToSchema;

use super::{Frame, Hub, frame};
use crate::{
    events::{EventId, NextEvent, Reader},
    view::Overview,
};

/// Interval at which it is looked whether a silent reader may still read.
pub(crate) const RECHECK: Duration = Duration::from_secs(1);

/// The data of the event `reset`: what was missed is gone, and the page has to be reloaded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Watched {
    /// Number of events that were missed; `null` if the daemon has started again since.
    pub missed: Option<u64>,
}

/// Frames as they come, until the daemon ends or the reader may not read any more.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, std::convert::Infallible>> + Send>>;

struct Reading<F> {
    happened: Reader<Frame>,
    now: watch::Receiver<(Arc<Overview>, Frame)>,
    recheck: Interval,
    may_read: F,
    _seat: OwnedSemaphorePermit,
}

impl Hub {
    /// Returns what comes from now on, or what came after an event that the reader has seen; `None` if there are too many
    /// readers.
    pub(crate) fn follow(
        &self,
        after: Option<EventId>,
        may_read: impl Fn() -> bool + Send + 'static,
    ) -> Option<Frames> {
        let seat = self.seats.clone().try_acquire_owned().ok()?;
        let mut now = self.now.subscribe();
        // What is so comes first.
        now.mark_changed();
        let reading = Reading {
            happened: self.ring.follow(after),
            now,
            recheck: interval(RECHECK),
            may_read,
            _seat: seat,
        };
        Some(Box::pin(stream::unfold(reading, |mut reading| async move {
            let next = reading.next().await?;
            Some((Ok(next), reading))
        })))
    }
}

impl<F: Fn() -> bool> Reading<F> {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let next = tokio::select! {
                biased;
                told = self.happened.next() => Some(match told? {
                    // The id is each event's, and the rest is shared.
                    NextEvent::Event(event) => [format!("id: {}\n", event.id).as_bytes(), &event.what].concat().into(),
                    NextEvent::Lagged(missed) => frame("reset", &Watched { missed }),
                }),
                changed = self.now.changed() => {
                    changed.ok()?;
                    let frame = self.now.borrow_and_update().1.clone();
                    // Nobody has looked yet.
                    (!frame.is_empty()).then_some(frame)
                }
                _ = self.recheck.tick() => None,
            };
            if !(self.may_read)() {
                return None;
            }
            if next.is_some() {
                return next;
            }
        }
    }
}
