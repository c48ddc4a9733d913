//! Batching of telemetry: a pure core. Answers and the time go in, batches come out.
//!
//! Adaptive: an answer that finds the edge idle is due at once; under load whatever comes within the linger shares a batch.
//! Memory is bounded by [`Limits`], whatever clients send.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{LearnedFrom, SourceCount, TelemetryBatch, TelemetryEvent, cut},
};
use uuid::Uuid;

/// One answer that was given to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub client: IpAddr,
    /// Wall clock, milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub status: u16,
    /// Index into the upstreams that the batcher was made with.
    pub upstream: u16,
    pub learned_from: LearnedFrom,
    pub method: String,
    pub path: String,
    pub host: String,
    pub user_agent: String,
}

impl Answer {
    fn is_error(&self) -> bool {
        (400..600).contains(&self.status)
    }

    fn event(&self) -> TelemetryEvent {
        let cut = |text: &str| cut(text).to_owned();
        TelemetryEvent {
            client: self.client,
            at_ms: self.at_ms,
            status: self.status,
            upstream: self.upstream,
            learned_from: self.learned_from,
            method: cut(&self.method),
            path: cut(&self.path),
            host: cut(&self.host),
            user_agent: cut(&self.user_agent),
        }
    }
}

/// When a batch is due.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Shortest time between two batches that carry errors. It adds to the time from the last error to the ban, and bounds
    /// the batches a second to its inverse times the partitions.
    pub error_linger: Duration,
    /// The same where there are only good answers, whose count can wait.
    pub linger: Duration,
    /// Events and sources at which a batch is due whatever the time. Together with the cut of every text they keep the
    /// largest batch below the largest message; see the test.
    pub max_events: usize,
    pub max_sources: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            error_linger: Duration::from_millis(2),
            linger: Duration::from_millis(20),
            max_events: 500,
            max_sources: 4096,
        }
    }
}

/// Collects answers into one batch per partition.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    edge_id: String,
    boot_id: Uuid,
    upstreams: Vec<String>,
    sequences: [u64; PARTITIONS as usize],
    collecting: HashMap<u16, Collected>,
    events: usize,
    sources: usize,
    last_taken: Option<Duration>,
    due: Option<Duration>,
}

#[derive(Debug, Default)]
struct Collected {
    events: Vec<TelemetryEvent>,
    counts: HashMap<(Prefix, u16), SourceCount>,
}

impl Batcher {
    /// An empty batcher. `boot_id` is new with every start of the edge.
    #[must_use]
    pub fn new(limits: Limits, edge_id: String, boot_id: Uuid, upstreams: Vec<String>) -> Self {
        Self {
            limits,
            edge_id,
            boot_id,
            upstreams,
            sequences: [0; PARTITIONS as usize],
            collecting: HashMap::new(),
            events: 0,
            sources: 0,
            last_taken: None,
            due: None,
        }
    }

