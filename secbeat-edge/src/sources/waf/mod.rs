//! Events of web application firewalls, from their audit logs to the bus.

mod config;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use secbeat_common::{
    subjects,
    wire::{LearnedFrom, MAX_WAF_EVENTS, WafBatch, WafEvent},
};
use secbeat_daemon::time::from_wall_ms;
use secbeat_logs::{OpenLines, Piece, waf::WafFormat};
use secbeat_orchestrator_core::stand_in::Seen;

pub(crate) use self::config::{WafLogConfig, check};
use super::{
    access_log::{Place, Reading, Source, Taken},
    reports::{BatchHead, EventRecorder, Reported},
};
use crate::telemetry::Closed;

/// Receiver of what the readers of audit logs report.
pub(crate) type WafRecorder = EventRecorder<WafEvent>;

impl Reported for WafEvent {
    type Batch = WafBatch;
    const MOST: usize = MAX_WAF_EVENTS;

    fn batch(head: BatchHead, events: Vec<Self>) -> WafBatch {
        let BatchHead {
            edge_id,
            boot_id,
            sequence,
            sent_at_ms,
            dropped_before,
        } = head;
        WafBatch {
            edge_id,
            boot_id,
            sequence,
            sent_at_ms,
            dropped_before,
            events,
        }
    }

    fn shown(batch: WafBatch) -> Seen {
        Seen::Waf(batch)
    }

    fn subject(edge_id: &str) -> String {
        subjects::waf_events(edge_id)
    }
}

/// Lines of an audit log, which are transactions.
struct Transactions {
    format: WafFormat,
    learned_from: LearnedFrom,
    zone: TimeZone,
    recorder: WafRecorder,
}

impl Reading for Transactions {
    fn take(&mut self, piece: Piece<'_>, _: &mut OpenLines, oldest_ms: Option<i64>) -> Result<Taken, Closed> {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::Begin(_) => return Ok(Taken::TooLong),
            Piece::More(_) | Piece::End(_) => return Ok(Taken::Incomplete),
        };
        match self.format.parse(line, self.learned_from, &self.zone) {
            Ok(Some(event)) if oldest_ms.is_some_and(|oldest_ms| event.at_ms < oldest_ms) => {
                Ok(Taken::TooOld)
            }
            Ok(Some(event)) => {
                let at_ms = event.at_ms;
                self.recorder.record_wait(WafEvent {
                    at_ms: from_wall_ms(at_ms),
                    ..event
                })?;
                Ok(Taken::Reported { at_ms: Some(at_ms) })
            }
            // An entry in which no rule matched.
            Ok(None) => Ok(Taken::Reported { at_ms: None }),
            Err(error) => Ok(Taken::NotUnderstood(Box::new(error))),
        }
    }
}

impl WafLogConfig {
    /// Returns what this entry asks for.
    #[must_use]
    pub(crate) fn source(&self, recorder: &WafRecorder) -> Source {
        let place = Place::Files(self.path.clone());
        Source {
            name: self.name.clone().unwrap_or_else(|| place.to_string()),
            place,
            format: self.format.to_string(),
            start: self.start,
            max_age: self.max_age.0,
            zone: None,
            reading: Box::new(Transactions {
                format: self.format,
                learned_from: self.client.into(),
                zone: TimeZone::system(),
                recorder: recorder.clone(),
            }),
            progress: recorder.stats(),
        }
    }
}
