//! Schedule of a certificate's renewal, and of the waits after a failure.

/// A third of its life before the end a certificate is renewed (as most clients of ACME do).
const LEFT: f64 = 1.0 / 3.0;
/// Up to this part of its life earlier: certificates that were issued together need not be renewed together.
const SPREAD: f64 = 1.0 / 30.0;
/// This part of its life is left at the latest, whatever the authority wants: an attempt may fail.
const LATEST: f64 = 1.0 / 10.0;
/// After a first failure, and the least after any: five failed validations an hour are what Let's Encrypt allows of a name.
const FIRST_PAUSE_MS: i64 = 10 * 60 * 1000;
const LONGEST_PAUSE_MS: i64 = 12 * 60 * 60 * 1000;
/// An authority that asks for a longer pause is not believed.
const LONGEST_WAIT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Validity of a certificate, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub from_ms: i64,
    pub until_ms: i64,
}

impl Life {
    fn part(self, part: f64) -> i64 {
        (self.until_ms.saturating_sub(self.from_ms) as f64 * part) as i64
    }

    fn renewal(self, jitter: f64) -> i64 {
        self.until_ms - self.part(LEFT) - self.part(SPREAD * jitter)
    }
}

/// A span of time in which the authority wants a certificate to be renewed (RFC 9773).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start_ms: i64,
    pub end_ms: i64,
}

/// State of a certificate, and of the attempts to get it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Of the certificate that is there.
    pub life: Option<Life>,
    /// Time at which that was obtained.
    pub obtained_ms: Option<i64>,
    pub window: Option<Window>,
    /// Attempts since then that failed.
    pub failures: u32,
    /// Attempts since then of which nobody knows how they ended: the daemon was killed.
    pub unfinished: u32,
    /// Time at which the last attempt began.
    pub tried_ms: Option<i64>,
    /// Until when the authority wants to be left alone.
    pub wait_until_ms: Option<i64>,
}

impl Renewal {
    /// Returns when it is asked for. `jitter` is from 0 to 1, and stays the same for one certificate.
    #[must_use]
    pub fn due_ms(&self, jitter: f64) -> i64 {
        let wanted = match (self.life, self.window) {
            (None, _) => i64::MIN,
            (Some(life), Some(window)) => {
                let width = window.end_ms.saturating_sub(window.start_ms).max(0);
                let wanted = window.start_ms.saturating_add((width as f64 * jitter) as i64);
                wanted.min(life.until_ms - life.part(LATEST))
            }
            (Some(life), None) => life.renewal(jitter),
        };
        // An authority, or a clock, that makes each new certificate due at once must not make us ask in a circle.
        let rested = match (self.life, self.obtained_ms) {
            (Some(life), Some(obtained)) => obtained + life.part(LEFT),
            _ => i64::MIN,
        };
        wanted.max(rested).max(self.pause_end()).max(self.wait_end())
    }

    /// Returns the state with which it is asked for now, as the operator wants: pauses after failures do not count, the
    /// authority's word does.
    #[must_use]
    pub fn without_pause(self) -> Self {
        Self {
            failures: 0,
            unfinished: 0,
            ..self
        }
    }

    fn pause_end(&self) -> i64 {
        // One that was interrupted is taken up at once; if that happens again, it may be what kills us.
        let bad = self.failures + self.unfinished.saturating_sub(1);
        let (Some(tried), Some(doublings)) = (self.tried_ms, bad.checked_sub(1)) else {
            return i64::MIN;
        };
        let pause = FIRST_PAUSE_MS
            .saturating_mul(1 << doublings.min(16))
            .min(LONGEST_PAUSE_MS);
        let pause = match self.life {
            // The nearer the end, the sooner.
            Some(life) if life.until_ms > tried => {
                pause.min(((life.until_ms - tried) / 8).max(FIRST_PAUSE_MS))
            }
            _ => pause,
        };
        tried + pause
    }

