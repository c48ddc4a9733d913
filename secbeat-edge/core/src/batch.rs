//! Batching of telemetry: a pure core. Answers and the time go in, batches per partition come out.
//!
//! An edge with little to say says it at once; a busy one gathers. Each flush costs one `linger`, and up to `burst` of
//! them may be spent ahead (GCRA, as in ATM Forum TM 4.1 §4.4.2): the first `burst` flushes after a quiet time leave
//! without any delay, and from then on one flush per `linger` does. So an attack of one client on an idle edge is
//! reported error by error up to the ban, and the message rate of a busy edge has a ceiling. Good answers alone, which can
//! wait, are sent no more often than once per `good_linger`.

mod limits;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    net::IpAddr,
    time::Duration,
};

use secbeat_common::{
    prefix::Prefix,
    rules::{is_error, short_path},
    sources::SourceLengths,
    subjects::PARTITIONS,
    wire::{
        LearnedFrom, MAX_MATCHED, MAX_MATCHED_BYTES, MatchedSignature, SourceCount, TelemetryBatch,
        TelemetryEvent, cut,
    },
};
use uuid::Uuid;

pub use self::limits::{
    BatchConfig, BatchError, MAX_EVENTS, MAX_MATCHES, MAX_METHOD, MAX_SOURCES, MAX_UPSTREAM_NAMES,
};

/// An answer to an HTTP client, as a source of telemetry saw it.
#[derive(Clone, Copy, Debug)]
pub struct ObservedResponse<'a> {
    /// The client's address, in whatever form it was learned.
    pub client: IpAddr,
    /// The edge's wall clock, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// HTTP status, 100–599; 0 if the client gave up before there was one; or [`UNREADABLE`](secbeat_common::wire::UNREADABLE).
    pub status: u16,
    pub method: &'a str,
    /// Without the query, which may hold secrets. [Shortened](short_path) to [`wire::MAX_TEXT`](secbeat_common::wire::MAX_TEXT) bytes.
    pub path: &'a str,
    /// Cut at as many bytes.
    pub host: &'a str,
    /// Cut like `host`.
    pub user_agent: &'a str,
    /// Index into the upstream names that the [`Batcher`] was made with.
    pub upstream: u16,
    pub learned_from: LearnedFrom,
    /// Signatures that the request matched. At most [`MAX_MATCHED`] are told.
    pub signatures: &'a [MatchedSignature],
    /// As [`TelemetryEvent::cross_site`].
    pub cross_site: bool,
}

/// What telemetry keeps of an [`ObservedResponse`]: of a good one no text at all, unless a rule asks for it.
#[derive(Clone, Debug)]
pub struct Observation {
    pub client: IpAddr,
    pub at_ms: i64,
    pub status: u16,
    pub upstream: u16,
    pub learned_from: LearnedFrom,
    /// Of an answer that is reported by itself.
    pub request: Option<Box<RequestText>>,
}

#[derive(Clone, Debug, Default)]
pub struct RequestText {
    pub method: String,
    pub path: String,
    pub host: String,
    pub user_agent: String,
    pub signatures: Vec<MatchedSignature>,
    pub cross_site: bool,
}

impl From<ObservedResponse<'_>> for Observation {
    /// Errors and what matched a signature are reported, other answers counted.
    fn from(answer: ObservedResponse<'_>) -> Self {
        match is_error(answer.status) || !answer.signatures.is_empty() {
            true => answer.reported(),
            false => answer.counted(),
        }
    }
}

impl ObservedResponse<'_> {
    /// With its text, for an event of its own.
    #[must_use]
    pub fn reported(self) -> Observation {
        let request = RequestText {
            method: self.method[..self.method.floor_char_boundary(MAX_METHOD)].to_owned(),
            path: short_path(self.path).into_owned(),
            host: cut(self.host).to_owned(),
            user_agent: cut(self.user_agent).to_owned(),
            signatures: self
                .signatures
                .iter()
                .take(MAX_MATCHED)
                .filter(is_short)
                .cloned()
                .collect(),
            cross_site: self.cross_site,
        };
        Observation {
            request: Some(Box::new(request)),
            ..self.counted()
        }
    }

    /// As one of many.
    fn counted(self) -> Observation {
        let Self {
            client,
            at_ms,
            status,
            upstream,
            learned_from,
            ..
        } = self;
        Observation {
            client: client.to_canonical(),
            at_ms,
            status,
            upstream,
            learned_from,
            request: None,
        }
    }
}

/// Whether a batch has room for it: an edge's own words are shorter.
fn is_short(matched: &&MatchedSignature) -> bool {
    let MatchedSignature { id, class, severity } = matched;
    id.len() + class.len() + severity.len() + 9 <= MAX_MATCHED_BYTES
}

/// Answers of one source are counted together when their times lie in one such slot. A live source is within one or
/// two slots in each flush; a log that is read up holds minutes in one, and they must not become one moment.
const SLOT_MS: i64 = 50;

/// What [`SourceCount`]s are told apart by, the last one the slot.
type CountKey = (Prefix, u16, LearnedFrom, i64);

/// Identity of the edge in its batches.
#[derive(Clone, Debug)]
pub struct Identity {
    pub edge_id: String,
    /// New with each start of the edge.
    pub boot_id: Uuid,
    /// Names that [`ObservedResponse::upstream`] indexes.
    pub upstreams: Vec<String>,
}

