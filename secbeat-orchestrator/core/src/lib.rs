//! The orchestrator's decisions, as values: events and the time go in, effects come out.
//!
//! * [`analyzers`]: find clients that cross a threshold, and how far their bans reach.
//! * [`decider`]: the one owner of all that follows; [`decider::Decider::handle`] is the way in.
//! * [`ledger`]: the bans in force, their ends, and those that still have to be written.
//! * [`writer`]: makes the bucket of bans say what the ledger says, through lost and reordered answers.
//! * [`bucket`]: the keys of the bucket, as far as they were read.
//! * [`leases`]: the partitions that this orchestrator owns, of those that all share.
//! * [`notices`]: notifications, in few messages.
//! * [`presence`]: the edges that are up, and whether they hold the ledger's bans.
//! * [`propagation`]: how long bans take to the edges, and which have acknowledged them.
//! * [`reports`]: what happened in an hour or a day, in bounded rows.
//! * [`stand_in`]: an edge's own detector, while no orchestrator decides.
//! * [`telemetry`]: the batches of each edge that came, and those that came again.
//! * [`evidence`]: the latest events and findings, to answer why.
//!
//! Nothing here reads a clock, opens a socket or waits.

#![forbid(unsafe_code)]

pub mod analyzers;
pub mod bucket;
pub mod decider;
pub mod evidence;
mod ids;
pub mod leases;
pub mod ledger;
mod moment;
pub mod notices;
pub mod presence;
pub mod propagation;
mod protection;
pub mod reports;
pub mod signatures;
pub mod stand_in;
pub mod telemetry;
pub mod writer;

pub use self::{ids::Ids, moment::Moment, protection::ProtectedNet};

/// `duration` in whole milliseconds, at most `i64::MAX`.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
