//! Telemetry of each edge: what came, what did not, and what came before.
//!
//! An edge numbers the batches of each partition. A gap is telemetry that was lost, or that still waits for the bus; a
//! number that came already is a batch that the edge sent again because it could not know. Such a batch is ignored, so
//! nothing counts twice.

mod sequences;

use std::hash::RandomState;

use hashlink::LinkedHashMap;
use secbeat_common::{subjects::PARTITIONS, wire::TelemetryBatch};
use tracing::warn;
use uuid::Uuid;

use self::sequences::Sequences;

/// Edges known at a time; past it the one not heard of longest is forgotten.
const MAX_EDGES: usize = 1024;
/// Processes of one edge known at a time: what an earlier one spooled comes after a restart.
const MAX_BOOTS: usize = 8;

/// Novelty of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    New,
    Again,
}

/// The telemetry of one edge, since this process began to read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeTelemetry {
    pub batches: u64,
    /// Batches among them that had waited for the bus.
    pub late: u64,
    /// Requests counted in them, without those of batches that were read before, by this process or another.
    pub requests: u64,
    /// Responses that the edge says it lost, in all its processes that were heard of.
    pub lost: u64,
    /// Batches that never came, by the gaps in their sequences; while an edge's spool is being sent, also those to come.
    pub missing_batches: u64,
    /// Batches that came twice, and were ignored the second time.
    pub repeated: u64,
    /// Requests that were too old to matter, and ignored.
    pub too_old: u64,
    /// Requests that were counted by a prefix wider than a source, and ignored: the edge goes by other `detect.sources` than
    /// this orchestrator.
    pub too_wide: u64,
}

/// All edges.
#[derive(Debug, Default)]
pub struct Edges {
    known: LinkedHashMap<String, Edge, RandomState>,
}

#[derive(Debug, Default)]
struct Edge {
    boots: LinkedHashMap<Uuid, Boot, RandomState>,
    /// Losses of processes that are forgotten.
    lost_before: u64,
    missing_before: u64,
    counts: EdgeTelemetry,
}

/// One process of an edge.
#[derive(Debug, Default)]
struct Boot {
    partitions: [Sequences; PARTITIONS as usize],
    /// Answers that it says it lost.
    lost: u64,
}

impl Edges {
    /// Notes a batch; `age_ms` is set if it waited for the bus.
    pub fn take(&mut self, batch: &TelemetryBatch, partition: u16, age_ms: Option<u64>) -> Arrival {
        if !self.known.contains_key(&batch.edge_id) && self.known.len() >= MAX_EDGES {
            self.known.pop_front();
        }
        self.known
            .entry(batch.edge_id.clone())
            .or_insert_with(Edge::default);
        let Some(edge) = self.known.to_back(&batch.edge_id) else {
            return Arrival::New;
        };
        edge.take(batch, partition, age_ms)
    }

    /// What comes of `partition` from now on may have come before: it is read again.
    pub fn forget_partition(&mut self, partition: u16) {
        let boots = self.known.iter_mut().flat_map(|(_, edge)| edge.boots.iter_mut());
        for (_, boot) in boots {
            if let Some(sequences) = boot.partitions.get_mut(usize::from(partition)) {
                *sequences = Sequences::default();
            }
        }
    }

    /// Counts requests of `edge_id` that nobody counted before.
    pub fn counted(&mut self, edge_id: &str, requests: u64) {
        if let Some(edge) = self.known.get_mut(edge_id) {
            edge.counts.requests += requests;
        }
    }

    /// Counts requests of `edge_id` that were too old, and those of what is wider than a source.
    pub fn ignored(&mut self, edge_id: &str, too_old: u64, too_wide: u64) {
        if let Some(edge) = self.known.get_mut(edge_id) {
            edge.counts.too_old += too_old;
            edge.counts.too_wide += too_wide;
        }
    }

    /// All edges by name, with what is known of their telemetry.
    #[must_use]
    pub fn telemetry(&self) -> Vec<(String, EdgeTelemetry)> {
        let known = self.known.iter();
        let mut edges: Vec<_> = known.map(|(id, edge)| (id.clone(), edge.telemetry())).collect();
        edges.sort_by(|(a, _), (b, _)| a.cmp(b));
        edges
    }
}

