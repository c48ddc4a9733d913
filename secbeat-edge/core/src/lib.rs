//! The edge without I/O: commands, observations and the time go in, decisions come out as values.
#![forbid(unsafe_code)]

mod batch;
mod kernel;
mod reconcile;
mod time;

pub use self::{
    batch::{
        Answer, BatchConfig, BatchError, Batcher, Identity, MAX_EVENTS, MAX_METHOD, MAX_SOURCES,
        MAX_UPSTREAM_NAMES, Observation, RequestText,
    },
    kernel::{BAN_MAPS, Fill, FilterMode, KernelBan, UnknownMode},
    reconcile::{
        Change, Drift, Enforced, Entry, Limits, Origin, Pass, Reconciler, Refusal, Surroundings, cover,
    },
    time::{BootTime, Moment},
};
