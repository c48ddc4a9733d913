//! `watch`: what happens in the fleet, as it happens.

use std::{
    io::{BufRead, Write as _, stdout},
    thread,
    time::Duration,
};

use anyhow::Context;
use secbeat_daemon::{
    api::{ApiClient, CallError},
    cli::{Output, printable, printable_json},
};

use crate::{
    api::Lagged,
    view::{Change, EventView},
};

/// Pause before the daemon is asked again after a stream has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints events until it is ended. A stream that ends is taken up again where it was.
pub(super) fn run(api: &ApiClient, output: Output) -> anyhow::Result<()> {
    let mut last = None;
    // An address that nobody answers at first is a mistake; later it is a daemon that starts again.
    let mut stream = api.stream("/api/v1/events", None)?;
    loop {
        while let Some(sent) = Sent::read(&mut stream) {
            print(&sent, output)?;
            last = sent.id.or(last);
        }
        secbeat_daemon::complain!("the event stream was closed; reconnecting");
        stream = loop {
            thread::sleep(PAUSE);
            match api.stream("/api/v1/events", last.as_deref()) {
                Ok(stream) => break stream,
                Err(error @ CallError::Refused(_)) => return Err(error.into()),
                Err(_) => {}
            }
        };
    }
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    id: Option<String>,
    name: String,
    data: String,
}

impl Sent {
    /// The next event of `stream` (HTML Living Standard, section 9.2.6, as far as the orchestrator makes use of it); `None`
    /// at its end, however it comes.
    fn read(stream: &mut impl BufRead) -> Option<Self> {
        let mut sent = Self::default();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if sent.data.is_empty() {
                    sent = Self::default();
                    continue;
                }
                return Some(sent);
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => sent.id = Some(value.to_owned()),
                "event" => value.clone_into(&mut sent.name),
                "data" => sent.data.push_str(value),
                _ => {}
            }
        }
    }
}

fn print(sent: &Sent, output: Output) -> anyhow::Result<()> {
    let line = match output {
        Output::Json if sent.name == "lagged" => {
            let Lagged { missed } = serde_json::from_str(&sent.data).context("reading an event")?;
            serde_json::json!({"kind": "lagged", "missed": missed}).to_string()
        }
        Output::Json => printable_json(&sent.data).into_owned(),
        Output::Table => printable(&text(sent)?).into_owned(),
    };
    let mut out = stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("writing an event")
}

fn text(sent: &Sent) -> anyhow::Result<String> {
    if sent.name == "lagged" {
        let Lagged { missed } = serde_json::from_str(&sent.data).context("reading an event")?;
        return Ok(match missed {
            Some(missed) => format!("{missed} events missed"),
            None => "the orchestrator restarted; events may be missing".to_owned(),
        });
    }
    let EventView { at, change, .. } = serde_json::from_str(&sent.data).context("reading an event")?;
    let what = match change {
        Change::Finding {
            target,
            rule,
            count,
            suppressed,
            ..
        } => {
            let suppressed = suppressed.map_or(String::new(), |why| format!(", suppressed: {why}"));
            format!("{target}  {rule}, {count} events{suppressed}")
        }
        Change::Ban {
            target,
            reason,
            note,
            actor,
            expires_at,
            ..
        } => {
            let until = expires_at.map_or_else(|| "permanently".to_owned(), |end| format!("until {end}"));
            format!("{target}  {reason} by {actor} {until}  {note}")
        }
        Change::Unban {
            target, actor, note, ..
        } => format!("{target}  by {actor}  {note}"),
        Change::Disallow { target, actor } => format!("{target}  by {actor}"),
        Change::Allow {
            target,
            comment,
            actor,
            until,
        } => {
            let until = until.map_or_else(|| "without expiry".to_owned(), |until| format!("until {until}"));
            format!("{target}  by {actor} {until}  {comment}")
        }
        Change::EdgeUp { edge_id } | Change::EdgeDown { edge_id } | Change::EdgeAgrees { edge_id } => edge_id,
        Change::EdgeDrifts { edge_id, since } => format!("{edge_id}  since {since}"),
    };
    Ok(format!("{at}  {:<9}  {what}", sent.name).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_are_sent_and_comments_are_not() {
        let mut stream = &b": keep-alive\n\nid: 1000-0\nevent: edge-up\ndata: {\"a\":\ndata: 1}\n\nevent: lagged\r\ndata:{}\r\n\r\ndata: cut"[..];
        let sent = |id: Option<&str>, name: &str, data: &str| Sent {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(
            Sent::read(&mut stream),
            Some(sent(Some("1000-0"), "edge-up", "{\"a\":1}"))
        );
        assert_eq!(Sent::read(&mut stream), Some(sent(None, "lagged", "{}")));
        assert_eq!(Sent::read(&mut stream), None);
    }

    #[test]
    fn events_read_well() {
        let line = |name: &str, data: &str| {
            text(&Sent {
                id: None,
                name: name.to_owned(),
                data: data.to_owned(),
            })
            .unwrap()
        };
        assert_eq!(
            line(
                "edge-down",
                r#"{"id":"1-0","at":"2026-11-20T10:00:07.000Z","kind":"edge-down","edge_id":"web-1"}"#
            ),
            "2026-11-20T10:00:07.000Z  edge-down  web-1"
        );
        assert_eq!(
            line(
                "finding",
                r#"{"id":"1-0","at":"2026-11-20T10:00:07.000Z","kind":"finding","target":"192.0.2.1/32","rule":"error-flood","count":50,"window_ms":60000,"suppressed":"brake"}"#
            ),
            "2026-11-20T10:00:07.000Z  finding    192.0.2.1/32  error-flood, 50 events, suppressed: brake"
        );
        for (note, said) in [("", ""), (r#","note":"our own crawler""#, "  our own crawler")] {
            let lifted = format!(
                r#"{{"id":"1-0","at":"2026-11-20T10:00:07.000Z","kind":"unban","command_id":"","target":"192.0.2.1/32","actor":"alice"{note}}}"#
            );
            assert_eq!(
                line("unban", &lifted),
                format!("2026-11-20T10:00:07.000Z  unban      192.0.2.1/32  by alice{said}")
            );
        }
        assert_eq!(line("lagged", r#"{"missed":3}"#), "3 events missed");
    }
}
