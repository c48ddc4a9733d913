//! The edge without I/O: commands, observations and the time go in, decisions come out as values.
#![forbid(unsafe_code)]

mod admission;
mod allowlist;
mod batch;
mod enforcer;
mod kernel;
mod local_allowlist;
mod notes;
mod reconcile;
mod renewal;
#[cfg(any(test, feature = "testing"))]
mod testing;
mod time;

#[cfg(any(test, feature = "testing"))]
pub use self::testing::{Carried, MemoryKernel};
pub use self::{
    admission::Refusal,
    allowlist::Allowlist,
    batch::{
        BatchConfig, BatchError, Batcher, Identity, MAX_EVENTS, MAX_MATCHES, MAX_METHOD, MAX_SOURCES,
        MAX_UPSTREAM_NAMES, Observation, ObservedResponse, RequestText,
    },
    enforcer::{
        BucketId, BucketUpdate, Effect, Enforcer, EnforcerConfig, EnforcerStatus, Event, Fact, Order,
        OrderError, ReconcileStats, Reply, Step, Ticket, WriteId, WriteOutcome,
    },
    kernel::{BAN_MAPS, Entry, Fill, FilterMode, KernelBan, ObservedBan, Stamp, UnknownMode},
    local_allowlist::{LocalAllowlist, LocalRefusal, MAX_LOCAL_ALLOWED},
    notes::{LocalNotes, SAME_END},
    reconcile::{Drift, Enforced, FleetBan, LocalBan, Origin, cover},
    renewal::{Life, Renewal, Window},
    time::{BootTime, Moment},
};
