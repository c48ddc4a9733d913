//! The detector.

use std::{cell::OnceCell, num::NonZeroU32};

use ahash::RandomState;
use secbeat_common::{
    prefix::Prefix,
    rules::{Target, canonical_path, is_aborted, is_error},
    sources::SourceLengths,
    wire::{Layer, MAX_MATCHED, Scope, ServiceEvent, WafEvent},
};

use super::{
    Action, Counts, DetectConfig, Distinct, Excused, MAX_RULES, Request, Rule, RuleConfig, Sighting, Tally,
    WindowCount,
    ahead::{AHEAD, Ahead, Found},
    outage::OutageGuard,
    provider::{ByProvider, OWN_EVENTS, Providers},
    shape::Failure,
    shard::Shard,
    slab::Place,
    source::{Class, Judged, Key, RuleIndex, Seen, Source},
    window::{Crossing, Limit, Tag, Window},
};
use crate::analyzers::{Finding, Why};

/// Finds sources that cross a threshold.
///
/// A finding resets all counters of its source; that of a rule that only observes, its own one. What follows from it
/// is the caller's: after a ban, tell [`ignore_until`](Self::ignore_until), and after one that would have been,
/// [`observe_until`](Self::observe_until); without one, the source starts again at zero.
#[derive(Debug)]
pub struct Detector {
    rules: Vec<Armed>,
    sources: SourceLengths,
    /// Those that count sums of requests.
    of_sums: Rules,
    /// Those that count single answers.
    of_answers: Rules,
    /// Those of them that count failures alone.
    of_failures: Rules,
    shards: Vec<Shard>,
    ahead: Ahead,
    guard: OutageGuard,
    by_provider: ByProvider,
    tags: RandomState,
    excused: u64,
}

/// A rule and its limit.
#[derive(Debug)]
struct Armed {
    config: RuleConfig,
    limit: Limit,
}

/// Some of the rules, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Rules(u64);

impl Rules {
    const fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// In order.
    fn indices(self) -> impl Iterator<Item = RuleIndex> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let index = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(index as RuleIndex)
        })
    }
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
    /// Answers that did not count because of the upstream-error guard, since the start.
    pub excused: u64,
}

impl Detector {
    #[must_use]
    pub fn new(config: DetectConfig) -> Self {
        let partitions = config.partitions.max(1);
        let ceiling = config.max_sources / usize::from(partitions);
        let rules = config.rules.into_iter().take(MAX_RULES);
        let rules: Vec<_> = rules
            .map(|config| Armed {
                limit: config.threshold.into(),
                config,
            })
            .collect();
        let is_apart =
            |rule: &RuleConfig| matches!(rule.counts, Counts::WafEvents(_) | Counts::ServiceEvents(_));
        Self {
            of_sums: select(&rules, RuleConfig::counts_all_requests),
            of_answers: select(&rules, |rule| !rule.counts_all_requests() && !is_apart(rule)),
            of_failures: select(&rules, RuleConfig::counts_failures_alone),
            rules,
            sources: config.sources,
            shards: (0..partitions).map(|_| Shard::new(ceiling)).collect(),
            ahead: Ahead::default(),
            guard: OutageGuard::default(),
            by_provider: ByProvider::default(),
            tags: RandomState::new(),
            excused: 0,
        }
    }

    /// Returns what counts as one source.
    #[must_use]
    pub const fn sources(&self) -> SourceLengths {
        self.sources
    }

