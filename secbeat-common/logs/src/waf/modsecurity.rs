//! The JSON of `ModSecurity` 2.9 and of libmodsecurity 3. They have little more in common than the name.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use secbeat_common::wire::{Severity, WafOutcome};
use serde::Deserialize;

use super::{
    Entry, WafError, client,
    fields::{Host, Number, Text},
    message::Match,
    time,
};

/// The status with which libmodsecurity blocks unless a rule says otherwise.
const FORBIDDEN: u32 = 403;

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    transaction: Transaction<'a>,
    #[serde(borrow, default)]
    request: Option<Request2<'a>>,
    #[serde(borrow, default)]
    audit_data: AuditData2<'a>,
}

/// Both versions' keys: version 2 has the first two, version 3 the others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Transaction<'a> {
    #[serde(borrow)]
    remote_address: Option<Text<'a>>,
    #[serde(borrow)]
    time: Text<'a>,

    #[serde(borrow)]
    client_ip: Text<'a>,
    #[serde(borrow)]
    time_stamp: Text<'a>,
    #[serde(borrow)]
    unique_id: Text<'a>,
    #[serde(borrow)]
    request: Request3<'a>,
    response: Response3,
    #[serde(borrow)]
    producer: Producer3<'a>,
    /// Only Coraza, in this format, says it.
    is_interrupted: Option<bool>,
    #[serde(borrow)]
    messages: Vec<Message3<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Request2<'a> {
    #[serde(borrow)]
    request_line: Text<'a>,
    #[serde(borrow)]
    headers: Host<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuditData2<'a> {
    #[serde(borrow)]
    messages: Vec<Text<'a>>,
    action: Action2,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Action2 {
    intercepted: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Request3<'a> {
    #[serde(borrow)]
    uri: Text<'a>,
    #[serde(borrow)]
    headers: Host<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response3 {
    http_code: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Producer3<'a> {
    #[serde(borrow)]
    secrules_engine: Text<'a>,
}

#[derive(Deserialize)]
struct Message3<'a> {
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow)]
    details: Details3<'a>,
}

#[derive(Deserialize)]
struct Details3<'a> {
    #[serde(rename = "ruleId")]
    rule_id: Number,
    #[serde(default)]
    severity: Number,
    #[serde(borrow, default, rename = "match")]
    matched: Text<'a>,
}

pub(super) fn parse<'a>(text: &'a str, zone: &TimeZone) -> Result<Entry<'a>, WafError> {
    let mut log: Log<'a> = serde_json::from_str(text)?;
    match log.transaction.remote_address.take() {
        Some(Text(address)) => version_2(&address, log),
        None => version_3(log.transaction, zone),
    }
}

fn version_2<'a>(address: &str, log: Log<'a>) -> Result<Entry<'a>, WafError> {
    let began = log.transaction.time.0;
    let request = log.request.unwrap_or_default();
    Ok(Entry {
        client: client(address)?,
        at_ms: time::with_zone(&began).ok_or(WafError::Time)?,
        outcome: if log.audit_data.action.intercepted {
            WafOutcome::Blocked
        } else {
            WafOutcome::Detected
        },
        matches: log
            .audit_data
            .messages
            .into_iter()
            .filter_map(|Text(line)| Match::from_line(line))
            .collect(),
        uri: match request.request_line.0 {
            Cow::Borrowed(line) => Cow::Borrowed(target(line)),
            Cow::Owned(line) => Cow::Owned(target(&line).to_owned()),
        },
        host: request.headers.0,
    })
}

/// The target of a request line, or all of a line that is none.
fn target(line: &str) -> &str {
    let target = line.split_once(' ').map(|(_method, rest)| rest);
    target
        .and_then(|rest| rest.rsplit_once(' '))
        .map_or(line, |(target, _version)| target)
}

/// libmodsecurity does not write whether it blocked: that is taken from the status. It writes severity 0 both for the
/// highest and for none, so 0 is none here.
fn version_3<'a>(transaction: Transaction<'a>, zone: &TimeZone) -> Result<Entry<'a>, WafError> {
    let Text(began) = transaction.time_stamp;
    let at_ms = time::of_day(&began, &transaction.unique_id.0, zone);
    let enforces = transaction.producer.secrules_engine.0 == "Enabled";
    let blocked = transaction
        .is_interrupted
        .unwrap_or(enforces && transaction.response.http_code.0 == Some(FORBIDDEN));
    let matched = |message: Message3<'a>| {
        let Message3 { message, details } = message;
        let severity = details.severity.0.filter(|code| *code > 0);
        Some(Match {
            rule: details.rule_id.0?,
            severity: severity.and_then(Severity::from_code),
            text: if message.0.is_empty() {
                details.matched.0
            } else {
                message.0
            },
        })
    };
    Ok(Entry {
        client: client(&transaction.client_ip.0)?,
        at_ms: at_ms.ok_or(WafError::Time)?,
        outcome: if blocked {
            WafOutcome::Blocked
        } else {
            WafOutcome::Detected
        },
        matches: transaction.messages.into_iter().filter_map(matched).collect(),
        uri: transaction.request.uri.0,
        host: transaction.request.headers.0,
    })
}