/// Gathers answers until they are due, see the [module](self).
///
/// `now` is any monotonic clock that never runs backwards, as the time since some fixed start.
#[derive(Debug)]
pub struct Batcher {
    config: BatchConfig,
    identity: Identity,
    sources: SourceLengths,
    sequences: [u64; PARTITIONS as usize],
    events: Vec<TelemetryEvent>,
    /// Signatures in `events`.
    matches: usize,
    counts: HashMap<CountKey, SourceCount>,
    due: Option<Duration>,
    /// From when on good answers alone are worth a flush.
    good_after: Duration,
    /// Time at which the rate limit's credit for the flushes so far is used up, at one `linger` each.
    paid_until: Duration,
}

impl Batcher {
    /// # Errors
    ///
    /// Returns an error if a limit of `config` or the length of the upstreams' names could make a batch larger than a message.
    pub fn new(config: BatchConfig, identity: Identity) -> Result<Self, BatchError> {
        config.check(&identity)?;
        Ok(Self {
            config,
            identity,
            sources: SourceLengths::default(),
            sequences: [0; PARTITIONS as usize],
            events: Vec::new(),
            matches: 0,
            counts: HashMap::new(),
            due: None,
            good_after: Duration::ZERO,
            paid_until: Duration::ZERO,
        })
    }

    /// Returns what counts as one source.
    #[must_use]
    pub const fn sources(&self) -> SourceLengths {
        self.sources
    }

    /// From now on `sources` count. What was pushed before should have been [taken](Self::take): it stays as it was counted.
    pub fn count_by(&mut self, sources: SourceLengths) {
        self.sources = sources;
    }

    /// Takes one answer in.
    ///
    /// # Errors
    ///
    /// Gives it back when the batcher is full: [`take`](Self::take) first.
    pub fn push(&mut self, observation: Observation, now: Duration) -> Result<(), Observation> {
        let Observation {
            client,
            at_ms,
            status,
            upstream,
            learned_from,
            ..
        } = observation;
        let is_event = observation.request.is_some();
        let matches = observation
            .request
            .as_ref()
            .map_or(0, |request| request.signatures.len());
        if is_event && (self.events.len() >= self.config.max_events || self.matches + matches > MAX_MATCHES) {
            return Err(observation);
        }
        let source = self.sources.of(client);
        let sources = self.counts.len();
        let slot = at_ms.div_euclid(SLOT_MS);
        let count = match self.counts.entry((source, upstream, learned_from, slot)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if sources >= self.config.max_sources => return Err(observation),
            Entry::Vacant(entry) => {
                let none = SourceCount {
                    source,
                    at_ms,
                    upstream,
                    learned_from,
                    requests: 0,
                    errors: 0,
                    server_errors: 0,
                };
                entry.insert(none)
            }
        };
        count.at_ms = count.at_ms.max(at_ms);
        count.requests = count.requests.saturating_add(1);
        count.errors = count.errors.saturating_add(u32::from(is_error(status)));
        count.server_errors = count
            .server_errors
            .saturating_add(u32::from((500..600).contains(&status)));
        if let Some(request) = observation.request {
            let RequestText {
                method,
                path,
                host,
                user_agent,
                signatures,
                cross_site,
            } = *request;
            self.matches += matches;
            let event = TelemetryEvent {
                client,
                at_ms,
                status,
                upstream,
                learned_from,
                method,
                path,
                host,
                user_agent,
                signatures,
                cross_site,
            };
            self.events.push(event);
        }

        let full =
            self.events.len() >= self.config.max_events || self.counts.len() >= self.config.max_sources;
        let credit = self.config.linger.saturating_mul(self.config.burst);
        let paid = self.paid_until.saturating_sub(credit);
        let earliest = if is_event { Duration::ZERO } else { self.good_after };
        let due = if full { now } else { paid.max(earliest).max(now) };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        Ok(())
    }

    /// From when on [`take`](Self::take) should be called; `None` when there is nothing to take.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Everything gathered so far, as at most one batch per partition.
    ///
    /// `wall_ms` is the edge's wall clock in milliseconds since the Unix epoch, `dropped` how many answers the edge has
    /// lost since it started.
    pub fn take(&mut self, now: Duration, wall_ms: i64, dropped: u64) -> Vec<(u16, TelemetryBatch)> {
        if self.due.take().is_none() {
            return Vec::new();
        }
        let linger = self.config.linger;
        self.good_after = now + self.config.good_linger;
        // A flood that fills the batcher faster than once per linger owes no more than that.
        let most = now + linger.saturating_mul(self.config.burst) + linger;
        self.paid_until = (self.paid_until.max(now) + linger).min(most);
        let mut parts: BTreeMap<u16, (Vec<TelemetryEvent>, Vec<SourceCount>)> = BTreeMap::new();
        for count in self.counts.drain().map(|(_, count)| count) {
            parts
                .entry(count.source.partition(PARTITIONS))
                .or_default()
                .1
                .push(count);
        }
        self.matches = 0;
        for event in self.events.drain(..) {
            parts
                .entry(self.sources.of(event.client).partition(PARTITIONS))
                .or_default()
                .0
                .push(event);
        }
        let batch = |(partition, (events, counts))| {
            let next: &mut u64 = &mut self.sequences[usize::from(partition)];
            let sequence = *next;
            *next += 1;
            let Identity {
                edge_id,
                boot_id,
                upstreams,
            } = self.identity.clone();
            let batch = TelemetryBatch {
                edge_id,
                boot_id,
                sequence,
                sent_at_ms: wall_ms,
                dropped_before: dropped,
                upstreams,
                events,
                counts,
            };
            (partition, batch)
        };
        parts.into_iter().map(batch).collect()
    }
}
