//! Events of web application firewalls.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Kind, LearnedFrom, MAX_MESSAGE, MAX_TEXT, Message,
    growing::{self, Growing},
};

/// Most events in a [`WafBatch`].
pub const MAX_WAF_EVENTS: usize = 500;
/// Most rules that are reported of one transaction.
pub const MAX_WAF_RULES: usize = 32;

// Upper bounds of the encoding: an integer of n bits takes one byte and n/8 more, a text a length and its bytes.
const TEXT: usize = 3 + MAX_TEXT;
const EVENT: usize = 17 + 9 + 1 + 1 + 3 + MAX_WAF_RULES * (5 + 2) + (1 + 5) + 3 * TEXT;
/// Format, kind, number of parts, edge id (at most 64 bytes), boot id, three numbers, a length.
const HEAD: usize = 3 + (1 + 64) + 17 + 3 * 9 + 9;
const _: () = assert!(HEAD + MAX_WAF_EVENTS * EVENT < MAX_MESSAGE);

/// Reports of the web application firewalls of one edge since its last batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WafBatch {
    pub edge_id: String,
    /// Changes with every start of the edge; sequences count within it.
    pub boot_id: Uuid,
    /// Counts the batches of this edge from 0, so that a gap shows a loss.
    pub sequence: u64,
    /// The edge's wall clock, milliseconds since the Unix epoch.
    pub sent_at_ms: i64,
    /// Events that the edge could not report since it started.
    pub dropped_before: u64,
    /// Events, at most [`MAX_WAF_EVENTS`].
    pub events: Vec<WafEvent>,
}

impl Message for WafBatch {
    const KIND: Kind = Kind::Waf;
}

/// One HTTP transaction in which a firewall's rules matched, however many of them did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WafEvent {
    /// The client's address; its source is [`Prefix::single`](crate::prefix::Prefix::single).
    pub client: IpAddr,
    /// Time at which the transaction began, by the firewall's clock, milliseconds since the Unix epoch.
    pub at_ms: i64,
    #[serde(with = "growing")]
    pub learned_from: LearnedFrom,
    #[serde(with = "growing")]
    pub outcome: WafOutcome,
    /// Rules, each once, in the order in which they matched, at most [`MAX_WAF_RULES`].
    pub rules: Vec<WafRule>,
    /// The Core Rule Set's sum over the matched rules, where it was logged.
    pub anomaly_score: Option<u32>,
    /// Message of the first rule. Cut at [`MAX_TEXT`] bytes, like the two below.
    pub message: String,
    /// Path without the query, which may hold secrets.
    pub uri: String,
    pub host: String,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WafRule {
    pub id: u32,
    /// `None` where the rule states none.
    pub severity: Option<Severity>,
}

/// Action of the firewall on a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum WafOutcome {
    /// The firewall answered in the application's place, or cut the connection.
    Blocked,
    /// The firewall let the request pass.
    Detected,
    /// Something that only a later release knows.
    #[serde(other)]
    Unknown,
}

impl Growing for WafOutcome {
    const KNOWN: &'static [Self] = &[Self::Blocked, Self::Detected];
    const UNKNOWN: Self = Self::Unknown;
}

/// Severities of syslog (RFC 5424 §6.2.1), which the rule language of `ModSecurity` has taken over. The most severe is
/// the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Severity {
    /// In the order of their codes, 0 to 7.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The inverse of [`name`](Self::name), in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name().eq_ignore_ascii_case(name))
    }

    /// The severity of a code, 0 to 7.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode;

    fn batch(events: Vec<WafEvent>) -> WafBatch {
        WafBatch {
            edge_id: "e".to_owned(),
            boot_id: Uuid::from_u128(7),
            sequence: 9,
            sent_at_ms: 2,
            dropped_before: 1,
            events,
        }
    }

    fn event() -> WafEvent {
        WafEvent {
            client: "2001:db8::1".parse().unwrap(),
            at_ms: 1,
            learned_from: LearnedFrom::Peer,
            outcome: WafOutcome::Blocked,
            rules: vec![
                WafRule {
                    id: 942_100,
                    severity: Some(Severity::Critical),
                },
                WafRule {
                    id: 7,
                    severity: None,
                },
            ],
            anomaly_score: Some(5),
            message: "m".to_owned(),
            uri: "/x".to_owned(),
            host: "h".to_owned(),
        }
    }

    #[test]
    fn the_largest_batch_is_a_message() {
        let long = "x".repeat(MAX_TEXT);
        let rule = WafRule {
            id: u32::MAX,
            severity: Some(Severity::Debug),
        };
        let event = WafEvent {
            at_ms: i64::MIN,
            rules: vec![rule; MAX_WAF_RULES],
            anomaly_score: Some(u32::MAX),
            message: long.clone(),
            uri: long.clone(),
            host: long,
            ..event()
        };
        let largest = WafBatch {
            edge_id: "e".repeat(64),
            sequence: u64::MAX,
            sent_at_ms: i64::MIN,
            dropped_before: u64::MAX,
            ..batch(vec![event; MAX_WAF_EVENTS])
        };
        let bytes = encode(&largest).unwrap();
        assert!(bytes.len() <= HEAD + MAX_WAF_EVENTS * EVENT, "{}", bytes.len());
    }

    #[test]
    fn severities_have_names_and_codes() {
        for (code, severity) in (0..).zip(Severity::ALL) {
            assert_eq!(Severity::from_code(code), Some(severity));
            assert_eq!(
                Severity::from_name(&severity.name().to_uppercase()),
                Some(severity)
            );
        }
        assert_eq!(Severity::from_code(8), None);
        assert_eq!(Severity::from_name("fatal"), None);
        assert!(Severity::Critical < Severity::Warning, "the more severe is less");
    }
}
