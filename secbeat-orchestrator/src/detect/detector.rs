//! The detector.

use secbeat_common::{
    prefix::Prefix,
    wire::{Layer, WafEvent},
};

use super::{
    DetectConfig, Finding, Rule, Sighting, Tally, Threshold,
    outage::OutageGuard,
    shard::{Class, Seen, Shard, Source},
    window::{Crossing, Limit},
};

/// Finds sources that cross a threshold.
///
/// A finding empties all windows of its source. What follows from it is the caller's: after a ban, tell
/// [`ignore_until`](Self::ignore_until); without one, the source simply starts again at zero.
#[derive(Debug)]
pub struct Detector {
    config: DetectConfig,
    error_limit: Limit,
    request_limit: Limit,
    waf_limit: Limit,
    shards: Vec<Shard>,
    guard: OutageGuard,
    excused: u64,
}

/// The detector in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sources seen in one request so far.
    pub seen_once: usize,
    /// Sources seen more often.
    pub returning: usize,
    /// Sources banned before.
    pub convicted: usize,
    /// Sources that went because of the ceiling, since the start.
    pub evicted: u64,
    /// 5xx answers that did not count because of the outage guard, since the start.
    pub excused: u64,
}

impl Detector {
    #[must_use]
    pub fn new(config: DetectConfig) -> Self {
        let partitions = config.partitions.max(1);
        let ceiling = config.max_sources / usize::from(partitions);
        Self {
            error_limit: config.error_flood.into(),
            request_limit: config.request_flood.into(),
            waf_limit: config.waf_flood.threshold.into(),
            shards: (0..partitions).map(|_| Shard::new(ceiling)).collect(),
            guard: OutageGuard::default(),
            excused: 0,
            config,
        }
    }

    /// One answer with a status of 400–599; others, and excluded ones, are ignored. A 5xx counts only while its
    /// upstream mostly answers others well, so report requests before errors.
    pub fn observe_error(&mut self, sighting: Sighting, status: u16) -> Option<Finding> {
        if !self.counts(sighting, status) {
            return None;
        }
        let (limit, threshold) = (self.error_limit, self.config.error_flood);
        let Sighting { source, at_ms, .. } = sighting;
        self.shard(&source).observe(sighting, |entry| {
            let crossing = entry.errors.record(at_ms, 1, limit)?;
            Some(finding(source, entry, Rule::ErrorFlood, crossing, threshold))
        })
    }

    /// Requests of one source at one upstream and time, all of them. They are judged together: a finding's count may
    /// exceed the threshold.
    pub fn observe_requests(&mut self, sighting: Sighting, tally: Tally) -> Option<Finding> {
        if tally.requests == 0 {
            return None;
        }
        self.guard.record(sighting, tally);
        let (limit, threshold) = (self.request_limit, self.config.request_flood);
        let Sighting { source, at_ms, .. } = sighting;
        self.shard(&source).observe(sighting, |entry| {
            let crossing = entry.requests.record(at_ms, tally.requests, limit)?;
            Some(finding(source, entry, Rule::RequestFlood, crossing, threshold))
        })
    }

    /// One complete request with its answer. If it makes both rules fire, the finding is
    /// [`Rule::ErrorFlood`].
    pub fn observe_answer(&mut self, sighting: Sighting, status: u16) -> Option<Finding> {
        let server_errors = u32::from((500..=599).contains(&status));
        self.guard.record(
            sighting,
            Tally {
                requests: 1,
                server_errors,
            },
        );
        let is_error = self.counts(sighting, status);
        let (error_limit, request_limit) = (self.error_limit, self.request_limit);
        let (error_flood, request_flood) = (self.config.error_flood, self.config.request_flood);
        let Sighting { source, at_ms, .. } = sighting;
        self.shard(&source).observe(sighting, |entry| {
            let errors = is_error
                .then(|| entry.errors.record(at_ms, 1, error_limit))
                .flatten();
            let requests = entry.requests.record(at_ms, 1, request_limit);
            match (errors, requests) {
                (Some(crossing), _) => Some(finding(source, entry, Rule::ErrorFlood, crossing, error_flood)),
                (None, Some(crossing)) => Some(finding(
                    source,
                    entry,
                    Rule::RequestFlood,
                    crossing,
                    request_flood,
                )),
                (None, None) => None,
            }
        })
    }

