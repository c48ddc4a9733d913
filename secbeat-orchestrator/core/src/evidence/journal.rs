//! The most recent events of all sources.

use std::net::{IpAddr, Ipv6Addr};

use ahash::RandomState;
use secbeat_common::{
    prefix::Prefix,
    wire::{
        LearnedFrom, MatchedSignature, SeenEvent, SeenWhat, ServiceClass, ServiceEvent, TelemetryEvent,
        UNREADABLE, WafEvent, WafOutcome,
    },
};

use super::texts::{Mark, Texts};

/// Memory of a journal unless the config says otherwise, in bytes: some 400,000 events.
pub const DEFAULT_MEMORY: usize = 64 * 1024 * 1024;
/// The least memory of a journal, in bytes.
pub const MIN_MEMORY: usize = 64 * 1024;
/// What an event takes on average, its texts included.
const BYTES_PER_EVENT: usize = 160;
/// Longest host, user agent and message that are kept, in bytes.
const MAX_DETAIL: usize = 128;
/// Longest edge id and method that are kept, in bytes.
const MAX_NAME: usize = 64;
/// Longest list of signatures that is kept, in bytes: some four of them.
const MAX_RECOGNISED: usize = u8::MAX as usize;
/// Events that one look-up steps over at most: those of a busy source may lie in the same bucket.
const MAX_STEPS: usize = 20_000;

/// A ring of events. Who was seen in which is found as matches are in LZ77: an array of heads by hash of the source has
/// the latest event of each bucket, and every event knows the one before it in its bucket.
///
/// No event costs more than its place, no matter who sends it, and a flood of new sources replaces nothing but old events.
#[derive(Debug)]
pub struct Journal {
    /// Seeded, since clients choose their addresses.
    hasher: RandomState,
    /// The number of each bucket's latest event; 0 before the first. A power of two of them.
    heads: Box<[u64]>,
    /// Event n lies at n - 1 modulo `slots`.
    records: Vec<Record>,
    slots: usize,
    texts: Texts,
    /// The latest event's number; the first is 1.
    latest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    at_ms: i64,
    /// As IPv6, IPv4 mapped into it.
    client: [u8; 16],
    texts: Mark,
    /// Number of events from the one before it in its bucket to this one; 0 if that is gone.
    before: u32,
    /// The status, or the WAF's rule; 0 for none.
    code: u32,
    /// Lengths of the edge's id, the method, the path, the host, the user agent or message, and the signatures.
    lens: (u8, u8, u16, u8, u8, u8),
    learned_from: LearnedFrom,
    of: Of,
    cross_site: bool,
}

/// What told of an event.
#[derive(Clone, Copy, Debug)]
enum Of {
    Answer,
    Waf(WafOutcome),
    /// Its texts are: the edge, the kind of line, the user, the service, and nothing.
    Service(ServiceClass),
}

impl Record {
    const EMPTY: Self = Self {
        at_ms: 0,
        client: [0; 16],
        texts: Mark::NOWHERE,
        before: 0,
        code: 0,
        lens: (0, 0, 0, 0, 0, 0),
        learned_from: LearnedFrom::Peer,
        of: Of::Answer,
        cross_site: false,
    };

    fn client(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.client)).to_canonical()
    }
}

