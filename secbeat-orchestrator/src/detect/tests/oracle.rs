//! The detector against one that keeps every timestamp.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Keeps everything and counts by hand. Times in milliseconds.
#[derive(Default)]
struct Naive {
    errors: HashMap<Prefix, Log>,
    requests: HashMap<Prefix, Log>,
    /// When each source was seen as a peer, since its windows were last emptied.
    peers: HashMap<Prefix, Vec<i64>>,
    waf: HashMap<Prefix, Log>,
    ignore_before: HashMap<Prefix, i64>,
    ignore_forwarded_before: HashMap<Prefix, i64>,
    answers: Vec<(Sighting, bool)>,
}

#[derive(Default)]
struct Log {
    times: Vec<i64>,
    latest: Option<i64>,
}

impl Log {
    fn push(&mut self, at_ms: i64, n: u32) {
        self.times.extend((0..n).map(|_| at_ms));
        self.latest = self.latest.max(Some(at_ms));
    }

    fn judge(&self, Threshold { count, window }: Threshold) -> Option<(u32, i64)> {
        let t = self.latest?;
        let start = t - i64::try_from(window.as_millis()).unwrap();
        let inside = self.times.iter().filter(|at| **at > start && **at <= t).count();
        let inside = u32::try_from(inside).unwrap();
        (inside >= count.get()).then_some((inside, t))
    }
}

impl Naive {
    fn blames(&self, sighting: Sighting) -> bool {
        let here = || {
            self.answers
                .iter()
                .filter(|(s, _)| s.upstream == sighting.upstream)
        };
        let second = |s: &Sighting| s.at_ms.div_euclid(1000);
        let latest = here()
            .map(|(s, _)| second(s))
            .max()
            .unwrap_or(i64::MIN)
            .max(second(&sighting));
        let others = || here().filter(|(s, _)| s.source != sighting.source && second(s) > latest - 10);
        let failed = others().filter(|(_, failed)| *failed).count();
        others().count() >= 1 && 2 * failed < others().count()
    }

    fn observe(
        &mut self,
        config: &DetectConfig,
        sighting: Sighting,
        status: Option<u16>,
        requests: u32,
        server_errors: u32,
    ) -> Option<Finding> {
        let Sighting { source, at_ms, .. } = sighting;
        self.answers
            .extend((0..requests).map(|n| (sighting, n < server_errors)));
        let is_error = status.is_some_and(|status| {
            (400..500).contains(&status) || ((500..600).contains(&status) && self.blames(sighting))
        });
        if self.ignores(sighting) {
            return None;
        }
        if is_error || requests > 0 {
            self.note_peer(sighting);
        }
        let mut error = None;
        if is_error {
            let log = self.errors.entry(source).or_default();
            log.push(at_ms, 1);
            error = log
                .judge(config.error_flood)
                .map(|hit| self.found(source, Rule::ErrorFlood, config.error_flood, hit));
        }
        let mut request = None;
        if requests > 0 {
            let log = self.requests.entry(source).or_default();
            log.push(at_ms, requests);
            request = log
                .judge(config.request_flood)
                .map(|hit| self.found(source, Rule::RequestFlood, config.request_flood, hit));
        }
        let finding = error.or(request);
        if finding.is_some() {
            self.empty(source);
        }
        finding
    }

    fn observe_waf(&mut self, config: &DetectConfig, sighting: Sighting, counts: bool) -> Option<Finding> {
        if !counts || self.ignores(sighting) {
            return None;
        }
        self.note_peer(sighting);
        let threshold = config.waf_flood.threshold;
        let log = self.waf.entry(sighting.source).or_default();
        log.push(sighting.at_ms, 1);
        let hit = log.judge(threshold)?;
        let finding = self.found(sighting.source, Rule::WafFlood, threshold, hit);
        self.empty(sighting.source);
        Some(finding)
    }

    fn ignores(&self, sighting: Sighting) -> bool {
        let before = |times: &HashMap<Prefix, i64>| {
            times
                .get(&sighting.source)
                .is_some_and(|until| sighting.at_ms < *until)
        };
        let is_peer = sighting.learned_from == LearnedFrom::Peer;
        before(&self.ignore_before) || (!is_peer && before(&self.ignore_forwarded_before))
    }

    fn note_peer(&mut self, sighting: Sighting) {
        if sighting.learned_from == LearnedFrom::Peer {
            self.peers
                .entry(sighting.source)
                .or_default()
                .push(sighting.at_ms);
        }
    }

    fn found(&self, source: Prefix, rule: Rule, threshold: Threshold, (count, at_ms): (u32, i64)) -> Finding {
        let start = at_ms - i64::try_from(threshold.window.as_millis()).unwrap();
        let mut peers = self.peers.get(&source).into_iter().flatten();
        Finding {
            source,
            rule,
            count,
            window: threshold.window,
            at_ms,
            layer: match peers.any(|at| *at > start) {
                true => Layer::Kernel,
                false => Layer::L7,
            },
        }
    }

