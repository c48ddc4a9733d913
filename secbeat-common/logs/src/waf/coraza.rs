//! The JSON of Coraza 3 (`internal/auditlog` of its sources).

use secbeat_common::wire::{Severity, WafOutcome};
use serde::Deserialize;

use super::{
    Entry, WafError, client,
    fields::{Host, Number, Text},
    message::Match,
    time,
};

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    transaction: Transaction<'a>,
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    unix_timestamp: i64,
    #[serde(borrow)]
    client_ip: Text<'a>,
    #[serde(borrow, default)]
    request: Option<Request<'a>>,
    #[serde(default)]
    is_interrupted: bool,
}

#[derive(Default, Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    uri: Text<'a>,
    #[serde(borrow, default)]
    headers: Host<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    error_message: Text<'a>,
    /// Only with part K of `SecAuditLogParts`.
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    id: Number,
    #[serde(borrow, default)]
    msg: Text<'a>,
    #[serde(default)]
    severity: Number,
}

pub(super) fn parse(text: &str) -> Result<Entry<'_>, WafError> {
    let Log {
        transaction,
        messages,
    } = serde_json::from_str(text)?;
    let request = transaction.request.unwrap_or_default();
    let began = transaction.unix_timestamp;
    Ok(Entry {
        client: client(&transaction.client_ip.0)?,
        at_ms: time::unix(began).ok_or(WafError::Time)?,
        outcome: if transaction.is_interrupted {
            WafOutcome::Blocked
        } else {
            WafOutcome::Detected
        },
        matches: messages.into_iter().filter_map(matched).collect(),
        uri: request.uri.0,
        host: request.headers.0,
    })
}

/// Coraza writes the highest severity both for itself and for none, so it is none here.
fn matched(message: Message<'_>) -> Option<Match<'_>> {
    let found = match message.data {
        Some(data) => Match {
            rule: data.id.0?,
            severity: data.severity.0.and_then(Severity::from_code),
            text: data.msg.0,
        },
        None => Match::from_line(message.error_message.0)?,
    };
    Some(Match {
        severity: found.severity.filter(|severity| *severity != Severity::Emergency),
        ..found
    })
}
