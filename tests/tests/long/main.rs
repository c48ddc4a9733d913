//! Tests that take minutes: `cargo xtask test --long` runs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

mod load;
mod packets;
mod simulation;
mod storm;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lets one of these tests run at a time: each loads the whole machine, and two have time limits.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