    /// Says whose events come next, at most [`AHEAD`] of them: what is known of these sources is fetched from memory together,
    /// in a fraction of the time that it takes one after the other. Changes no verdict.
    pub fn expect(&mut self, sources: impl Iterator<Item = Prefix>) {
        // Each step alone for all of them, so that the processor need not wait for one before it asks for the next.
        let mut wanted = [None; AHEAD];
        for (source, wanted) in sources.zip(&mut wanted) {
            let Some(key) = Key::of(&source) else { continue };
            *wanted = Some((
                key,
                match self.ahead.get(key) {
                    Some(found) => Prefetch::Known(found),
                    None => {
                        let shard = self.shard_of(&source);
                        Prefetch::At(shard, self.shards[shard].hash(key))
                    }
                },
            ));
        }
        // Nothing is decided by what is read here: a wrong guess would cost all that was asked for after it.
        let read = wanted.iter().flatten().map(|(_, wanted)| match wanted {
            Prefetch::Known(known) => self.shards[usize::from(known.shard)].touch(known.place),
            Prefetch::At(shard, hash) => self.shards[*shard].touch_slot(*hash),
        });
        std::hint::black_box(read.fold(0, usize::wrapping_add));
        let mut found = [None; AHEAD];
        for (wanted, found) in wanted.into_iter().zip(&mut found) {
            *found = wanted.and_then(|(key, wanted)| {
                let (shard, hash) = match wanted {
                    Prefetch::At(shard, hash) => (shard, hash),
                    Prefetch::Known(known) => {
                        let shard = usize::from(known.shard);
                        let of = self.shards.get(shard)?;
                        if of.holds(known.place, key) {
                            return Some((shard, known.place));
                        }
                        (shard, of.hash(key))
                    }
                };
                let place = self.shards.get(shard)?.presumed(hash)?;
                self.ahead.note(key, shard as u16, place);
                Some((shard, place))
            });
        }
        for touch in [
            Shard::touch as fn(&Shard, Place) -> usize,
            Shard::touch_neighbours,
            Shard::touch_windows,
            Shard::touch_events,
        ] {
            let places = found.iter().flatten();
            let touched = places.map(|(shard, place)| touch(&self.shards[*shard], *place));
            std::hint::black_box(touched.fold(0, usize::wrapping_add));
        }
    }

    /// One request with its answer, apart from the [sum](Self::observe_requests) that it is in. A failure counts against its
    /// source only while its upstream does not answer most others so.
    pub fn observe_event(&mut self, sighting: Sighting, request: &Request<'_>) -> Option<Finding> {
        if !self.sources.is_source(&sighting.source) {
            return None;
        }
        let rules = self.asking_for(sighting, request);
        self.record(sighting, rules, 1, request)
    }

    /// Requests of one source at one upstream and time, all of them. They are judged together: a finding's count may
    /// exceed the threshold.
    pub fn observe_requests(&mut self, sighting: Sighting, tally: Tally) -> Option<Finding> {
        if tally.requests == 0 || !self.sources.is_source(&sighting.source) {
            return None;
        }
        self.guard.record(sighting, tally);
        self.record(sighting, self.of_sums, tally.requests, &Request::default())
    }

    /// One complete request with its answer: [`observe_requests`](Self::observe_requests) and
    /// [`observe_event`](Self::observe_event) as one event.
    pub fn observe_answer(&mut self, sighting: Sighting, request: &Request<'_>) -> Option<Finding> {
        if !self.sources.is_source(&sighting.source) {
            return None;
        }
        let server_errors = u32::from((500..=599).contains(&request.status));
        let tally = Tally {
            requests: 1,
            errors: u32::from(is_error(request.status)),
            server_errors,
        };
        self.guard.record(sighting, tally);
        let asked = self.asked(request.status);
        if asked.or(self.of_sums).0 == 0 && Failure::of(request.status).is_none() {
            return None;
        }
        let rules = self.asking_for(sighting, request).or(self.of_sums);
        self.record(sighting, rules, 1, request)
    }

    /// One transaction in which the rules of a web application firewall matched, at `at_ms` (milliseconds since the Unix
    /// epoch).
    pub fn observe_waf(&mut self, event: &WafEvent, at_ms: i64) -> Option<Finding> {
        let rules = select(&self.rules, |rule| match &rule.counts {
            Counts::WafEvents(filter) => {
                let target = Target::new(&event.uri);
                filter.counts(event)
                    && rule.filter.matches_target(0, "", &target, &event.host)
                    && !rule
                        .excluded
                        .iter()
                        .any(|exclusion| exclusion.matches(0, "", &target, &event.host, ""))
            }
            _ => false,
        });
        let seen = Seen {
            source: self.sources.of(event.client),
            at_ms,
            learned_from: event.learned_from,
        };
        let request = Request {
            path: &event.uri,
            ..Request::default()
        };
        self.record(seen, rules, 1, &request)
    }