impl Journal {
    /// A journal in `memory` bytes, at least [`MIN_MEMORY`]; the system gives them page by page as they are used.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        let memory = memory.max(MIN_MEMORY);
        let slots = memory / BYTES_PER_EVENT;
        let heads = slots.next_power_of_two() / 2;
        let texts = memory - slots * size_of::<Record>() - heads * size_of::<u64>();
        Self {
            hasher: RandomState::new(),
            heads: vec![0; heads].into_boxed_slice(),
            records: Vec::with_capacity(slots),
            slots,
            texts: Texts::new(texts),
            latest: 0,
        }
    }

    /// Notes an answer to a client of `source` at `at_ms`, reported by `edge`.
    pub fn answer(&mut self, source: &Prefix, at_ms: i64, edge: &str, event: &TelemetryEvent) {
        self.push(
            source,
            Record {
                at_ms,
                client: octets(event.client),
                code: u32::from(event.status),
                learned_from: event.learned_from,
                cross_site: event.cross_site,
                ..Record::EMPTY
            },
            [
                edge,
                &event.method,
                &event.path,
                &event.host,
                &event.user_agent,
                &written(&event.signatures),
            ],
        );
    }

    /// Notes that a firewall objected to a client of `source` at `at_ms`, reported by `edge`.
    pub fn waf(&mut self, source: &Prefix, at_ms: i64, edge: &str, event: &WafEvent) {
        self.push(
            source,
            Record {
                at_ms,
                client: octets(event.client),
                code: event.rules.first().map_or(0, |rule| rule.id),
                learned_from: event.learned_from,
                of: Of::Waf(event.outcome),
                ..Record::EMPTY
            },
            [edge, "", &event.uri, &event.host, &event.message, ""],
        );
    }

    /// Notes what the log of a service told of a client of `source` at `at_ms`, reported by `edge`.
    pub fn service(&mut self, source: &Prefix, at_ms: i64, edge: &str, event: &ServiceEvent) {
        self.push(
            source,
            Record {
                at_ms,
                client: octets(event.client),
                learned_from: event.learned_from,
                of: Of::Service(event.class),
                ..Record::EMPTY
            },
            [edge, &event.kind, &event.user, &event.service, "", ""],
        );
    }

    fn push(&mut self, source: &Prefix, record: Record, texts: [&str; 6]) {
        let [edge, method, path, host, detail, signatures] = texts;
        let texts = [
            cut(edge, MAX_NAME),
            cut(method, MAX_NAME),
            secbeat_common::wire::cut(path),
            cut(host, MAX_DETAIL),
            cut(detail, MAX_DETAIL),
            signatures,
        ];
        let [edge, method, path, host, detail, signatures] = texts.map(str::len);
        let bucket = self.bucket(source);
        self.latest += 1;
        let before = self.latest - std::mem::replace(&mut self.heads[bucket], self.latest);
        let record = Record {
            texts: self.texts.push(texts),
            before: match before < self.slots as u64 {
                true => before as u32,
                false => 0,
            },
            // Each was cut to less.
            lens: (
                edge as u8,
                method as u8,
                path as u16,
                host as u8,
                detail as u8,
                signatures as u8,
            ),
            ..record
        };
        match self.slot(self.latest) {
            new if new == self.records.len() => self.records.push(record),
            old => self.records[old] = record,
        }
    }

    /// The events of `source` that are still here, the latest to come first.
    pub fn of(&self, source: &Prefix) -> impl Iterator<Item = SeenEvent> {
        let head = self.heads[self.bucket(source)];
        let step =
            |number: &u64| Some(number - u64::from(self.record(*number)?.before)).filter(|n| n < number);
        std::iter::successors(Some(head), step)
            .take(MAX_STEPS)
            .filter_map(|number| self.record(number))
            .filter(|record| source.contains(record.client()))
            .map(|record| self.event(record))
    }

    /// Returns whose the latest events are, the latest first.
    pub fn clients(&self) -> impl Iterator<Item = IpAddr> {
        let numbers = (1..=self.latest).rev();
        numbers
            .map_while(|number| self.record(number))
            .map(Record::client)
    }

    /// Events noted since the start.
    #[must_use]
    pub const fn noted(&self) -> u64 {
        self.latest
    }

    /// Events that are still here.
    #[must_use]
    pub fn len(&self) -> usize {
        let (mut gone, mut here) = (self.latest.saturating_sub(self.slots as u64), self.latest);
        while gone < here {
            let middle = gone + (here - gone) / 2 + 1;
            match self.record(middle) {
                Some(_) => here = middle - 1,
                None => gone = middle,
            }
        }
        (self.latest - gone) as usize
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.latest == 0
    }

    /// Event `number`, if it and its texts are still here.
    fn record(&self, number: u64) -> Option<&Record> {
        let is_here = number > 0 && number <= self.latest && number + self.slots as u64 > self.latest;
        let record = is_here.then(|| &self.records[self.slot(number)])?;
        self.texts.holds(record.texts).then_some(record)
    }

    fn event(&self, record: &Record) -> SeenEvent {
        let (edge, method, path, host, detail, signatures) = record.lens;
        let lens = [
            edge.into(),
            method.into(),
            path.into(),
            host.into(),
            detail.into(),
            signatures.into(),
        ];
        let [edge, method, path, host, detail, signatures] =
            self.texts.get(record.texts, lens).map(str::to_owned);
        let what = match record.of {
            Of::Service(class) => {
                return SeenEvent {
                    at_ms: record.at_ms,
                    edge,
                    client: record.client(),
                    learned_from: record.learned_from,
                    what: SeenWhat::Service {
                        service: host,
                        class,
                        kind: method,
                        user: path,
                    },
                    path: String::new(),
                    host: String::new(),
                    signatures: Vec::new(),
                    cross_site: false,
                };
            }
            Of::Answer if record.code == u32::from(UNREADABLE) => SeenWhat::Unreadable {
                method,
                user_agent: detail,
            },
            Of::Answer => SeenWhat::Answer {
                status: record.code as u16,
                method,
                user_agent: detail,
            },
            Of::Waf(outcome) => SeenWhat::Waf {
                rule: Some(record.code).filter(|rule| *rule != 0),
                outcome,
                message: detail,
            },
        };
        SeenEvent {
            at_ms: record.at_ms,
            edge,
            client: record.client(),
            learned_from: record.learned_from,
            what,
            path,
            host,
            signatures: read(&signatures),
            cross_site: record.cross_site,
        }
    }

    fn bucket(&self, source: &Prefix) -> usize {
        (self.hasher.hash_one(source) & (self.heads.len() as u64 - 1)) as usize
    }

    fn slot(&self, number: u64) -> usize {
        ((number - 1) % self.slots as u64) as usize
    }
}

/// The first signatures that fit, as `id class severity,…`.
fn written(signatures: &[MatchedSignature]) -> String {
    let mut list = String::new();
    for MatchedSignature { id, class, severity } in signatures {
        let comma = if list.is_empty() { "" } else { "," };
        let next = format!("{comma}{id} {class} {severity}");
        if list.len() + next.len() > MAX_RECOGNISED {
            break;
        }
        list.push_str(&next);
    }
    list
}

/// The inverse of [`written`], for words without blanks and commas, as those of all signatures are.
fn read(list: &str) -> Vec<MatchedSignature> {
    let signature = |text: &str| {
        let mut words = text.splitn(3, ' ').map(str::to_owned);
        Some(MatchedSignature {
            id: words.next()?,
            class: words.next()?,
            severity: words.next()?,
        })
    };
    list.split(',').filter_map(signature).collect()
}

fn octets(client: IpAddr) -> [u8; 16] {
    match client {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
