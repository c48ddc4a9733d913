//! Time of an event, by the server's clock.
//!
//! Three clocks are involved: the server's, which stamps the receipt; the edge's time of day, which stamps events and
//! batches; and the edge's boot clock, which measures how long a batch waited for the bus. A batch was closed at its
//! receipt less that wait. Where the edge's time of day agrees with that, it is believed; where it does not, it is wrong,
//! and events are moved by as much as it is off. So one wrong clock bans nobody and shields nobody.

/// How far an edge's clock may be behind, which includes the way to the server.
const BEHIND_MS: i64 = 10_000;
/// How far an edge's clock may be ahead, and how far an event's time may lie after its batch was closed.
const AHEAD_MS: i64 = 1_000;

/// Turns the times in one batch into the server's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The shift to add.
    shift_ms: i64,
    oldest_ms: i64,
    newest_ms: i64,
}

impl Times {
    /// For a batch that its edge closed at `sent_at_ms` by its own time of day, that waited `age_ms` for the bus, and that
    /// the server received at `received_ms`. What happened more than `max_age_ms` before the receipt does not matter.
    pub(super) fn new(sent_at_ms: i64, received_ms: i64, age_ms: Option<u64>, max_age_ms: i64) -> Self {
        let age_ms = i64::try_from(age_ms.unwrap_or(0)).unwrap_or(i64::MAX);
        let closed_ms = received_ms.saturating_sub(age_ms);
        let off_ms = closed_ms.saturating_sub(sent_at_ms);
        let believed = (-AHEAD_MS..=BEHIND_MS).contains(&off_ms);
        Self {
            shift_ms: if believed { 0 } else { off_ms },
            oldest_ms: received_ms.saturating_sub(max_age_ms),
            newest_ms: closed_ms.saturating_add(AHEAD_MS),
        }
    }

    /// Returns when what the edge says happened at `at_ms` did happen; `None` if that is too long ago.
    pub(super) fn of(self, at_ms: i64) -> Option<i64> {
        let at_ms = at_ms.saturating_add(self.shift_ms).min(self.newest_ms);
        (at_ms > self.oldest_ms).then_some(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const MAX_AGE: i64 = 120_000;

    fn times(sent_at_ms: i64, age_ms: Option<u64>) -> Times {
        Times::new(sent_at_ms, NOW, age_ms, MAX_AGE)
    }

    #[test]
    fn a_right_clock_is_believed_to_the_millisecond() {
        for sent_at in [NOW + 1_000, NOW, NOW - 3, NOW - 10_000] {
            assert_eq!(times(sent_at, None).of(NOW - 7), Some(NOW - 7), "{sent_at}");
        }
    }

    #[test]
    fn a_wrong_clock_moves_no_event() {
        for off in [-86_400_000, -10_001, 1_001, 86_400_000] {
            let (live, late) = (times(NOW + off, None), times(NOW + off - 40_000, Some(40_000)));
            assert_eq!(live.of(NOW + off - 5), Some(NOW - 5), "off by {off}");
            assert_eq!(late.of(NOW + off - 40_005), Some(NOW - 40_005), "off by {off}");
        }
    }

    #[test]
    fn a_batch_that_waited_keeps_its_times() {
        let late = times(NOW - 40_000, Some(40_000));
        assert_eq!(late.of(NOW - 40_002), Some(NOW - 40_002));
        assert_eq!(
            late.of(NOW),
            Some(NOW - 39_000),
            "after the batch was closed: a wrong time"
        );
    }

    #[test]
    fn old_lines_of_a_log_keep_their_times_in_a_live_batch() {
        assert_eq!(times(NOW, None).of(NOW - 90_000), Some(NOW - 90_000));
        assert_eq!(
            times(NOW + 3_600_000, None).of(NOW + 3_600_000 - 90_000),
            Some(NOW - 90_000)
        );
    }

    #[test]
    fn what_is_too_old_is_ignored_and_the_future_is_now() {
        assert_eq!(times(NOW, None).of(NOW - MAX_AGE), None);
        assert_eq!(times(NOW, None).of(NOW - MAX_AGE + 1), Some(NOW - MAX_AGE + 1));
        assert_eq!(times(NOW, None).of(NOW + 3_600_000), Some(NOW + 1_000));
        assert_eq!(times(NOW - 121_000, Some(121_000)).of(NOW - 121_000), None);
        assert_eq!(times(i64::MIN, Some(u64::MAX)).of(i64::MAX), None);
    }
}
