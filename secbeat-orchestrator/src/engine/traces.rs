//! The way of each ban from what it is for to the bus, as a trace; edges add their spans.

use std::{collections::HashMap, time::SystemTime};

use secbeat_common::wire::{BlockCommand, tell_labels};
use secbeat_daemon::{
    time::{from_ms, now},
    traces::{KeyValue, Span, SpanKind, Traces},
};
use uuid::Uuid;

use secbeat_orchestrator_core::decider::{DecidedBan, Report as Reported};

/// Traces of bans on their way to the bus.
#[derive(Default)]
pub(super) struct BanTraces {
    traces: Traces,
    open: HashMap<Uuid, Decided>,
}

/// A ban that was decided.
struct Decided {
    attributes: Vec<KeyValue>,
    /// What completed the finding that it is for, if it is for one.
    report: Option<Report>,
    at: SystemTime,
}

struct Report {
    edge: String,
    /// Time at which the source did it.
    done: SystemTime,
    received: SystemTime,
}

impl BanTraces {
    pub(super) fn new(traces: Traces) -> Self {
        Self {
            traces,
            open: HashMap::new(),
        }
    }

    /// Whether bans are traced.
    pub(super) fn are_on(&self) -> bool {
        self.traces.are_on()
    }

    /// A ban was decided right now.
    pub(super) fn decided(&mut self, DecidedBan { command, report }: DecidedBan) {
        let at = now();
        let decided = Decided {
            attributes: attributes(&command),
            // These clocks are not this host's, and nothing was done after it was decided upon.
            report: report.map(
                |Reported {
                     edge,
                     at_ms,
                     received_ms,
                 }| Report {
                    edge,
                    done: from_ms(at_ms).min(at),
                    received: from_ms(received_ms).min(at),
                },
            ),
            at,
        };
        self.open.insert(command.id, decided);
    }

    /// The bus has the ban `id`, or never will, and why.
    pub(super) fn closed(&mut self, id: Uuid, failure: Option<&str>) {
        let Some(decided) = self.open.remove(&id) else {
            return;
        };
        let failure = failure.map(str::to_owned);
        let end = now().max(decided.at);
        let span = |name, kind, start: SystemTime, end: SystemTime| Span {
            name,
            kind,
            start: start.min(end),
            end,
            attributes: Vec::new(),
            failure: None,
        };
        let start = decided
            .report
            .as_ref()
            .map_or(decided.at, |report| report.done.min(report.received));
        self.traces.root(
            id,
            Span {
                attributes: decided.attributes,
                failure: failure.clone(),
                ..span("ban", SpanKind::Internal, start, end)
            },
        );
        if let Some(Report { edge, done, received }) = decided.report {
            self.traces.child(
                id,
                Span {
                    attributes: vec![KeyValue::new("secbeat.edge", edge)],
                    ..span("report", SpanKind::Internal, done, received)
                },
            );
            self.traces
                .child(id, span("detect", SpanKind::Internal, received, decided.at));
        }
        self.traces.child(
            id,
            Span {
                failure,
                ..span("publish", SpanKind::Producer, decided.at, end)
            },
        );
    }
}

/// Returns what the trace says of the ban.
fn attributes(command: &BlockCommand) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("secbeat.target", command.target.to_string()),
        KeyValue::new("secbeat.reason", command.reason.name().to_owned()),
        KeyValue::new("secbeat.note", command.note.clone()),
        KeyValue::new("secbeat.issuer", command.issuer.clone()),
        KeyValue::new("secbeat.layer", command.layer.name()),
        KeyValue::new("secbeat.strikes", i64::from(command.strikes)),
    ];
    if let Some(edges) = command.scope.edges() {
        attributes.push(KeyValue::new("secbeat.edges", edges.join(" ")));
        let labels: Vec<_> = command.scope.labels().iter().map(tell_labels).collect();
        attributes.push(KeyValue::new("secbeat.labels", labels.join(" ")));
    }
    attributes
}
