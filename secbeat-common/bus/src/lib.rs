//! Traits of the bus that SecBeat's daemons use, and their implementations.
//!
//! Two layers. An implementation ([`nats`], [`memory`]) is a [`Backend`]: a connection with [`Bucket`]s (keys with revisions),
//! [`Log`]s (records in order) and topics (plain messages). Everything that the fleet means by them is written once above
//! that, over [`Bus`]: subjects, seals, encodings, lifetimes ([`BanBucket`], [`AllowBucket`], [`LeaseBucket`], [`EdgeBucket`],
//! [`DirectiveBucket`], [`SignatureBucket`], [`FeedBucket`], [`TelemetryLog`], [`AuditLog`]), how a bucket is followed over reconnects ([`Follower`]) and which of its
//! commands count ([`CommandReader`]).
//!
//! **Why `dyn`.** A [`Backend`] is a trait object, so that no signature of a daemon has a parameter for it. The price is one
//! allocation per call and one virtual call per message. Neither matters: telemetry travels in batches of up to hundreds of
//! events, so that a million events a second are some thousand messages; and payloads are passed on as
//! [`Bytes`](bytes::Bytes), without a copy. Nothing that must not wait awaits here: edges put what they publish into a queue of
//! their own.
//!
//! **What every implementation keeps** is written as the cases of [`conformance`], which run over both.

#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(any(feature = "memory", feature = "conformance"))]
pub mod samples;

#[cfg(feature = "conformance")]
pub mod conformance;

mod allow;
mod allowlist;
mod audit;
mod backend;
mod bans;
pub mod broker;
mod bus;
#[cfg(any(feature = "memory", feature = "local"))]
mod checks;
mod clock;
mod commands;
mod directives;
mod edges;
mod error;
mod feeds;
mod follow;
mod garbage;
mod kept;
mod layout;
mod leases;
mod signatures;
mod signed;
#[cfg(any(feature = "memory", feature = "local"))]
mod subject;
mod telemetry;

pub use self::{
    allow::{AllowBucket, Over},
    allowlist::{AllowFollower, AllowReader, Allowlist},
    audit::{AuditFill, AuditLog, AuditQuery, AuditRead},
    backend::{
        Answer, Backend, Bucket, BucketSettings, BucketStatus, Created, Entry, EntryKind, Log, LogSettings,
        LogStatus, Messages, Published, Reading, Record, Start, Storage, Stored, Watch, Watched, Write,
        WriteOutcome, Writing,
    },
    bans::{BanBucket, Found, KeyState, MAX_BATCH},
    bus::Bus,
    clock::{BusClock, Clocks, Estimator, Measure, Sample},
    commands::{CommandReader, NetworkCommand, RefusalReason, RefusedCommands, Statement},
    directives::{ChangedDirectives, DirectiveBucket},
    edges::EdgeBucket,
    error::{Error, Result},
    feeds::{BadPack, FeedBucket, HeldFeed, RefusedFeed, Unread, is_of, pack, unpack},
    follow::{Follower, Pace, Snapshot, TOGETHER, Update},
    garbage::Garbage,
    kept::{Following, Kept},
    layout::{AUDIT_AGE, Offline, TELEMETRY_AGE, make_all, make_reports, offline},
    leases::{LEASE_TTL, LeaseBucket},
    signatures::{HeldSignatures, RefusedSignatures, SignatureBucket},
    telemetry::{TelemetryFrom, TelemetryLog},
};
