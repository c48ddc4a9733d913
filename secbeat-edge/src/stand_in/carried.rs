//! State that an edge's own detector carries over a restart, on disk: the bans that the fleet has not taken over, and what was
//! reported lately.

use std::{io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use secbeat_common::{
    prefix::Prefix,
    wire::{self, Message},
};
use secbeat_orchestrator_core::stand_in::{Awaiting, Event, Seen};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::kept::{Kept, read, write};

/// A line of the file of reports. What was sent is as it was sent, in base64.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Telemetry(i64, u16, String),
    Waf(i64, String),
    Service(i64, String),
    Lifted(i64, Prefix),
}

impl Line {
    /// `None` for what cannot be encoded, which nobody could have sent, either.
    fn of((at_ms, seen): &(i64, Seen)) -> Option<Self> {
        fn encoded<M: Message>(message: &M) -> Option<String> {
            Some(BASE64.encode(wire::encode(message).ok()?))
        }
        Some(match seen {
            Seen::Telemetry { partition, payload } => {
                Self::Telemetry(*at_ms, *partition, BASE64.encode(payload))
            }
            Seen::Waf(batch) => Self::Waf(*at_ms, encoded(batch)?),
            Seen::Service(batch) => Self::Service(*at_ms, encoded(batch)?),
            Seen::Lifted(target) => Self::Lifted(*at_ms, *target),
        })
    }

    /// `None` for what another release may have written.
    fn read(line: &[u8]) -> Option<(i64, Seen)> {
        fn decoded<M: Message>(text: &str) -> Option<M> {
            wire::decode(&BASE64.decode(text).ok()?).ok()
        }
        Some(match serde_json::from_slice(line).ok()? {
            Self::Telemetry(at_ms, partition, payload) => {
                let payload = BASE64.decode(payload).ok()?.into();
                (at_ms, Seen::Telemetry { partition, payload })
            }
            Self::Waf(at_ms, batch) => (at_ms, Seen::Waf(decoded(&batch)?)),
            Self::Service(at_ms, batch) => (at_ms, Seen::Service(decoded(&batch)?)),
            Self::Lifted(at_ms, target) => (at_ms, Seen::Lifted(target)),
        })
    }
}

impl Kept {
    /// Returns what the process before kept; `None` if there is nothing.
    pub(crate) fn recall(&self) -> Option<Event> {
        let waiting = read(&self.waiting).and_then(|json| {
            serde_json::from_slice::<Vec<Awaiting>>(&json)
                .inspect_err(|error| unreadable(&self.waiting, error))
                .ok()
        });
        let reports = read(&self.reports).unwrap_or_default();
        let lines = reports
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let (mut reports, mut unread) = (Vec::new(), 0_usize);
        for line in lines {
            match Line::read(line) {
                Some(report) => reports.push(report),
                None => unread += 1,
            }
        }
        if unread > 0 {
            unreadable(&self.reports, &format!("{unread} reports are not understood"));
        }
        let waiting = waiting.unwrap_or_default();
        (!waiting.is_empty() || !reports.is_empty()).then_some(Event::Recalled { waiting, reports })
    }

    /// Keeps the bans that the fleet is to take over.
    ///
    /// # Errors
    ///
    /// Returns an error if the disk does not take them.
    pub(crate) fn keep_waiting(&self, waiting: &[Awaiting]) -> io::Result<()> {
        write(&self.waiting, &serde_json::to_vec(waiting)?)
    }

    /// Keeps what was reported lately.
    ///
    /// # Errors
    ///
    /// As [`keep_waiting`](Self::keep_waiting).
    pub(crate) fn keep_reports(&self, reports: &[(i64, Seen)]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in reports.iter().filter_map(Line::of) {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        write(&self.reports, &text)
    }
}

fn unreadable(file: &Path, error: &impl std::fmt::Display) {
    warn!(file = %file.display(), "what was counted before the restart: {error}");
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::WafBatch;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_kept_is_recalled_and_what_is_not_understood_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_folder(folder.path());
        assert!(kept.recall().is_none());
        let waf = WafBatch {
            edge_id: "web-1".to_owned(),
            boot_id: Uuid::from_u128(7),
            sequence: 0,
            sent_at_ms: 5,
            dropped_before: 0,
            events: Vec::new(),
        };
        let target: Prefix = "2001:db8:1:2::/64".parse().unwrap();
        let reports = [
            (
                1,
                Seen::Telemetry {
                    partition: 3,
                    payload: vec![0, 255, 10].into(),
                },
            ),
            (2, Seen::Waf(waf)),
            (3, Seen::Lifted(target)),
        ];
        kept.keep_waiting(&[]).unwrap();
        kept.keep_reports(&reports).unwrap();
        let text = std::fs::read_to_string(&kept.reports).unwrap();
        std::fs::write(&kept.reports, format!("{text}{{\"later\":1}}\n{{\"tele")).unwrap();
        let Some(Event::Recalled { waiting, reports }) = kept.recall() else {
            panic!("nothing is recalled");
        };
        assert!(waiting.is_empty());
        let [
            (
                1,
                Seen::Telemetry {
                    partition: 3,
                    payload,
                },
            ),
            (2, Seen::Waf(batch)),
            (3, Seen::Lifted(lifted)),
        ] = &reports[..]
        else {
            panic!("{reports:?}");
        };
        assert_eq!((&payload[..], *lifted), (&[0, 255, 10][..], target));
        assert_eq!(batch.edge_id, "web-1");
    }
}