impl Edge {
    fn take(&mut self, batch: &TelemetryBatch, partition: u16, age_ms: Option<u64>) -> Arrival {
        if !self.boots.contains_key(&batch.boot_id)
            && self.boots.len() >= MAX_BOOTS
            && let Some((_, forgotten)) = self.boots.pop_front()
        {
            self.lost_before += forgotten.lost;
            self.missing_before += forgotten.missing();
        }
        let boot = self.boots.entry(batch.boot_id).or_insert_with(Boot::default);
        if batch.dropped_before > boot.lost {
            let lost = batch.dropped_before - boot.lost;
            warn!(edge = batch.edge_id, answers = lost, "an edge lost telemetry");
            boot.lost = batch.dropped_before;
        }
        let sequences = boot.partitions.get_mut(usize::from(partition));
        if sequences.is_some_and(|sequences| !sequences.insert(batch.sequence)) {
            self.counts.repeated += 1;
            return Arrival::Again;
        }
        self.counts.batches += 1;
        self.counts.late += u64::from(age_ms.is_some());
        Arrival::New
    }

    fn telemetry(&self) -> EdgeTelemetry {
        EdgeTelemetry {
            lost: self.lost_before + self.boots.values().map(|boot| boot.lost).sum::<u64>(),
            missing_batches: self.missing_before + self.boots.values().map(Boot::missing).sum::<u64>(),
            ..self.counts
        }
    }
}

impl Boot {
    fn missing(&self) -> u64 {
        self.partitions.iter().map(Sequences::missing).sum()
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{LearnedFrom, SourceCount};

    use super::*;

    const PARTITION: u16 = 7;

    fn batch(boot: u128, sequence: u64, dropped_before: u64) -> TelemetryBatch {
        TelemetryBatch {
            edge_id: "edge-1".to_owned(),
            boot_id: Uuid::from_u128(boot),
            sequence,
            sent_at_ms: 0,
            dropped_before,
            upstreams: vec![],
            events: vec![],
            counts: vec![SourceCount {
                source: "198.51.100.7".parse().unwrap(),
                at_ms: 0,
                upstream: 0,
                learned_from: LearnedFrom::Peer,
                requests: 3,
                errors: 0,
                server_errors: 0,
            }],
        }
    }

    #[test]
    fn what_an_edge_lost_is_shown_whatever_process_lost_it() {
        let mut edges = Edges::default();
        for (boot, sequence, lost) in [(1, 0, 0), (1, 1, 5), (1, 2, 7), (2, 0, 1), (1, 3, 6)] {
            assert_eq!(
                edges.take(&batch(boot, sequence, lost), PARTITION, None),
                Arrival::New
            );
        }
        let (_, view) = edges.telemetry()[0].clone();
        assert_eq!((view.lost, view.missing_batches, view.batches), (8, 0, 5));
        for boot in 3..20 {
            edges.take(&batch(boot, 0, 0), PARTITION, None);
        }
        assert_eq!(edges.telemetry()[0].1.lost, 8, "forgotten with the process");
    }

    #[test]
    fn a_batch_that_comes_again_counts_once_and_a_late_one_fills_its_gap() {
        let mut edges = Edges::default();
        edges.take(&batch(1, 0, 0), PARTITION, None);
        edges.take(&batch(1, 3, 0), PARTITION, None);
        assert_eq!(edges.telemetry()[0].1.missing_batches, 2);
        for (sequence, arrival) in [(2, Arrival::New), (2, Arrival::Again), (3, Arrival::Again)] {
            assert_eq!(
                edges.take(&batch(1, sequence, 0), PARTITION, Some(5_000)),
                arrival,
                "{sequence}"
            );
        }
        let (_, view) = edges.telemetry()[0].clone();
        assert_eq!(
            (view.missing_batches, view.repeated, view.late, view.batches),
            (1, 2, 1, 3)
        );
    }

    #[test]
    fn what_is_read_again_is_news_again() {
        let mut edges = Edges::default();
        let batch = batch(1, 0, 0);
        edges.take(&batch, PARTITION, None);
        edges.forget_partition(PARTITION + 1);
        assert_eq!(
            edges.take(&batch, PARTITION, None),
            Arrival::Again,
            "of another partition"
        );
        edges.forget_partition(PARTITION);
        assert_eq!(edges.take(&batch, PARTITION, None), Arrival::New);
    }

    #[test]
    fn edges_past_the_bound_are_forgotten() {
        let mut edges = Edges::default();
        for n in 0..=MAX_EDGES {
            let mut batch = batch(1, 0, 0);
            batch.edge_id = format!("edge-{n}");
            edges.take(&batch, PARTITION, None);
        }
        assert_eq!(edges.telemetry().len(), MAX_EDGES);
        assert!(!edges.telemetry().iter().any(|(id, _)| id == "edge-0"));
    }
}
