//! The upstream-error guard: what a server does to most of its clients is not their fault.

mod table;
mod upstream;

use ahash::RandomState;
use hashlink::LinkedHashMap;
use secbeat_common::{prefix::Prefix, rules::Target};

use self::upstream::Upstream;
use super::{
    Excused, Sighting, Tally, UpstreamId,
    shape::{Failure, Shape, Shapes},
    upstreams::MAX_UPSTREAMS,
};

/// Clients of one upstream that are known at a time; of more, a sample is known.
const MAX_CLIENTS: usize = 1024;
/// So many others have to meet a failure on paths of one shape while they are answered well elsewhere: two or three do
/// not suffice.
const SERVED_WITNESSES: u32 = 3;
/// So many others, if they get nothing but errors, as scanners do.
const WITNESSES: u32 = 20;
/// Sources of which it is known that something was excused.
const MAX_EXCUSED: usize = 4096;

/// Knows how each upstream lately answered whom.
///
/// "Lately" is the latest second seen of that upstream and the nine before it. Memory is bounded: 1024 upstreams (past that the one
/// not seen longest is forgotten), and 1024 clients of each, past which a sample of them stands for all.
#[derive(Debug)]
pub(super) struct OutageGuard {
    upstreams: LinkedHashMap<UpstreamId, Upstream, RandomState>,
    max_upstreams: usize,
    max_clients: usize,
    shapes: Shapes,
    /// Who is in a sample. No client may know, since it could choose its addresses.
    sample: RandomState,
    excused: LinkedHashMap<Prefix, Excused, RandomState>,
}

impl Default for OutageGuard {
    fn default() -> Self {
        Self {
            upstreams: LinkedHashMap::default(),
            max_upstreams: MAX_UPSTREAMS,
            max_clients: MAX_CLIENTS,
            shapes: Shapes::default(),
            sample: RandomState::new(),
            excused: LinkedHashMap::default(),
        }
    }
}

/// One failure, as it was noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    failure: Failure,
    shape: Shape,
}

impl OutageGuard {
    /// One that takes the same sample in each process, for logs.
    pub(super) fn reproducible(mut self) -> Self {
        self.sample = RandomState::with_seeds(1, 2, 3, 4);
        self
    }

    /// Notes answers; those ten or more seconds older than the upstream's latest are ignored.
    pub(super) fn record(&mut self, sighting: Sighting, tally: Tally) {
        let second = sighting.at_ms.div_euclid(1000);
        self.enter(sighting.upstream, second);
        if let Some(upstream) = self.upstreams.values_mut().next_back() {
            upstream.record(second, sighting.source, &self.sample, tally);
        }
    }

    /// Notes one answer, if it is a failure; whether the guard [holds](Self::holds) can be asked then.
    pub(super) fn note(&mut self, sighting: Sighting, status: u16, target: &Target<'_>) -> Option<Noted> {
        let failure = Failure::of(status)?;
        let shape = self.shapes.of(failure, target);
        let second = sighting.at_ms.div_euclid(1000);
        self.enter(sighting.upstream, second);
        if let Some(upstream) = self.upstreams.values_mut().next_back() {
            upstream.note(second, sighting.source, &self.sample, shape);
        }
        Some(Noted { failure, shape })
    }

    /// Whether a failure counts against nobody.
    ///
    /// A 5xx does not where no other client was answered lately, or half of the others got a 5xx at least every second time. Any
    /// failure does not where half of the other clients met the same on paths of the same shape, and these are enough.
    pub(super) fn holds(&self, sighting: &Sighting, noted: Noted) -> bool {
        let Noted { failure, shape } = noted;
        let Some(upstream) = self.upstreams.get(&sighting.upstream) else {
            return failure == Failure::Server;
        };
        let others = upstream.others(&sighting.source, shape);
        // Nobody else was answered, or half of them badly.
        if failure == Failure::Server && 2 * others.answered.failing >= others.answered.all {
            return true;
        }
        others.witnesses.is_some_and(|witnesses| {
            let are_enough = witnesses.served >= SERVED_WITNESSES || witnesses.all >= WITNESSES;
            are_enough && 2 * witnesses.all >= others.all
        })
    }

    /// Notes that an answer counted against nobody.
    pub(super) fn excuse(&mut self, sighting: &Sighting, status: u16) {
        let Sighting { source, at_ms, .. } = *sighting;
        let before = self.excused.to_back(&source);
        match before {
            Some(excused) => {
                excused.count += 1;
                excused.status = status;
                excused.at_ms = excused.at_ms.max(at_ms);
            }
            None => {
                if self.excused.len() >= MAX_EXCUSED {
                    self.excused.pop_front();
                }
                let excused = Excused {
                    count: 1,
                    status,
                    at_ms,
                };
                self.excused.insert(source, excused);
            }
        }
    }

    /// Returns what was excused of `source`.
    pub(super) fn excused(&self, source: &Prefix) -> Option<Excused> {
        self.excused.get(source).copied()
    }

    /// Makes sure that `upstream` is known, and is the last in the list.
    fn enter(&mut self, upstream: UpstreamId, second: i64) {
        let last = self.upstreams.back().map(|(last, _)| *last);
        if last == Some(upstream) || self.upstreams.to_back(&upstream).is_some() {
            return;
        }
        if self.upstreams.len() >= self.max_upstreams {
            self.upstreams.pop_front();
        }
        let new = Upstream::new(second, self.max_clients);
        self.upstreams.insert(upstream, new);
    }
}

#[cfg(test)]
impl OutageGuard {
    pub(super) fn with_limits(max_upstreams: usize, max_clients: usize) -> Self {
        Self {
            max_upstreams,
            max_clients,
            ..Self::default()
        }
        .reproducible()
    }

    pub(super) fn clients(&self, upstream: UpstreamId) -> usize {
        self.upstreams.get(&upstream).map_or(0, Upstream::clients)
    }
}
