//! Events of web application firewalls, as the engine judges them.

use secbeat_common::wire::WafBatch;

use super::{Engine, partitions::has_said_enough, times::Times};

impl Engine {
    /// An event older than the rule's window says nothing of what its source does now, as after an outage of the bus.
    pub(super) fn waf(&mut self, batch: &WafBatch, received_ms: i64) {
        self.counts.waf_events += batch.events.len() as u64;
        // The firewall and the edge share a clock, and a batch leaves when it is closed.
        let times = Times::new(batch.sent_at_ms, received_ms, None, self.detector.waf_window_ms());
        for event in &batch.events {
            let Some(at_ms) = times.of(event.at_ms) else {
                self.counts.waf_too_old += 1;
                continue;
            };
            let source = self.detector.sources().of(event.client);
            self.witness.journal.waf(&source, at_ms, &batch.edge_id, event);
            if let Some(corroboration) = &mut self.corroboration {
                if has_said_enough(&self.ledger, &source, &batch.edge_id, at_ms) {
                    continue;
                }
                corroboration.waf(&batch.edge_id, event, at_ms);
            }
            if let Some(finding) = self.detector.observe_waf(event, at_ms) {
                self.found(finding, &batch.edge_id, received_ms);
            }
        }
    }
}
