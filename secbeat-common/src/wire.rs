//! Messages on the bus and their encoding.
//!
//! A message is one version byte and then bincode 2 (standard configuration). Decoding has a size limit, refuses other
//! versions and refuses trailing bytes. The encoding appears in `codec` alone; golden vectors in the tests pin it. Audit
//! records and the edges' presence alone are JSON.

mod ack;
mod allow;
mod audit;
mod codec;
mod command;
mod interest;
mod lease;
#[cfg(any(test, feature = "fuzzing"))]
mod oracle;
mod presence;
mod seen;
mod telemetry;
#[cfg(test)]
mod tests;
mod waf;

#[cfg(any(test, feature = "fuzzing"))]
pub use self::oracle::check;
pub use self::{
    ack::{Ack, AckBatch, Enforcement, MAX_ACKS},
    allow::{AllowEntry, Disallow, MAX_ALLOWED},
    audit::{AuditRecord, Decision},
    codec::{MAX_MESSAGE, Message, VERSION, WireError, decode, encode},
    command::{Action, BlockCommand, Evidence, Layer, Lift, PERMANENT, Scope},
    interest::{Interest, MAX_FILTERS, MAX_INTEREST, TooInterested},
    lease::{Lease, NO_LEASE},
    presence::{Drops, EnforcedAt, EnforcedBans, Presence, Spooled, XdpInterface},
    seen::{MAX_EVIDENCE, MAX_EVIDENCE_TEXT, SeenEvent, SeenWhat, bounded},
    telemetry::{LateBatch, LearnedFrom, MAX_TEXT, SourceCount, TelemetryBatch, TelemetryEvent, cut},
    waf::{MAX_WAF_EVENTS, MAX_WAF_RULES, Severity, WafBatch, WafEvent, WafOutcome, WafRule},
};
pub use crate::reason::{Reason, RuleName};
