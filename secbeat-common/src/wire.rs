//! Messages on the bus and their encoding.
//!
//! A message is one byte of format, one of its [`Kind`], its base, one byte with the number of its parts, and these. Base and
//! the content of each part are bincode 2 (standard configuration) and never change: what a later release adds is a new
//! part, which older ones skip and count, or refuse the message for if its tag says that it is critical. Decoding has a size
//! limit and refuses trailing bytes. Golden vectors in the tests pin the bytes.
//!
//! Audit records and the edges' presence alone are JSON. Their readers ignore fields that they do not know.

mod ack;
mod allow;
mod audit;
mod codec;
mod command;
mod detection;
mod feed;
mod growing;
mod interest;
mod kind;
mod labels;
mod lease;
mod message;
#[cfg(any(test, feature = "fuzzing"))]
mod oracle;
mod parts;
mod presence;
mod release;
mod seen;
mod service;
mod signatures;
mod telemetry;
#[cfg(test)]
mod tests;
mod waf;

#[cfg(any(test, feature = "fuzzing"))]
pub use self::oracle::check;
pub use self::{
    ack::{Ack, AckBatch, Enforcement, LocalBan, MAX_ACKS, MAX_LOCAL_BANS},
    allow::{AllowEntry, Disallow, MAX_ALLOWED},
    audit::{AuditRecord, Audited, Decision, List, ListRecord, ListUse, SignatureChange, SignatureRecord},
    codec::{FORMAT, MAX_MESSAGE, WireError},
    command::{Action, BlockCommand, Evidence, LABELS, Layer, Lift, PERMANENT, Scope},
    detection::Detection,
    feed::{
        BadFeed, FEED_CHUNK, FeedContent, FeedTrouble, FeedVerdict, FleetFeed, MAX_FEED_BYTES,
        MAX_FEED_NETWORKS, MAX_FEED_TEXT, MAX_FEEDS,
    },
    interest::{Asked, Interest, MAX_FILTERS, MAX_INTEREST, TooInterested},
    kind::Kind,
    labels::{Labels, MAX_LABELS, check_labels, have_all, parse_label, parse_labels, tell_labels},
    lease::{ConfigDigests, Lease, NO_LEASE},
    message::{Decoded, Message, decode, decode_counted, encode},
    parts::{Part, PartWriter},
    presence::{
        ClockOffset, Drops, EnforcedAt, EnforcedBans, FeedInForce, FollowedLog, MAX_LOGS, Presence,
        SignaturesInForce, Spooled, XdpInterface,
    },
    release::Speaks,
    seen::{MAX_EVIDENCE, MAX_EVIDENCE_TEXT, SeenEvent, SeenWhat, bounded},
    service::{MAX_SERVICE_EVENTS, MAX_SERVICE_NAME, ServiceBatch, ServiceClass, ServiceEvent},
    signatures::{
        BadSignatures, DisabledSignature, FleetSignatures, MAX_DISABLED, MAX_SIGNATURE_FILES,
        MAX_SIGNATURE_ID, MAX_SIGNATURE_NOTE, MAX_SIGNATURE_SET, MAX_SIGNATURE_TEXT, SignatureText,
        is_signature_id,
    },
    telemetry::{
        LateBatch, LearnedFrom, MAX_MATCHED, MAX_MATCHED_BYTES, MAX_TEXT, MatchedSignature, SourceCount,
        TelemetryBatch, TelemetryEvent, UNREADABLE, cut,
    },
    waf::{MAX_WAF_EVENTS, MAX_WAF_RULES, Severity, WafBatch, WafEvent, WafOutcome, WafRule},
};
pub use crate::reason::{Reason, RuleName};
