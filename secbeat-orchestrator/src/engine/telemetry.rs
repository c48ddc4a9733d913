//! Telemetry, as the engine judges it.

use secbeat_common::wire::TelemetryBatch;

use super::{Engine, partitions::has_said_enough, times::Times};
use crate::{
    detect::{AHEAD, Request, Sighting, Tally},
    edges::Arrival,
};

impl Engine {
    /// Events first, then counts: where both rules fire in one batch, the errors are the reason.
    pub(super) fn batch(
        &mut self,
        partition: u16,
        batch: &TelemetryBatch,
        received_ms: i64,
        age_ms: Option<u64>,
    ) {
        if self.edges.take(batch, partition, age_ms) == Arrival::Again {
            return;
        }
        self.counts.batches += 1;
        self.counts.events += batch.events.len() as u64;
        let times = Times::new(batch.sent_at_ms, received_ms, age_ms, self.max_age_ms);
        let (mut too_old, mut too_wide) = (0, 0);
        // How an upstream does now says nothing of how it did then: late telemetry is judged by late telemetry alone.
        let edge = match age_ms {
            None => batch.edge_id.clone(),
            Some(_) => format!("{} (late)", batch.edge_id),
        };
        let upstreams: Vec<_> = batch
            .upstreams
            .iter()
            .map(|name| self.upstreams.intern(&edge, name))
            .collect();
        let upstream = |index: u16| upstreams.get(usize::from(index)).copied();
        let sources = self.detector.sources();
        for (index, event) in batch.events.iter().enumerate() {
            if index % AHEAD == 0 {
                let next = batch.events.iter().skip(index);
                self.detector.expect(next.map(|event| sources.of(event.client)));
            }
            let Some(upstream) = upstream(event.upstream) else {
                continue;
            };
            let Some(at_ms) = times.of(event.at_ms) else {
                continue;
            };
            let source = sources.of(event.client);
            self.witness.journal.answer(&source, at_ms, &batch.edge_id, event);
            let sighting = Sighting {
                source,
                at_ms,
                upstream,
                learned_from: event.learned_from,
            };
            let request = Request {
                status: event.status,
                method: &event.method,
                path: &event.path,
                host: &event.host,
            };
            if let Some(corroboration) = &mut self.corroboration {
                if has_said_enough(&self.ledger, &source, &batch.edge_id, at_ms) {
                    continue;
                }
                corroboration.event(&batch.edge_id, sighting, &request);
            }
            if let Some(finding) = self.detector.observe_event(sighting, &request) {
                self.found(finding, &batch.edge_id, received_ms);
            }
        }
        for (index, count) in batch.counts.iter().enumerate() {
            if index % AHEAD == 0 {
                let next = batch.counts.iter().skip(index);
                self.detector.expect(next.map(|count| count.source));
            }
            let Some(upstream) = upstream(count.upstream) else {
                continue;
            };
            let Some(source) = sources.around(&count.source) else {
                // Its edge has not heard yet what counts as one source here. Many would be found as one.
                too_wide += u64::from(count.requests);
                continue;
            };
            let Some(at_ms) = times.of(count.at_ms) else {
                too_old += u64::from(count.requests);
                continue;
            };
            let sighting = Sighting {
                source,
                at_ms,
                upstream,
                learned_from: count.learned_from,
            };
            let tally = Tally {
                requests: count.requests,
                server_errors: count.server_errors,
            };
            if let Some(corroboration) = &mut self.corroboration {
                if has_said_enough(&self.ledger, &source, &batch.edge_id, at_ms) {
                    continue;
                }
                corroboration.requests(&batch.edge_id, sighting, tally);
            }
            if let Some(finding) = self.detector.observe_requests(sighting, tally) {
                self.found(finding, &batch.edge_id, received_ms);
            }
        }
        self.edges.ignored(&batch.edge_id, too_old, too_wide);
    }
}