    fn empty(&mut self, source: Prefix) {
        for logs in [&mut self.errors, &mut self.requests, &mut self.waf] {
            logs.entry(source).or_default().times.clear();
        }
        self.peers.remove(&source);
    }

    fn ban(&mut self, source: Prefix, until_ms: i64, layer: Layer) {
        self.empty(source);
        match layer {
            Layer::Kernel => {
                self.ignore_before.insert(source, until_ms);
                self.ignore_forwarded_before.remove(&source);
            }
            Layer::L7 => {
                self.ignore_forwarded_before.insert(source, until_ms);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Error { status: u16 },
    Requests { requests: u32, server_errors: u32 },
    Answer { status: u16 },
    Waf { counts: bool },
    Ban { ms: i64, layer: Layer },
    Unban,
    Cleanup,
}

fn any_step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![Just(200u16), Just(404), Just(403), Just(500), Just(503)];
    prop_oneof![
        6 => status.clone().prop_map(|status| Step::Error { status }),
        6 => (0..4u32, 0..4u32).prop_map(|(requests, server_errors)| Step::Requests {
            requests,
            server_errors: server_errors.min(requests),
        }),
        12 => status.prop_map(|status| Step::Answer { status }),
        8 => prop::bool::weighted(0.8).prop_map(|counts| Step::Waf { counts }),
        1 => (0..3000i64, prop_oneof![Just(Layer::Kernel), Just(Layer::L7)])
            .prop_map(|(ms, layer)| Step::Ban { ms, layer }),
        1 => Just(Step::Unban),
        1 => Just(Step::Cleanup),
    ]
}

/// (source, upstream, time past the clock of the sequence so far, how the source was learned, what)
fn any_steps() -> impl Strategy<Value = Vec<(u32, u32, i64, LearnedFrom, Step)>> {
    let learned_from = prop_oneof![
        Just(LearnedFrom::Peer),
        Just(LearnedFrom::Header),
        Just(LearnedFrom::ProxyProtocol)
    ];
    // Mostly in order, often at the same time, sometimes late by up to three windows.
    let advance = prop_oneof![4 => Just(0i64), 8 => 0..200i64, 3 => -900..0i64, 1 => -6000..6000i64];
    prop::collection::vec((0..4u32, 0..2u32, advance, learned_from, any_step()), 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn verdicts_equal_those_of_a_detector_that_keeps_every_timestamp(
        steps in any_steps(),
        errors in 1..6u32,
        error_window in 1..2500u64,
        requests in 1..10u32,
        request_window in 1..2500u64,
        waf_events in 1..6u32,
        waf_window in 1..2500u64,
        // How the caller answers a finding: a ban of so many milliseconds, or none.
        ban in prop::option::of(0..2000i64),
        partitions in 1..5u16,
    ) {
        let config = DetectConfig {
            error_flood: threshold(errors, error_window),
            request_flood: threshold(requests, request_window),
            waf_flood: WafFlood { threshold: threshold(waf_events, waf_window), ..WafFlood::default() },
            partitions,
            ..DetectConfig::default()
        };
        let mut detector = Detector::new(config.clone());
        let mut naive = Naive::default();
        let mut clock = 0;
        for (index, (n, upstream, advance, learned_from, step)) in steps.into_iter().enumerate() {
            let sighting =
                Sighting { upstream: UpstreamId(upstream), learned_from, ..at(source(n), clock + advance) };
            clock = clock.max(sighting.at_ms);
            let Sighting { source, at_ms, .. } = sighting;
            let (got, expected) = match step {
                Step::Error { status } =>
                    (detector.observe_error(sighting, status), naive.observe(&config, sighting, Some(status), 0, 0)),
                Step::Requests { requests, server_errors } => (
                    detector.observe_requests(sighting, Tally { requests, server_errors }),
                    naive.observe(&config, sighting, None, requests, server_errors),
                ),
                Step::Answer { status } => (
                    detector.observe_answer(sighting, status),
                    naive.observe(&config, sighting, Some(status), 1, u32::from(status >= 500)),
                ),
                Step::Waf { counts } => (
                    detector.observe_waf(&waf_event(source, learned_from, counts), at_ms),
                    naive.observe_waf(&config, sighting, counts),
                ),
                Step::Ban { ms, layer } => {
                    detector.ignore_until(source, at_ms + ms, layer);
                    naive.ban(source, at_ms + ms, layer);
                    (None, None)
                }
                Step::Unban => {
                    detector.forget(source, at_ms);
                    naive.ban(source, at_ms + 1, Layer::Kernel);
                    (None, None)
                }
                // The greatest lateness above.
                Step::Cleanup => { detector.cleanup(clock - 12_000); (None, None) }
            };
            prop_assert_eq!(got, expected, "step {}: {:?} {:?}", index, sighting, step);
            if let (Some(found), Some(ban)) = (got, ban) {
                detector.ignore_until(found.source, found.at_ms + ban, found.layer);
                naive.ban(found.source, found.at_ms + ban, found.layer);
            }
        }
    }
}
