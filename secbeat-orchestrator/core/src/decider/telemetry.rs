//! Telemetry, as the decider takes it.

use secbeat_common::{
    subjects::PARTITIONS,
    wire::{MatchedSignature, ServiceBatch, TelemetryBatch, WafBatch},
};

use super::{Decider, Turn, times::Times};
use crate::{
    analyzers::{AHEAD, Observation, Request, Seen, Sighting, Tally},
    telemetry::Arrival,
};

/// Requests of a client in one count of a batch, which are of milliseconds, from which on it is looked at.
const BUSY: u32 = 4;
/// Such clients that are remembered.
const MAX_BUSY: usize = 100;

impl Decider {
    /// Events first, then counts: where both rules fire in one batch, the errors are the reason.
    pub(super) fn batch(
        &mut self,
        partition: u16,
        batch: &TelemetryBatch,
        received_ms: i64,
        age_ms: Option<u64>,
        turn: &mut Turn<'_>,
    ) {
        if self.telemetry.take(batch, partition, age_ms) == Arrival::Again {
            return;
        }
        self.counts.batches += 1;
        self.counts.events += batch.events.len() as u64;
        let is_journaled = self.partitions.receive(partition, received_ms);
        let is_news = !is_journaled && self.partitions.is_news(partition, received_ms);
        if is_news {
            self.count_requests(batch);
        }
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
        let sources = self.sources;
        for (index, event) in batch.events.iter().enumerate() {
            if index % AHEAD == 0 {
                let next = batch.events.iter().skip(index);
                self.analyzer
                    .expect(&mut next.map(|event| sources.of(event.client)));
            }
            let Some(upstream) = upstream(event.upstream) else {
                continue;
            };
            let Some(at_ms) = times.of(event.at_ms) else {
                continue;
            };
            let source = sources.of(event.client);
            if is_news {
                self.signatures.met(&event.signatures);
            }
            if !is_journaled {
                let success = MatchedSignature::may_have_succeeded(&event.signatures, event.status);
                self.counts.possible_successes += u64::from(success);
                self.witness.journal.answer(&source, at_ms, &batch.edge_id, event);
            }
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
                user_agent: &event.user_agent,
                signatures: &event.signatures,
            };
            self.observe(Seen::Event(sighting, request), &batch.edge_id, received_ms, turn);
        }
        for (index, count) in batch.counts.iter().enumerate() {
            if index % AHEAD == 0 {
                let next = batch.counts.iter().skip(index);
                self.analyzer.expect(&mut next.map(|count| count.source));
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
            if count.requests >= BUSY && self.busy.back() != Some(&source) {
                if self.busy.len() >= MAX_BUSY {
                    self.busy.pop_front();
                }
                self.busy.push_back(source);
            }
            let sighting = Sighting {
                source,
                at_ms,
                upstream,
                learned_from: count.learned_from,
            };
            let tally = Tally {
                requests: count.requests,
                errors: count.errors,
                server_errors: count.server_errors,
            };
            self.observe(Seen::Requests(sighting, tally), &batch.edge_id, received_ms, turn);
        }
        self.telemetry.ignored(&batch.edge_id, too_old, too_wide);
    }

    /// Counts the requests of a batch that nobody counted before. One that is read again after a start, a failover or a change of rules
    /// was counted then.
    fn count_requests(&mut self, batch: &TelemetryBatch) {
        let (mut requests, mut errors) = (0, 0);
        for count in &batch.counts {
            requests += u64::from(count.requests);
            errors += u64::from(count.errors);
        }
        self.counts.requests += requests;
        self.counts.errors += errors;
        self.telemetry.counted(&batch.edge_id, requests);
    }

    /// Events of web application firewalls. One older than the rule's window says nothing of what its source does now, as after
    /// an outage of the bus.
    pub(super) fn waf(&mut self, batch: &WafBatch, received_ms: i64, turn: &mut Turn<'_>) {
        self.counts.waf_events += batch.events.len() as u64;
        // The firewall and the edge share a clock, and a batch leaves when it is closed.
        let times = Times::new(batch.sent_at_ms, received_ms, None, self.waf_window_ms);
        for event in &batch.events {
            let Some(at_ms) = times.of(event.at_ms) else {
                self.counts.waf_too_old += 1;
                continue;
            };
            let source = self.sources.of(event.client);
            if !self.partitions.receive(source.partition(PARTITIONS), received_ms) {
                self.witness.journal.waf(&source, at_ms, &batch.edge_id, event);
            }
            self.observe(Seen::Waf(event, at_ms), &batch.edge_id, received_ms, turn);
        }
    }

    /// Events of services, as [`waf`](Self::waf).
    pub(super) fn service(&mut self, batch: &ServiceBatch, received_ms: i64, turn: &mut Turn<'_>) {
        self.counts.service_events += batch.events.len() as u64;
        if self.service_window_ms == 0 {
            self.counts.service_uncounted += batch.events.len() as u64;
        }
        let window_ms = match self.service_window_ms {
            // Nobody counts them, and `why` shows them.
            0 => self.max_age_ms,
            window_ms => window_ms,
        };
        let times = Times::new(batch.sent_at_ms, received_ms, None, window_ms);
        for event in &batch.events {
            let Some(at_ms) = times.of(event.at_ms) else {
                self.counts.service_too_old += 1;
                continue;
            };
            let source = self.sources.of(event.client);
            self.witness
                .journal
                .service(&source, at_ms, &batch.edge_id, event);
            self.observe(Seen::Service(event, at_ms), &batch.edge_id, received_ms, turn);
        }
    }

    fn observe(&mut self, seen: Seen<'_>, edge: &str, received_ms: i64, turn: &mut Turn<'_>) {
        self.analyzer
            .observe(&Observation { edge, seen }, &mut self.found);
        if self.found.is_empty() {
            return;
        }
        let mut found = std::mem::take(&mut self.found);
        for finding in found.drain(..) {
            self.found(finding, edge, received_ms, turn);
        }
        self.found = found;
    }
}
