//! Changes that have not been told yet.

use std::time::Duration;

use tokio::time::Instant;

use super::HostChange;

/// Least time between two batches. The first change after a quiet time is told at once.
pub(super) const SPACING: Duration = Duration::from_millis(200);

/// Changes gathered at most before no more are read.
const ENOUGH: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: Vec<HostChange>,
    /// Before this instant nothing is told.
    due: Option<Instant>,
}

impl Pending {
    /// Adds a change. Saying twice where to look again says nothing more; interfaces come and go in order.
    pub(super) fn add(&mut self, change: HostChange) {
        let in_order = matches!(change, HostChange::Link(_));
        if in_order || !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    pub(super) fn extend(&mut self, changes: impl IntoIterator<Item = HostChange>) {
        for change in changes {
            self.add(change);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.changes.len() >= ENOUGH
    }

    /// Returns when the next batch may be told; `None` is at once.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The batch, told at `now`.
    pub(super) fn take(&mut self, now: Instant) -> Vec<HostChange> {
        self.due = Some(now + SPACING);
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{LinkChange, LinkEvent};

    #[test]
    fn a_burst_is_one_batch_and_the_next_one_comes_200_ms_later() {
        let mut pending = Pending::default();
        assert_eq!(pending.due(), None);
        for _ in 0..1000 {
            pending.add(HostChange::Routes);
        }
        pending.add(HostChange::Addresses);
        let now = Instant::now();
        assert_eq!(pending.take(now), [HostChange::Routes, HostChange::Addresses]);
        assert!(pending.is_empty());
        assert_eq!(pending.due(), Some(now + Duration::from_millis(200)));
    }

    #[test]
    fn an_interface_that_comes_goes_and_comes_again_is_told_three_times() {
        let link = |event| {
            HostChange::Link(LinkChange {
                index: 7,
                name: "eth0".to_owned(),
                event,
            })
        };
        let changes = [
            link(LinkEvent::Appeared),
            link(LinkEvent::Gone),
            link(LinkEvent::Appeared),
        ];
        let mut pending = Pending::default();
        pending.extend(changes.clone());
        assert_eq!(pending.take(Instant::now()), changes);
    }
}
