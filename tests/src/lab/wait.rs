//! Waiting for something to become true, with a bound and a name.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::lab::interrupt::interrupted;

const POLL: Duration = Duration::from_millis(5);

/// What a probe answers: `bool`, or an `Option` that carries what was waited for.
pub trait Probe {
    type Found;
    fn found(self) -> Option<Self::Found>;
}

impl Probe for bool {
    type Found = ();
    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Probe for Option<T> {
    type Found = T;
    fn found(self) -> Self {
        self
    }
}

/// Asks `probe` every 5 ms until it answers `true` or `Some`.
///
/// # Panics
///
/// After `timeout`, naming `what` was waited for.
#[track_caller]
pub fn wait_until<P: Probe>(what: &str, timeout: Duration, mut probe: impl FnMut() -> P) -> P::Found {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().found() {
            return found;
        }
        assert!(!interrupted(), "interrupted while waiting: {what}");
        assert!(start.elapsed() < timeout, "waited {timeout:?} in vain: {what}");
        thread::sleep(POLL);
    }
}