    /// Observes what the log of a service reported of a client at `at_ms` (milliseconds since the Unix epoch).
    pub fn observe_service(&mut self, event: &ServiceEvent, at_ms: i64) -> Option<Finding> {
        let rules = select(
            &self.rules,
            |rule| matches!(&rule.counts, Counts::ServiceEvents(filter) if filter.counts(event)),
        );
        let seen = Seen {
            source: self.sources.of(event.client),
            at_ms,
            learned_from: event.learned_from,
        };
        self.record(seen, rules, 1, &Request::default())
    }

    /// `rule`, which observes, would have banned `source` until `until_ms`: it ignores the source's events before that
    /// time, so that it finds as often as it would ban. Nothing follows if the rule bans by now.
    pub fn observe_until(&mut self, source: Prefix, rule: Rule, until_ms: i64) {
        let observes = |armed: &Armed| armed.config.rule == rule && armed.config.action == Action::Observe;
        let index = self.rules.iter().position(observes);
        if let Some(index) = index.filter(|_| self.sources.is_source(&source)) {
            self.shard(&source)
                .observe_until(&source, index as RuleIndex, until_ms);
        }
    }

    /// `source` is banned at `layer` until `until_ms`: its windows are emptied and its events before that time ignored.
    /// A ban at L7 alone goes on with what the source does as a TCP peer, since that can lead to a ban in the kernel.
    /// The last call counts, so a shortened ban shortens this too. `source` is kept until then even if it was never
    /// seen. A network is not a source: what is found in it, the ledger knows to be banned.
    pub fn ignore_until(&mut self, source: Prefix, until_ms: i64, layer: Layer) {
        if !self.sources.is_source(&source) {
            return;
        }
        self.shard(&source).ignore_before(&source, until_ms, layer);
    }

    /// `target` was unbanned at `at_ms`: its windows are emptied, its events up to and at that time are ignored, and
    /// later ones count again. Of a network, those of all sources in it; a part of a source is none.
    pub fn forget(&mut self, target: Prefix, at_ms: i64) {
        if let Some(source) = self.sources.around(&target) {
            if source == target {
                self.shard(&source).forget(&source, at_ms);
            }
            return;
        }
        for shard in &mut self.shards {
            shard.forget_within(target, at_ms);
        }
    }

    /// Forgets all sources of `partition`, because somebody else watches them now.
    pub fn forget_partition(&mut self, partition: u16) {
        if let Some(shard) = self.shards.get_mut(usize::from(partition)) {
            shard.clear();
        }
    }

    /// Removes sources whose latest event left the longest window and whose ban is past; returns how many. Verdicts
    /// stay exact if no event older than `now_ms` comes afterwards, so pass the clock less the greatest lateness.
    pub fn cleanup(&mut self, now_ms: i64) -> usize {
        let windows = self.rules.iter().map(|rule| rule.limit.window_ms);
        let longest_ms = windows.max().unwrap_or(0);
        let seen_by_ms = now_ms.saturating_sub(longest_ms);
        let rules = &self.rules;
        self.by_provider.cleanup(|rule| {
            let rule = rules.get(usize::from(rule));
            rule.map_or(now_ms, |rule| now_ms.saturating_sub(rule.limit.window_ms))
        });
        self.shards
            .iter_mut()
            .map(|shard| shard.cleanup(seen_by_ms, now_ms))
            .sum()
    }

    /// Returns how far `source` is under each rule at `now_ms`, whether it was ever seen or not.
    #[must_use]
    pub fn windows(&self, source: &Prefix, now_ms: i64) -> Vec<WindowCount> {
        let entry = self.shards[self.shard_of(source)].get(source);
        let view = |(index, Armed { config, limit }): (usize, &Armed)| {
            let window = entry.and_then(|entry| entry.window_of(index as RuleIndex));
            let start_ms = now_ms.saturating_sub(limit.window_ms);
            let count = match (window, config.distinct) {
                (None, _) => 0,
                (Some(window), None) => window.since(start_ms).events,
                (Some(window), Some(Distinct::Paths | Distinct::Signatures)) => {
                    window.since(start_ms).entries
                }
                // What others did is nothing to a client that did none of it.
                (Some(window), Some(Distinct::Clients)) => match window.since(start_ms).entries {
                    0 => 0,
                    _ => self.by_provider.count(index as RuleIndex, source, start_ms),
                },
            };
            WindowCount {
                rule: config.rule.into(),
                count,
                threshold: config.threshold.count.get(),
                window: config.threshold.window,
                observe: config.action == Action::Observe,
            }
        };
        self.rules.iter().enumerate().map(view).collect()
    }

