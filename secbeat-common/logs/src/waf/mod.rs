//! Audit logs of web application firewalls as typed values.
//!
//! One line is one transaction, with all rules that matched in it: [`WafFormat::parse`] makes one
//! [`WafEvent`] of it, or none if no rule matched.

mod coraza;
mod fields;
mod message;
mod modsecurity;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::expect_used, reason = "an oracle of tests")]
mod oracle;
#[cfg(test)]
mod tests;
mod time;

use std::{borrow::Cow, net::IpAddr};

use jiff::tz::TimeZone;
use secbeat_common::{
    rules::short_path,
    wire::{LearnedFrom, MAX_WAF_RULES, WafEvent, WafOutcome, WafRule, cut},
};
use serde_json::error::Category;
use strum::{Display, EnumString, VariantArray};

use self::message::Match;
#[cfg(any(test, feature = "fuzzing"))]
pub use self::oracle::check;

/// What the lines of an audit log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray)]
#[strum(parse_err_ty = UnknownWafFormat, parse_err_fn = unknown)]
pub enum WafFormat {
    /// `SecAuditLogFormat JSON` and `SecAuditLogType Serial` of `ModSecurity` 2.9 (Apache) and of libmodsecurity 3 (nginx),
    /// told apart by what is in them; and Coraza's `JsonLegacy`, which is the former's.
    #[strum(serialize = "modsecurity-json")]
    Modsecurity,
    /// `SecAuditLogFormat JSON` and `SecAuditLogType Serial` of Coraza 3.
    #[strum(serialize = "coraza-json")]
    Coraza,
}

impl WafFormat {
    /// The transaction in `line`, which ends without a line feed; `None` if no rule matched in it, as where only its
    /// answer's status was worth a line (`SecAuditLogRelevantStatus`).
    ///
    /// libmodsecurity writes the time of day and no time zone. The usual transaction id begins with the second and
    /// settles it; without one, the time is in `zone`.
    ///
    /// # Errors
    ///
    /// Returns an error if `line` is not such an entry.
    pub fn parse(
        self,
        line: &[u8],
        learned_from: LearnedFrom,
        zone: &TimeZone,
    ) -> Result<Option<WafEvent>, WafError> {
        // The firewalls pass on bytes of the request that are not UTF-8.
        let text = String::from_utf8_lossy(line);
        let entry = match self {
            Self::Modsecurity => modsecurity::parse(&text, zone)?,
            Self::Coraza => coraza::parse(&text)?,
        };
        Ok(entry.into_event(learned_from))
    }
}

/// A name that no [`WafFormat`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid format of a WAF audit log `{0}`: expected modsecurity-json or coraza-json")]
pub struct UnknownWafFormat(String);

fn unknown(name: &str) -> UnknownWafFormat {
    UnknownWafFormat(name.to_owned())
}

/// The reason why a line is not an entry of an audit log. It quotes nothing of the line, since statistics show it to everybody on
/// the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WafError {
    #[error("no JSON object of an audit log: {what} at byte {at}")]
    Json { what: &'static str, at: usize },
    #[error("the client is not an address")]
    Client,
    #[error("invalid time of the transaction")]
    Time,
}

impl From<serde_json::Error> for WafError {
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Eof => "it ends",
            Category::Data => "a value or key of another kind",
            Category::Io | Category::Syntax => "no JSON",
        };
        Self::Json {
            what,
            at: error.column(),
        }
    }
}

/// A transaction, whatever wrote it.
struct Entry<'a> {
    client: IpAddr,
    at_ms: i64,
    outcome: WafOutcome,
    matches: Vec<Match<'a>>,
    /// With its query.
    uri: Cow<'a, str>,
    host: Option<Cow<'a, str>>,
}

impl Entry<'_> {
    /// One event for all its matches.
    fn into_event(self, learned_from: LearnedFrom) -> Option<WafEvent> {
        let mut rules: Vec<WafRule> = Vec::new();
        for found in &self.matches {
            let has_room = rules.len() < MAX_WAF_RULES;
            match rules.iter_mut().find(|rule| rule.id == found.rule) {
                // What a rule is worth may depend on what it matched.
                Some(known) => known.severity = most_severe(known.severity, found.severity),
                None if has_room => rules.push(WafRule {
                    id: found.rule,
                    severity: found.severity,
                }),
                None => {}
            }
        }
        // The rules that add up what others found say least about it.
        let telling = self.matches.iter().find(|found| !found.sums_up());
        let message = telling.or_else(|| self.matches.first())?;
        let path = self.uri.split(['?', '#']).next().unwrap_or_default();
        Some(WafEvent {
            client: self.client.to_canonical(),
            at_ms: self.at_ms,
            learned_from,
            outcome: self.outcome,
            anomaly_score: self.matches.iter().filter_map(Match::anomaly_score).max(),
            message: cut(&message.text).to_owned(),
            uri: short_path(path).into_owned(),
            host: cut(self.host.as_deref().unwrap_or_default()).to_owned(),
            rules,
        })
    }
}

fn most_severe<S: Ord>(a: Option<S>, b: Option<S>) -> Option<S> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn client(text: &str) -> Result<IpAddr, WafError> {
    text.parse().map_err(|_| WafError::Client)
}
