//! Events of a source, as audit records and the API show them: JSON, for people.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use super::{LearnedFrom, MatchedSignature, ServiceClass, WafOutcome};

/// Most events that an audit record holds.
pub const MAX_EVIDENCE: usize = 20;
/// Most bytes of text in them, so that bans in great number do not push older records out of the audit stream.
pub const MAX_EVIDENCE_TEXT: usize = 4096;

/// One event that was reported of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SeenEvent {
    /// Event time, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The edge that reported it.
    pub edge: String,
    /// Address of the client, within the source.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub client: IpAddr,
    /// Source of the client's address: the connection, or a header.
    pub learned_from: LearnedFrom,
    #[serde(flatten)]
    pub what: SeenWhat,
    /// Path, without the query, which may hold secrets.
    pub path: String,
    /// Host that was asked for; empty if it is not known.
    pub host: String,
    /// Signatures that the edge recognised in the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<MatchedSignature>,
    /// Whether the client's browser says that a page of another site made it send the request, other than by a link
    /// (`Sec-Fetch-Site: cross-site`). Any client can say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cross_site: bool,
}

/// Kind of event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SeenWhat {
    /// An answer with a status of 400–599.
    Answer {
        /// Status of the response.
        status: u16,
        /// Method of the request.
        method: String,
        /// As the client wrote it; empty if it is not known.
        user_agent: String,
    },
    /// A line of a log that names its client, and the rest of which could not be read.
    Unreadable { method: String, user_agent: String },
    /// A web application firewall objected.
    Waf {
        /// The first rule that matched.
        rule: Option<u32>,
        /// Whether the firewall blocked the request.
        outcome: WafOutcome,
        /// Message of that rule.
        message: String,
    },
    /// A service's log told of it.
    Service {
        /// Name of the service.
        service: String,
        /// Class of the attempt.
        class: ServiceClass,
        /// Kind of the line.
        kind: String,
        /// As the client wrote it; empty unless the edge's config asks for it.
        user: String,
    },
}

impl SeenEvent {
    /// Bytes of its texts.
    #[must_use]
    pub fn text_len(&self) -> usize {
        let what = match &self.what {
            SeenWhat::Answer {
                method, user_agent, ..
            }
            | SeenWhat::Unreadable { method, user_agent } => method.len() + user_agent.len(),
            SeenWhat::Waf { message, .. } => message.len(),
            SeenWhat::Service {
                service, kind, user, ..
            } => service.len() + kind.len() + user.len(),
        };
        let signatures = self.signatures.iter();
        let signatures: usize = signatures
            .map(|MatchedSignature { id, class, severity }| id.len() + class.len() + severity.len())
            .sum();
        what + signatures + self.edge.len() + self.path.len() + self.host.len()
    }
}

/// Reads the events that this release knows, and leaves out others. Events are for people; the record counts without them.
pub(super) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SeenEvent>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Event {
        Known(Box<SeenEvent>),
        Unknown(IgnoredAny),
    }
    let events: Vec<Event> = Vec::deserialize(deserializer)?;
    let known = events.into_iter().filter_map(|event| match event {
        Event::Known(event) => Some(*event),
        Event::Unknown(_) => None,
    });
    Ok(known.collect())
}

/// The newest of `events` that an audit record may hold, oldest first; `events` come newest first.
pub fn bounded(events: impl IntoIterator<Item = SeenEvent>) -> Vec<SeenEvent> {
    let mut text = 0;
    let fits = |event: &SeenEvent| {
        text += event.text_len();
        text <= MAX_EVIDENCE_TEXT
    };
    let mut kept: Vec<_> = events.into_iter().take(MAX_EVIDENCE).take_while(fits).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::wire) fn answer(at_ms: i64) -> SeenEvent {
        SeenEvent {
            at_ms,
            edge: "edge-1".to_owned(),
            client: "203.0.113.7".parse().unwrap(),
            learned_from: LearnedFrom::Peer,
            what: SeenWhat::Answer {
                status: 404,
                method: "GET".to_owned(),
                user_agent: "curl/8".to_owned(),
            },
            path: "/missing".to_owned(),
            host: "example.org".to_owned(),
            signatures: Vec::new(),
            cross_site: false,
        }
    }

    #[test]
    fn events_lead_back_to_themselves() {
        let waf = SeenEvent {
            what: SeenWhat::Waf {
                rule: Some(942_100),
                outcome: WafOutcome::Blocked,
                message: "SQL injection".to_owned(),
            },
            ..answer(1)
        };
        for learned_from in [
            LearnedFrom::Peer,
            LearnedFrom::Header,
            LearnedFrom::ProxyProtocol,
            LearnedFrom::Unknown,
        ] {
            let embedded = SeenEvent {
                cross_site: true,
                ..answer(1)
            };
            for event in [&answer(1), &waf, &embedded] {
                let event = SeenEvent {
                    learned_from,
                    ..event.clone()
                };
                let json = serde_json::to_string(&event).unwrap();
                assert_eq!(serde_json::from_str::<SeenEvent>(&json).unwrap(), event, "{json}");
            }
        }
    }

    #[test]
    fn a_record_holds_the_newest_within_its_bounds_oldest_first() {
        let times = |events: Vec<SeenEvent>| events.iter().map(|event| event.at_ms).collect::<Vec<_>>();
        let newest_first = || (0..100).rev().map(answer);
        assert_eq!(times(bounded(newest_first())), (80..100).collect::<Vec<_>>());
        let long = |event: SeenEvent| SeenEvent {
            path: "x".repeat(1000),
            ..event
        };
        assert_eq!(times(bounded(newest_first().map(long))), [97, 98, 99]);
    }
}
