//! What the orchestrator decides, as values: events and the time go in, effects come out.
//!
//! * [`analyzers`]: who crossed a threshold, and how far does a ban reach?
//! * [`decider`]: the one owner of all that follows; [`decider::Decider::handle`] is the way in.
//! * [`ledger`]: which bans are in force, for how long, and which still have to be written?
//! * [`writer`]: makes the bucket of bans say what the ledger says, through lost and reordered answers.
//! * [`bucket`]: what was heard of the bucket's keys.
//! * [`leases`]: which partitions does this orchestrator own, of those that all share?
//! * [`notices`]: what are people told of, and in how few messages?
//! * [`presence`]: which edges are there, and do they hold the ledger's bans?
//! * [`propagation`]: how long do bans take to the edges, and who has answered?
//! * [`reports`]: what happened in an hour or a day, in bounded rows.
//! * [`stand_in`]: an edge's own detector, while no orchestrator decides.
//! * [`telemetry`]: which batches of each edge came, and which came again?
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
