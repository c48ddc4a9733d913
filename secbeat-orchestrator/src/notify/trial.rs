//! Test messages, by hand.

use std::{sync::Arc, thread};

use secbeat_daemon::time::now_ms;

use super::{
    entry::{EventName, Kind, NotifyEntry, ReportEvery},
    message::Message,
    outcome::Failure,
    receiver::Receiver,
};

/// What became of a test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// What the receiver answered, or why it could not be told.
    pub(crate) outcome: Result<String, String>,
}

/// Sends a test message to each of `receivers`, all at a time, once. Blocks.
pub(crate) fn try_all(receivers: Vec<Receiver>, orchestrator: &str) -> Vec<Tried> {
    let message = Arc::new(Message::test(orchestrator, now_ms()));
    let trials: Vec<_> = receivers
        .into_iter()
        .map(|receiver| {
            let (name, kind, message) = (receiver.name.clone(), receiver.kind, message.clone());
            let told = thread::spawn(move || receiver.tell(&message));
            (name, kind, told)
        })
        .collect();
    let tried = |(name, kind, told): (_, _, thread::JoinHandle<Result<_, Failure>>)| Tried {
        name,
        kind,
        outcome: match told.join() {
            Ok(told) => told.map_err(|failure| failure.why),
            Err(_) => Err("telling it died".to_owned()),
        },
    };
    trials.into_iter().map(tried).collect()
}

/// An entry in few words: its name, its kind, and what it is told of.
pub(crate) fn listed(entry: &NotifyEntry) -> [String; 5] {
    let report = entry.report.map(|every| match every {
        ReportEvery::Day => "a report each day",
        ReportEvery::Week => "a report each week",
    });
    let events = entry.events.iter().copied().map(EventName::name);
    let events: Vec<_> = events.chain(report).collect();
    let digest = match entry.digest.is_zero() {
        true => "0s".to_owned(),
        false => secbeat_daemon::config::HumanDuration(entry.digest).to_string(),
    };
    [
        entry.name.clone(),
        entry.kind.name().to_owned(),
        events.join(", "),
        digest,
        entry.max_per_hour.to_string(),
    ]
}