    /// One transaction in which the rules of a web application firewall matched, at `at_ms` (milliseconds since the Unix
    /// epoch); ignored if none of them [counts](super::WafFlood::counts).
    pub fn observe_waf(&mut self, event: &WafEvent, at_ms: i64) -> Option<Finding> {
        if !self.config.waf_flood.counts(event) {
            return None;
        }
        let (limit, threshold) = (self.waf_limit, self.config.waf_flood.threshold);
        let source = Prefix::of_source(event.client);
        let seen = Seen {
            source,
            at_ms,
            learned_from: event.learned_from,
        };
        self.shard(&source).observe(seen, |entry| {
            let crossing = entry.waf().record(at_ms, 1, limit)?;
            Some(finding(source, entry, Rule::WafFlood, crossing, threshold))
        })
    }

    /// Length of the window of [`observe_waf`](Self::observe_waf), in milliseconds.
    #[must_use]
    pub const fn waf_window_ms(&self) -> i64 {
        self.waf_limit.window_ms
    }

    /// `source` is banned at `layer` until `until_ms`: its windows are emptied and its events before that time ignored.
    /// A ban at L7 alone goes on with what the source does as a TCP peer, since that can lead to a ban in the kernel.
    /// The last call counts, so a shortened ban shortens this too. `source` is kept until then even if it was never
    /// seen. A network is no source: what is found in it, the ledger knows to be banned.
    pub fn ignore_until(&mut self, source: Prefix, until_ms: i64, layer: Layer) {
        if !source.is_source() {
            return;
        }
        let shard = self.shard(&source);
        match layer {
            Layer::Kernel => shard.ignore_before(source, until_ms),
            Layer::L7 => shard.ignore_forwarded_before(source, until_ms),
        }
    }

    /// `target` was unbanned at `at_ms`: its windows are emptied, its events up to and at that time are ignored, and
    /// later ones count again. Of a network, those of all sources in it that were seen.
    pub fn forget(&mut self, target: Prefix, at_ms: i64) {
        if target.is_source() {
            return self.shard(&target).forget(target, at_ms);
        }
        for shard in &mut self.shards {
            for source in shard.within(&target) {
                shard.forget(source, at_ms);
            }
        }
    }

    /// Removes sources whose latest event left the longest window and whose ban is past; returns how many. Verdicts
    /// stay exact if no event older than `now_ms` comes afterwards, so pass the clock less the greatest lateness.
    pub fn cleanup(&mut self, now_ms: i64) -> usize {
        let limits = [self.error_limit, self.request_limit, self.waf_limit];
        let longest_ms = limits.map(|limit| limit.window_ms).into_iter().max().unwrap_or(0);
        let seen_by_ms = now_ms.saturating_sub(longest_ms);
        self.shards
            .iter_mut()
            .map(|shard| shard.cleanup(seen_by_ms, now_ms))
            .sum()
    }

    /// Sources tracked now.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }

    /// Sources taken up since the start; one that went and came back was taken up twice.
    #[must_use]
    pub fn admitted(&self) -> u64 {
        self.shards.iter().map(Shard::admitted).sum()
    }

    /// Sources that went because of the ceiling, since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.shards.iter().map(Shard::evicted).sum()
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let class = |class| self.shards.iter().map(|shard| shard.class_len(class)).sum();
        Stats {
            seen_once: class(Class::Once),
            returning: class(Class::Returning),
            convicted: class(Class::Convicted),
            evicted: self.evicted(),
            excused: self.excused,
        }
    }

    /// Whether an answer counts as an error of the source.
    fn counts(&mut self, sighting: Sighting, status: u16) -> bool {
        if self.config.excluded_statuses.contains(&status) {
            return false;
        }
        match status {
            400..=499 => true,
            500..=599 => {
                let blamed = self.guard.blames(sighting);
                self.excused += u64::from(!blamed);
                blamed
            }
            _ => false,
        }
    }

    fn shard(&mut self, source: &Prefix) -> &mut Shard {
        let index = match self.config.partitions {
            0 | 1 => 0,
            partitions => source.partition(partitions),
        };
        &mut self.shards[usize::from(index)]
    }
}

fn finding(
    source: Prefix,
    entry: &mut Source,
    rule: Rule,
    crossing: Crossing,
    threshold: Threshold,
) -> Finding {
    let layer = entry.layer_since(crossing.at_ms.saturating_sub(Limit::from(threshold).window_ms));
    entry.clear();
    Finding {
        source,
        rule,
        count: crossing.count,
        window: threshold.window,
        at_ms: crossing.at_ms,
        layer,
    }
}
