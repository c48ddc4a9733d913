//! Edges that batch what they see as real ones do, and a way to the bus on which batches are lost, doubled, delayed and
//! overtaken.

use std::{
    collections::BTreeMap,
    mem,
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use secbeat_common::{
    prefix::Prefix,
    subjects::{self, PARTITIONS},
    wire::{self, LateBatch, SourceCount, TelemetryBatch, TelemetryEvent},
};
use secbeat_daemon::time::now_ms;
use uuid::Uuid;

use super::traffic::{self, Request};
use crate::lab::{
    nats::{NatsServer, Publisher},
    random::Random,
};

/// Simulated edges.
pub const EDGES: usize = 5;
/// How often each sends what it has.
const TICK_MS: i64 = 500;
/// Ticks in which nothing is lost: gaps show only between batches that came.
const SPARED: i64 = 8;
/// How far the simulation may be behind its own clock: from 10 s on orchestrators would take its clock for a wrong one.
const MAX_LAG: Duration = Duration::from_secs(5);
/// How long after it took a message the server may stamp it, in milliseconds.
const STAMPED_MS: i64 = 1000;

/// A batch that the server has got.
#[derive(Clone, Debug)]
pub struct Sent {
    pub batch: TelemetryBatch,
    /// When it says it got it: not before the first and not after the second, milliseconds since the Unix epoch.
    pub received_ms: (i64, i64),
}

/// What one edge's batches came to, those counted once that came twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub batches: u64,
    /// Of them, those that waited for the bus.
    pub late: u64,
    pub requests: u64,
    /// Batches that did not come.
    pub missing: u64,
    /// Batches that came again.
    pub repeated: u64,
}

/// What became of the traffic.
#[derive(Debug)]
pub struct Simulated {
    /// What the server got, in its order.
    pub sent: Vec<Sent>,
    /// By edge.
    pub tallies: BTreeMap<String, Tally>,
    /// Error answers that were reported.
    pub errors: u64,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Lost,
    /// Comes again so many ticks later.
    Doubled(i64),
    /// Overtaken by those of so many ticks.
    Overtaken(i64),
    /// Waited for the bus so many ticks.
    Late(i64),
}

/// Events and counts of a batch, the latter by source and upstream.
type Content = (Vec<TelemetryEvent>, BTreeMap<(Prefix, u16), SourceCount>);

struct Edge {
    id: String,
    boot_id: Uuid,
    sequences: [u64; PARTITIONS as usize],
    publisher: Publisher,
    /// Batches under way, by the tick in which they arrive; late ones are to say how long they waited.
    under_way: BTreeMap<i64, Vec<(TelemetryBatch, bool)>>,
    tally: Tally,
    errors: u64,
}

/// Lets `requests` happen, in real time, from now on.
///
/// Edges publish one after the other, so that the order is known.
///
/// # Panics
///
/// When this machine is too slow for that.
#[must_use]
pub fn simulate(nats: &NatsServer, random: &mut Random, requests: &[Request]) -> Simulated {
    let mut edges: Vec<_> = (0..EDGES)
        .map(|n| Edge {
            id: format!("simulated-{n}"),
            boot_id: Uuid::from_u64_pair(random.any(), random.any()),
            sequences: [0; PARTITIONS as usize],
            publisher: nats.publisher(),
            under_way: BTreeMap::new(),
            tally: Tally::default(),
            errors: 0,
        })
        .collect();
    let (begin, begin_ms) = (Instant::now(), now_ms());
    let ticks = traffic::LENGTH_MS / TICK_MS;
    let (mut sent, mut rest, mut tick) = (Vec::new(), requests, 0);
    while tick < ticks || edges.iter().any(|edge| !edge.under_way.is_empty()) {
        let end = (tick + 1) * TICK_MS;
        let due = Duration::from_millis(end as u64);
        // The traffic's own pace.
        sleep(due.saturating_sub(begin.elapsed()));
        let lag = begin.elapsed().saturating_sub(due);
        assert!(lag < MAX_LAG, "the simulation is {lag:?} behind");
        let (now, later) = rest.split_at(rest.partition_point(|request| request.reported < end));
        rest = later;
        for (n, edge) in edges.iter_mut().enumerate() {
            let seen = now.iter().filter(|request| request.edge == n);
            for batch in edge.batches(seen, begin_ms, end) {
                let way = way(random, &batch, tick, ticks);
                edge.send(batch, way, tick);
            }
            edge.deliver(tick, begin_ms + end, &mut sent);
        }
        tick += 1;
    }
    Simulated {
        sent,
        errors: edges.iter().map(|edge| edge.errors).sum(),
        tallies: edges.into_iter().map(|edge| (edge.id, edge.tally)).collect(),
    }
}