    /// Takes one answer in. `now` is any monotonic clock.
    pub fn push(&mut self, answer: &Answer, now: Duration) {
        let source = Prefix::of_source(answer.client);
        let collected = self.collecting.entry(source.partition(PARTITIONS)).or_default();
        let error = answer.is_error();
        if error {
            collected.events.push(answer.event());
            self.events += 1;
        }
        let sources = &mut self.sources;
        let count = collected.counts.entry((source, answer.upstream)).or_insert_with(|| {
            *sources += 1;
            SourceCount {
                source,
                at_ms: answer.at_ms,
                upstream: answer.upstream,
                learned_from: answer.learned_from,
                requests: 0,
                errors: 0,
                server_errors: 0,
            }
        });
        count.at_ms = count.at_ms.max(answer.at_ms);
        count.requests += 1;
        count.errors += u32::from(error);
        count.server_errors += u32::from(answer.status >= 500 && error);

        let full = self.events >= self.limits.max_events || self.sources >= self.limits.max_sources;
        let linger = if error { self.limits.error_linger } else { self.limits.linger };
        let due = match self.last_taken {
            Some(last) if !full => (last + linger).max(now),
            _ => now,
        };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// When the next batch is due, on the clock of [`push`](Self::push); `None` while nothing waits.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Hands out everything collected, a batch per partition. `dropped_before` is how many answers never came in.
    pub fn take(&mut self, now: Duration, wall_ms: i64, dropped_before: u64) -> Vec<(u16, TelemetryBatch)> {
        if self.collecting.is_empty() {
            return Vec::new();
        }
        self.last_taken = Some(now);
        self.due = None;
        self.events = 0;
        self.sources = 0;
        let collecting = std::mem::take(&mut self.collecting);
        let mut batches: Vec<_> = collecting
            .into_iter()
            .map(|(partition, collected)| {
                let sequence = &mut self.sequences[usize::from(partition)];
                let batch = TelemetryBatch {
                    edge_id: self.edge_id.clone(),
                    boot_id: self.boot_id,
                    sequence: *sequence,
                    sent_at_ms: wall_ms,
                    dropped_before,
                    upstreams: self.upstreams.clone(),
                    events: collected.events,
                    counts: collected.counts.into_values().collect(),
                };
                *sequence += 1;
                (partition, batch)
            })
            .collect();
        batches.sort_by_key(|(partition, _)| *partition);
        batches
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use secbeat_common::wire::{MAX_MESSAGE, MAX_TEXT, encode};

    use super::*;

    fn batcher() -> Batcher {
        Batcher::new(Limits::default(), "e".repeat(64), Uuid::from_u128(1), vec!["u".repeat(MAX_TEXT)])
    }

    fn answer(client: &str, status: u16) -> Answer {
        Answer {
            client: client.parse().unwrap(),
            at_ms: 1_795_168_807_000,
            status,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            method: "GET".to_owned(),
            path: "/x".to_owned(),
            host: "h".to_owned(),
            user_agent: "a".to_owned(),
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_idle_edge_sends_at_once_and_a_busy_one_batches() {
        let mut batcher = batcher();
        batcher.push(&answer("198.51.100.7", 404), ms(100));
        assert_eq!(batcher.due(), Some(ms(100)));
        assert_eq!(batcher.take(ms(100), 0, 0).len(), 1);
        assert_eq!(batcher.due(), None);
        batcher.push(&answer("198.51.100.7", 404), ms(101));
        assert_eq!(batcher.due(), Some(ms(102)));
        batcher.push(&answer("198.51.100.7", 404), ms(101));
        assert_eq!(batcher.take(ms(102), 0, 0)[0].1.events.len(), 2);
        batcher.push(&answer("198.51.100.7", 404), ms(500));
        assert_eq!(batcher.due(), Some(ms(500)));
    }

    #[test]
    fn an_error_does_not_wait_for_good_answers() {
        let mut batcher = batcher();
        batcher.push(&answer("198.51.100.7", 200), ms(100));
        batcher.take(ms(100), 0, 0);
        batcher.push(&answer("198.51.100.7", 200), ms(101));
        assert_eq!(batcher.due(), Some(ms(120)));
        batcher.push(&answer("198.51.100.8", 404), ms(101));
        assert_eq!(batcher.due(), Some(ms(102)));
    }

    #[test]
    fn a_full_batch_is_due_at_once() {
        let mut batcher = batcher();
        batcher.push(&answer("198.51.100.7", 404), ms(1));
        batcher.take(ms(1), 0, 0);
        for _ in 0..Limits::default().max_events {
            batcher.push(&answer("198.51.100.7", 404), ms(1));
        }
        assert_eq!(batcher.due(), Some(ms(1)));
    }

    #[test]
    fn the_largest_batch_fits_into_one_message() {
        let mut batcher = batcher();
        let long = "€".repeat(1000);
        for n in 0..Limits::default().max_events {
            let text = || long.clone();
            let answer = Answer { method: text(), path: text(), host: text(), user_agent: text(), ..answer("2001:db8::1", 503) };
            batcher.push(&answer, ms(n as u64));
        }
        // All in one partition: the worst case.
        let mut n: u64 = 0;
        let mut sources = 1;
        while sources < Limits::default().max_sources {
            n += 1;
            let client = IpAddr::from(std::net::Ipv6Addr::from((0x2001_0db8_0000_0000 + n as u128) << 64));
            if Prefix::of_source(client).partition(PARTITIONS) == Prefix::of_source("2001:db8::1".parse().unwrap()).partition(PARTITIONS) {
                batcher.push(&Answer { client, ..answer("2001:db8::1", 200) }, ms(0));
                sources += 1;
            }
        }
        let batches = batcher.take(ms(0), i64::MAX, u64::MAX);
        assert_eq!(batches.len(), 1);
        let bytes = encode(&batches[0].1).unwrap().len();
        assert!(bytes < MAX_MESSAGE, "{bytes} bytes");
    }

    #[test]
    fn batches_count_from_zero_in_each_partition() {
        let mut batcher = batcher();
        for expected in 0..3 {
            batcher.push(&answer("198.51.100.7", 404), ms(expected));
            assert_eq!(batcher.take(ms(expected), 0, 9)[0].1.sequence, expected);
        }
        assert!(batcher.take(ms(9), 0, 0).is_empty());
    }

    proptest! {
        /// Against the simplest count: nothing is lost, doubled, or put into the wrong partition.
        #[test]
        fn every_answer_is_in_exactly_one_batch(
            answers in prop::collection::vec((0..6u8, prop::sample::select(vec![200u16, 302, 404, 503]), 0..4u64), 0..200),
            take_every in 1..20usize,
        ) {
            let mut batcher = batcher();
            let mut naive: BTreeMap<Prefix, (u32, u32, u32)> = BTreeMap::new();
            let mut batched: BTreeMap<Prefix, (u32, u32, u32)> = BTreeMap::new();
            let mut events: BTreeMap<Prefix, u32> = BTreeMap::new();
            let mut now = 0;
            let mut collect = |batches: Vec<(u16, TelemetryBatch)>| {
                for (partition, batch) in batches {
                    for event in &batch.events {
                        *events.entry(Prefix::of_source(event.client)).or_default() += 1;
                    }
                    for count in batch.counts {
                        assert_eq!(count.source.partition(PARTITIONS), partition);
                        let sum = batched.entry(count.source).or_default();
                        *sum = (sum.0 + count.requests, sum.1 + count.errors, sum.2 + count.server_errors);
                    }
                }
            };
            for (n, (client, status, pause)) in answers.iter().enumerate() {
                now += pause;
                let answer = answer(&format!("198.51.100.{client}"), *status);
                let sum = naive.entry(Prefix::of_source(answer.client)).or_default();
                *sum = (sum.0 + 1, sum.1 + u32::from(*status >= 400), sum.2 + u32::from(*status >= 500));
                batcher.push(&answer, ms(now));
                if n % take_every == 0 {
                    collect(batcher.take(ms(now), 0, 0));
                }
            }
            collect(batcher.take(ms(now), 0, 0));
            prop_assert_eq!(&batched, &naive);
            naive.retain(|_, (_, errors, _)| *errors > 0);
            prop_assert_eq!(events, naive.into_iter().map(|(source, (_, errors, _))| (source, errors)).collect());
        }
    }
}
