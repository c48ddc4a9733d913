//! The pure cores of the orchestrator.
//!
//! Everything here is deterministic: time comes in as an argument (milliseconds since the Unix epoch, `i64`), decisions
//! come out as values. The daemon's shell moves data between these cores and the world.
//!
//! * [`detect`]: sources, sliding windows, rules and the outage guard: who crossed a threshold?
//! * [`ledger`]: which bans are in force, for how long, and which of them still have to be written?
//! * [`logs`]: access log lines as typed values.
//! * [`replay`]: the same detector and ledger over log files.

#![forbid(unsafe_code)]

pub mod detect;
pub mod ledger;
pub mod logs;
// pub mod replay;

/// `duration` in whole milliseconds, at most `i64::MAX`.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