fn way(random: &mut Random, batch: &TelemetryBatch, tick: i64, ticks: i64) -> Way {
    let spared = tick < SPARED || tick >= ticks - SPARED;
    // How an upstream does is told by what is not late, or not at all.
    let fails = batch.events.iter().any(|event| event.status >= 500);
    match random.below(100) {
        0..2 if !spared => Way::Lost,
        2..4 => Way::Doubled(random.between(0, 20)),
        4..8 => Way::Overtaken(random.between(1, 8)),
        8..12 if !fails => Way::Late(random.between(10, 50)),
        _ => Way::Direct,
    }
}

impl Edge {
    /// What it saw until `end`, one batch for each partition.
    fn batches<'a>(
        &mut self,
        seen: impl Iterator<Item = &'a Request>,
        begin_ms: i64,
        end: i64,
    ) -> Vec<TelemetryBatch> {
        let mut batches: BTreeMap<u16, Content> = BTreeMap::new();
        for request in seen {
            let source = Prefix::single(request.client);
            let (events, counts) = batches.entry(source.partition(PARTITIONS)).or_default();
            let at_ms = begin_ms + request.at;
            let count = counts.entry((source, request.upstream)).or_insert(SourceCount {
                source,
                at_ms,
                upstream: request.upstream,
                learned_from: request.learned_from,
                requests: 0,
                errors: 0,
                server_errors: 0,
            });
            count.at_ms = count.at_ms.max(at_ms);
            count.requests += 1;
            count.errors += u32::from(request.status >= 400);
            count.server_errors += u32::from(request.status >= 500);
            if request.status >= 400 {
                events.push(event(request, at_ms));
            }
        }
        let batch = |(partition, (events, counts)): (u16, Content)| {
            let next = &mut self.sequences[usize::from(partition)];
            TelemetryBatch {
                edge_id: self.id.clone(),
                boot_id: self.boot_id,
                sequence: mem::replace(next, *next + 1),
                sent_at_ms: begin_ms + end,
                dropped_before: 0,
                upstreams: traffic::UPSTREAMS.map(str::to_owned).to_vec(),
                events,
                counts: counts.into_values().collect(),
            }
        };
        batches.into_iter().map(batch).collect()
    }

    /// Sends a batch on its way, and notes what it will come to.
    fn send(&mut self, batch: TelemetryBatch, way: Way, tick: i64) {
        if way == Way::Lost {
            self.tally.missing += 1;
            return;
        }
        self.tally.batches += 1;
        self.errors += batch.events.len() as u64;
        let requests = batch.counts.iter().map(|count| u64::from(count.requests));
        self.tally.requests += requests.sum::<u64>();
        self.tally.late += u64::from(matches!(way, Way::Late(_)));
        let mut arrives = |batch, after, late| {
            self.under_way
                .entry(tick + after)
                .or_default()
                .push((batch, late))
        };
        match way {
            Way::Lost => {}
            Way::Direct => arrives(batch, 0, false),
            Way::Overtaken(ticks) => arrives(batch, ticks, false),
            Way::Late(ticks) => arrives(batch, ticks, true),
            Way::Doubled(ticks) => {
                self.tally.repeated += 1;
                arrives(batch.clone(), 0, false);
                arrives(batch, ticks, false);
            }
        }
    }

    /// Publishes what arrives in `tick`, which ends at `now`.
    fn deliver(&mut self, tick: i64, now: i64, sent: &mut Vec<Sent>) {
        let arriving = self.under_way.remove(&tick).unwrap_or_default();
        let before_ms = now_ms();
        let messages: Vec<_> = arriving
            .iter()
            .map(|(batch, late)| message(batch, *late, now))
            .collect();
        self.publisher.publish(&messages);
        let received_ms = (before_ms, now_ms() + STAMPED_MS);
        sent.extend(arriving.into_iter().map(|(batch, _)| Sent { batch, received_ms }));
    }
}

fn message(batch: &TelemetryBatch, late: bool, now: i64) -> (String, Vec<u8>) {
    let counted = batch.counts.first().expect("whoever errs is counted");
    let partition = counted.source.partition(PARTITIONS);
    if !late {
        let bytes = wire::encode(batch).expect("a batch");
        return (subjects::telemetry(&batch.edge_id, partition), bytes);
    }
    let late = LateBatch {
        age_ms: now.abs_diff(batch.sent_at_ms),
        batch: batch.clone(),
    };
    let bytes = wire::encode(&late).expect("a batch");
    (subjects::late_telemetry(&batch.edge_id, partition), bytes)
}

/// A path that nobody else asks for: what most clients of an upstream get counts against nobody.
fn own_path(client: IpAddr) -> String {
    let letter = |sign: char| match sign.to_digit(16) {
        Some(digit) => char::from(b'a' + digit as u8),
        None => '-',
    };
    format!("/{}", client.to_string().chars().map(letter).collect::<String>())
}

fn event(request: &Request, at_ms: i64) -> TelemetryEvent {
    TelemetryEvent {
        client: request.client,
        at_ms,
        status: request.status,
        upstream: request.upstream,
        learned_from: request.learned_from,
        method: "GET".to_owned(),
        path: own_path(request.client),
        host: "www.example.org".to_owned(),
        user_agent: "Mozilla/5.0".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    }
}
