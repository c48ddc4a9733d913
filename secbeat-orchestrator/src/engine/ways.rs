//! The way of each ban from what it is for to the bus, as a trace; edges add theirs.

use std::{collections::HashMap, time::SystemTime};

use secbeat_common::{
    daemon::{
        time::{from_ms, now},
        traces::{KeyValue, Part, SpanKind, Traces},
    },
    wire::BlockCommand,
};
use uuid::Uuid;

use super::partitions::Found;

/// Bans on their way to the bus.
#[derive(Default)]
pub(super) struct Ways {
    traces: Traces,
    open: HashMap<Uuid, Way>,
}

struct Way {
    /// What the trace says of the ban.
    attributes: Vec<KeyValue>,
    /// What completed the finding that it is for, if it is for one.
    report: Option<Report>,
    decided: SystemTime,
}

struct Report {
    edge: String,
    /// When the source did it.
    done: SystemTime,
    received: SystemTime,
}

impl Ways {
    pub(super) fn new(traces: Traces) -> Self {
        Self {
            traces,
            open: HashMap::new(),
        }
    }

    /// A ban was decided right now, for a finding or because somebody asked for it.
    pub(super) fn decided(&mut self, command: &BlockCommand, found: Option<&Found>) {
        if !self.traces.are_on() {
            return;
        }
        let way = Way {
            attributes: attributes(command),
            report: found.map(|found| Report {
                edge: found.edge.clone(),
                done: from_ms(found.finding.at_ms),
                received: from_ms(found.received_ms),
            }),
            decided: now(),
        };
        self.open.insert(command.id, way);
    }

    /// The bus has the ban `id`, or never will, and why.
    pub(super) fn arrived(&mut self, id: Uuid, failure: Option<&str>) {
        let Some(way) = self.open.remove(&id) else { return };
        let failure = failure.map(str::to_owned);
        let part = |name, kind, start, end| Part {
            name,
            kind,
            start,
            end,
            attributes: Vec::new(),
            failure: None,
        };
        let end = now();
        self.traces.whole(
            id,
            Part {
                attributes: way.attributes,
                failure: failure.clone(),
                ..part(
                    "ban",
                    SpanKind::Internal,
                    way.report.as_ref().map_or(way.decided, |report| report.done),
                    end,
                )
            },
        );
        if let Some(Report { edge, done, received }) = way.report {
            self.traces.part(
                id,
                Part {
                    attributes: vec![KeyValue::new("secbeat.edge", edge)],
                    ..part("report", SpanKind::Internal, done, received)
                },
            );
            self.traces
                .part(id, part("detect", SpanKind::Internal, received, way.decided));
        }
        self.traces.part(
            id,
            Part {
                failure,
                ..part("publish", SpanKind::Producer, way.decided, end)
            },
        );
    }
}

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
    }
    attributes
}
