//! The orchestrator: sees what all edges report, decides who is banned, and keeps the ledger.
//!
//! Pure cores, deterministic, with time as an argument (milliseconds since the Unix epoch) and decisions as values:
//!
//! * [`detect`]: sources, sliding windows, rules and the outage guard: who crossed a threshold?
//! * [`corroboration`]: on how many edges' word, and so how far does a ban reach?
//! * [`ledger`]: which bans are in force, for how long, and which of them still have to be written?
//! * [`exchange`]: bans in files, imported and exported;
//! * [`presence`]: which edges are there, and do they hold the ledger's bans?
//! * [`propagation`]: how long do bans take to the edges, and who has answered?
//! * [`leases::core`]: which partitions does this orchestrator own, of those that all share?
//! * [`replay`]: the same detector and ledger over log files.
//!
//! The shell moves data between them and the world: [`leases::shell`] and [`intake`] read what is owned, [`replica`] what
//! others decide, [`fleet_watch`] what edges say, [`engine`] owns detector and ledger, [`writer`] makes the bus say what
//! the ledger says, [`allowlist`] whom nobody bans, [`events`] tells whoever listens, [`api`] and [`cli`] are for people, [`app`] ties all together.

#![forbid(unsafe_code)]

pub mod allowlist;
pub mod api;
pub mod app;
pub mod auditor;
pub mod bus;
pub mod cli;
pub mod config;
pub mod corroboration;
pub mod detect;
pub mod edges;
pub mod engine;
pub mod enroll;
pub mod events;
pub mod evidence;
pub mod exchange;
pub mod explain;
pub mod fleet_watch;
pub mod intake;
pub mod leases;
pub mod ledger;
pub mod presence;
pub mod propagation;
pub mod protection;
pub mod replay;
pub mod replica;
pub mod wanted;
pub mod writer;

/// `duration` in whole milliseconds, at most `i64::MAX`.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