    fn wait_end(&self) -> i64 {
        match (self.wait_until_ms, self.tried_ms) {
            (Some(until), Some(tried)) => until.min(tried + LONGEST_WAIT_MS),
            _ => i64::MIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * 1000;
    const DAY: i64 = 24 * 60 * MINUTE;
    const NOW: i64 = 1_700_000_000_000;

    fn of_90_days() -> Renewal {
        Renewal {
            life: Some(Life {
                from_ms: NOW,
                until_ms: NOW + 90 * DAY,
            }),
            ..Renewal::default()
        }
    }

    #[test]
    fn a_certificate_that_is_not_there_is_due_at_once() {
        assert!(Renewal::default().due_ms(0.5) <= NOW);
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_never_later() {
        let renewal = of_90_days();
        assert_eq!(renewal.due_ms(0.0), NOW + 60 * DAY);
        assert_eq!(renewal.due_ms(1.0), NOW + 57 * DAY);
    }

    #[test]
    fn the_authoritys_window_wins_over_the_life() {
        let window = Window {
            start_ms: NOW + 2 * DAY,
            end_ms: NOW + 4 * DAY,
        };
        let renewal = Renewal {
            window: Some(window),
            ..of_90_days()
        };
        assert_eq!(renewal.due_ms(0.0), NOW + 2 * DAY);
        assert_eq!(renewal.due_ms(0.5), NOW + 3 * DAY);
        let reversed = Window {
            start_ms: NOW + 4 * DAY,
            end_ms: NOW,
        };
        let renewal = Renewal {
            window: Some(reversed),
            ..of_90_days()
        };
        assert_eq!(renewal.due_ms(1.0), NOW + 4 * DAY);
        let too_late = Window {
            start_ms: NOW + 90 * DAY,
            end_ms: i64::MAX,
        };
        let renewal = Renewal {
            window: Some(too_late),
            ..of_90_days()
        };
        assert_eq!(renewal.due_ms(0.5), NOW + 81 * DAY);
    }

    #[test]
    fn what_is_due_as_soon_as_it_is_issued_is_not_asked_for_in_a_circle() {
        // The clock goes 80 days ahead of the authority's.
        let now = NOW + 80 * DAY;
        let renewal = Renewal {
            obtained_ms: Some(now),
            ..of_90_days()
        };
        assert_eq!(renewal.due_ms(0.5), now + 30 * DAY);
    }

    #[test]
    fn failures_double_the_pause_up_to_half_a_day() {
        let after = |failures| {
            let renewal = Renewal {
                failures,
                tried_ms: Some(NOW),
                ..Renewal::default()
            };
            renewal.due_ms(0.5) - NOW
        };
        assert_eq!(after(1), 10 * MINUTE);
        assert_eq!(after(2), 20 * MINUTE);
        assert_eq!(after(5), 160 * MINUTE);
        assert_eq!(after(8), DAY / 2);
        assert_eq!(after(u32::MAX), DAY / 2);
    }

    #[test]
    fn pauses_shrink_towards_the_end_of_the_certificate() {
        let after = |left: i64| {
            let tried = NOW + 90 * DAY - left;
            let renewal = Renewal {
                failures: 20,
                tried_ms: Some(tried),
                ..of_90_days()
            };
            renewal.due_ms(0.5) - tried
        };
        assert_eq!(after(30 * DAY), DAY / 2);
        assert_eq!(after(2 * DAY), DAY / 4);
        assert_eq!(after(MINUTE), 10 * MINUTE);
        // Once it is over there is no hurry any more.
        assert_eq!(after(-DAY), DAY / 2);
    }

    #[test]
    fn one_interrupted_attempt_is_repeated_at_once_and_the_next_ones_are_not() {
        let after = |unfinished| {
            let renewal = Renewal {
                unfinished,
                tried_ms: Some(NOW),
                ..Renewal::default()
            };
            renewal.due_ms(0.5)
        };
        assert!(after(1) <= NOW);
        assert_eq!(after(2), NOW + 10 * MINUTE);
        assert_eq!(after(3), NOW + 20 * MINUTE);
    }

    #[test]
    fn the_authoritys_word_counts_for_a_week_at_most_and_also_for_an_operator_in_a_hurry() {
        let renewal = Renewal {
            failures: 1,
            tried_ms: Some(NOW),
            wait_until_ms: Some(NOW + DAY),
            ..Renewal::default()
        };
        assert_eq!(renewal.due_ms(0.5), NOW + DAY);
        assert_eq!(renewal.without_pause().due_ms(0.5), NOW + DAY);
        let for_ever = Renewal {
            wait_until_ms: Some(i64::MAX),
            ..renewal
        };
        assert_eq!(for_ever.due_ms(0.5), NOW + 7 * DAY);
        let failed = Renewal {
            wait_until_ms: None,
            ..renewal
        };
        assert!(failed.without_pause().due_ms(0.5) <= NOW);
    }
}