    /// Returns what the upstream-error guard excused of `source`, as far as that is remembered.
    #[must_use]
    pub fn excused(&self, source: &Prefix) -> Option<Excused> {
        self.guard.excused(source)
    }

    /// One whose guard takes the same sample of clients in each process, so that the same events lead to the same findings. For logs:
    /// clients that knew the sample could choose their addresses by it.
    #[must_use]
    pub fn reproducible(mut self) -> Self {
        self.guard = self.guard.reproducible();
        self
    }

    /// One whose rules over clients of one provider know providers by `providers`. Without, such rules find nobody.
    #[must_use]
    pub fn with_providers(mut self, providers: Providers) -> Self {
        self.by_provider.providers = providers;
        self
    }

    /// About how many sources were seen in the minute before `now_ms` and had not been banned then, as far as they are
    /// tracked.
    #[must_use]
    pub fn well_behaved(&self, now_ms: i64) -> usize {
        self.shards.iter().map(|shard| shard.well_behaved(now_ms)).sum()
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

    /// The rules for which an answer with that status may count.
    #[inline]
    fn asked(&self, status: u16) -> Rules {
        match is_error(status) || is_aborted(status) {
            true => self.of_answers,
            false => self.of_answers.without(self.of_failures),
        }
    }

    /// The rules for which a single answer counts.
    fn asking_for(&mut self, sighting: Sighting, request: &Request<'_>) -> Rules {
        let target = Target::new(request.path);
        let noted = self.guard.note(sighting, request.status, &target);
        let blamed = OnceCell::new();
        let blames = || *blamed.get_or_init(|| noted.is_none_or(|noted| !self.guard.holds(&sighting, noted)));
        let mut rules = Rules::default();
        for index in self.asked(request.status).indices().map(usize::from) {
            let counts = self
                .rules
                .get(index)
                .is_some_and(|rule| rule.config.counts_answer(request, &target, blames));
            if counts {
                rules.insert(index);
            }
        }
        if blamed.get() == Some(&false) {
            self.excused += 1;
            self.guard.excuse(&sighting, request.status);
        }
        rules
    }

    /// Records `n` events under `rules`, which were such a request, and judges.
    fn record(
        &mut self,
        seen: impl Into<Seen>,
        rules: Rules,
        n: u32,
        request: &Request<'_>,
    ) -> Option<Finding> {
        if rules.0 == 0 {
            return None;
        }
        let seen = seen.into();
        let key = Key::of(&seen.source).filter(|_| self.sources.is_source(&seen.source))?;
        let (shard, hint) = match self.ahead.get(key) {
            Some(found) => (usize::from(found.shard), Some(found.place)),
            None => (self.shard_of(&seen.source), None),
        };
        let (armed, tags, by_provider) = (&self.rules, &self.tags, &mut self.by_provider);
        self.shards.get_mut(shard)?.observe(&seen, key, hint, |entry| {
            let mut fired: Option<(RuleIndex, &Armed, Crossing)> = None;
            let mut holds_several = false;
            for index in rules.indices() {
                let Some(rule) = armed.get(usize::from(index)) else {
                    break;
                };
                let Some(window) = entry.window(index, seen.at_ms) else {
                    continue;
                };
                let crossing = match rule.config.distinct {
                    None => {
                        let crossing = window.record(seen.at_ms, n, rule.limit);
                        holds_several |= window.total() > 1;
                        crossing
                    }
                    Some(Distinct::Paths) => {
                        let crossing =
                            window.record_distinct(seen.at_ms, tag(tags, request.path), rule.limit);
                        holds_several |= window.entries() > 1;
                        crossing
                    }
                    Some(Distinct::Signatures) => {
                        let crossing = tag_of_signatures(tags, &rule.config, request)
                            .and_then(|tag| window.record_distinct(seen.at_ms, tag, rule.limit));
                        holds_several |= window.entries() > 1;
                        crossing
                    }
                    Some(Distinct::Clients) => {
                        let own = Limit {
                            count: OWN_EVENTS,
                            ..rule.limit
                        };
                        let goes_on = window.record(seen.at_ms, n, own);
                        // Whether it goes on does not go by more of them.
                        window.keep_latest(OWN_EVENTS as usize);
                        holds_several |= window.total() > 1;
                        let tag = tag_from(tags.hash_one(seen.source) as u32);
                        let clients = by_provider.record(index, &seen.source, seen.at_ms, tag, rule.limit);
                        goes_on.zip(clients).map(|(own, clients)| Crossing {
                            at_ms: own.at_ms,
                            ..clients
                        })
                    }
                };
                let is_first = fired.is_none_or(|(_, before, _)| {
                    before.config.action == Action::Observe && rule.config.action == Action::Ban
                });
                if let Some(crossing) = crossing.filter(|_| is_first) {
                    fired = Some((index, rule, crossing));
                }
            }
            let verdict = fired.map(|(index, rule, crossing)| finding(&seen, entry, index, rule, crossing));
            Judged {
                verdict,
                holds_several,
            }
        })
    }

    fn shard(&mut self, source: &Prefix) -> &mut Shard {
        let index = self.shard_of(source);
        &mut self.shards[index]
    }

    fn shard_of(&self, source: &Prefix) -> usize {
        match self.shards.len() {
            0 | 1 => 0,
            shards => usize::from(source.partition(shards as u16)),
        }
    }
}

/// A source whose place is fetched ahead of its use.
#[derive(Clone, Copy)]
enum Prefetch {
    /// Its latest place.
    Known(Found),
    /// In this shard, under this hash.
    At(usize, u32),
}

/// The rules for which `wants` holds.
fn select(rules: &[Armed], wants: impl Fn(&RuleConfig) -> bool) -> Rules {
    let mut selected = Rules::default();
    for (index, rule) in rules.iter().enumerate() {
        if wants(&rule.config) {
            selected.insert(index);
        }
    }
    selected
}

/// Returns what a path is counted once by.
fn tag(tags: &RandomState, path: &str) -> Tag {
    tag_of(tags, &canonical_path(path))
}

fn tag_of(tags: &RandomState, name: &[u8]) -> Tag {
    tag_from(tags.hash_one(name) as u32)
}

fn tag_from(hash: u32) -> Tag {
    Tag(NonZeroU32::new(hash).unwrap_or(NonZeroU32::MIN))
}

/// Returns what a request is counted once by where signatures are: the set of those that count. So one request, such as that of a
/// picture on another page, is never several, and what a client adds to all requests hides nothing. Nobody knows what stands
/// behind as many as are told, so the path counts there as well.
fn tag_of_signatures(tags: &RandomState, rule: &RuleConfig, request: &Request<'_>) -> Option<Tag> {
    let ids = rule
        .signatures(request)
        .map(|id| tag_of(tags, id.as_bytes()).0.get());
    let set = ids.reduce(|one, other| one ^ other)?;
    let is_full = request.signatures.len() >= MAX_MATCHED;
    Some(tag_from(match is_full {
        true => set ^ tag(tags, request.path).0.get(),
        false => set,
    }))
}

fn finding(
    seen: &Seen,
    entry: &mut Source,
    index: RuleIndex,
    Armed { config, limit }: &Armed,
    crossing: Crossing,
) -> Finding {
    let layer = entry.layer_since(crossing.at_ms.saturating_sub(limit.window_ms));
    match config.action {
        Action::Ban => entry.clear(),
        Action::Observe => entry
            .window(index, seen.at_ms)
            .into_iter()
            .for_each(Window::clear),
    }
    Finding {
        source: seen.source,
        rule: config.rule,
        at_ms: crossing.at_ms,
        layer,
        why: Why::Threshold {
            count: crossing.count,
            counted: config.counted(),
            window: config.threshold.window,
        },
        action: config.action,
        ban: config.ban,
        scope: Scope::Fleet,
    }
}
