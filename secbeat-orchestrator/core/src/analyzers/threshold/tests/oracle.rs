//! The detector against one that keeps every timestamp.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::{naive_guard::NaiveGuard, *};

/// Keeps everything and counts by hand. Times in milliseconds.
#[derive(Default)]
struct Naive {
    logs: HashMap<(Prefix, Rule), Log>,
    /// When each source was seen as a peer, since its windows were last emptied.
    peers: HashMap<Prefix, Vec<i64>>,
    ignore_before: HashMap<Prefix, i64>,
    ignore_forwarded_before: HashMap<Prefix, i64>,
    guard: NaiveGuard,
}

#[derive(Default)]
struct Log {
    events: Vec<(i64, &'static str)>,
    latest: Option<i64>,
    /// The rule would have banned the source until then.
    observed_until: Option<i64>,
}

impl Log {
    fn judge(&self, rule: &RuleConfig) -> Option<(u32, i64)> {
        let t = self.latest?;
        let start = t - i64::try_from(rule.threshold.window.as_millis()).unwrap();
        let inside = self.events.iter().filter(|(at, _)| *at > start && *at <= t);
        let count = match rule.distinct {
            None => inside.count(),
            Some(Distinct::Paths) => inside.map(|(_, path)| path).collect::<BTreeSet<_>>().len(),
            // These requests match none.
            Some(Distinct::Signatures | Distinct::Clients) => 0,
        };
        let count = u32::try_from(count).unwrap();
        (count >= rule.threshold.count.get()).then_some((count, t))
    }
}

impl Naive {
    /// Whether a single answer counts for `rule`.
    fn counts(&self, rule: &RuleConfig, sighting: Sighting, request: &Request<'_>) -> bool {
        let Request {
            status,
            method,
            path,
            host,
            user_agent,
            signatures: _,
        } = *request;
        let is_failure = (400..600).contains(&status) || status == 0;
        let is_aborted = status == 499 || status == 0;
        let counts = match &rule.counts {
            Counts::Errors => is_failure && !is_aborted,
            Counts::Aborted => is_aborted,
            Counts::ProtocolErrors => method.is_empty() && is_failure && !is_aborted,
            Counts::Requests => true,
            // These requests match none.
            Counts::WafEvents(_) | Counts::ServiceEvents(_) | Counts::Signatures(_) => return false,
        };
        let counts = counts && rule.filter.matches(status, method, path, host);
        let also = rule
            .also
            .iter()
            .any(|also| also.matches(status, method, path, host));
        let excluded = rule.excluded.iter().any(|Exclusion { filter, user_agents }| {
            filter.matches(status, method, path, host)
                && (user_agents.is_empty() || user_agents.iter().any(|part| part.matches(user_agent)))
        });
        let by_status = !counts || rule.counts != Counts::Requests || !rule.filter.statuses.is_empty();
        (counts || also)
            && !excluded
            && !(by_status && is_failure && self.guard.holds(sighting, status, path))
    }

    /// `n` events of `path` under the rules that are `asked`.
    fn observe(
        &mut self,
        config: &DetectConfig,
        sighting: Sighting,
        asked: &[bool],
        n: u32,
        path: &'static str,
    ) -> Option<Finding> {
        let Sighting { source, at_ms, .. } = sighting;
        if n == 0 || !asked.contains(&true) || self.ignores(sighting) {
            return None;
        }
        if sighting.learned_from == LearnedFrom::Peer {
            self.peers.entry(source).or_default().push(at_ms);
        }
        let mut fired = Vec::new();
        for (rule, _) in config.rules.iter().zip(asked).filter(|(_, asked)| **asked) {
            let log = self.logs.entry((source, rule.rule)).or_default();
            if log.observed_until.is_some_and(|until| at_ms < until) {
                continue;
            }
            // An event that is too old changes nothing, and is no occasion to judge.
            let window = i64::try_from(rule.threshold.window.as_millis()).unwrap();
            if log.latest.is_some_and(|latest| at_ms <= latest - window) {
                continue;
            }
            log.events.extend((0..n).map(|_| (at_ms, path)));
            log.latest = log.latest.max(Some(at_ms));
            fired.extend(log.judge(rule).map(|hit| (rule, hit)));
        }
        let bans = |(rule, _): &&(&RuleConfig, _)| rule.action == Action::Ban;
        let (rule, (count, at_ms)) = *fired.iter().find(bans).or(fired.first())?;
        let start = at_ms - i64::try_from(rule.threshold.window.as_millis()).unwrap();
        let mut peers = self.peers.get(&source).into_iter().flatten();
        let finding = Finding {
            source,
            rule: rule.rule,
            why: Why::Threshold {
                count,
                counted: rule.counted(),
                window: rule.threshold.window,
            },
            at_ms,
            layer: match peers.any(|at| *at > start) {
                true => Layer::Kernel,
                false => Layer::L7,
            },
            ban: rule.ban,
            action: rule.action,
            scope: Scope::Fleet,
        };
        match rule.action {
            Action::Ban => self.empty(source),
            Action::Observe => self.logs.entry((source, rule.rule)).or_default().events.clear(),
        }
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

    fn empty(&mut self, source: Prefix) {
        for ((of, _), log) in &mut self.logs {
            if *of == source {
                log.events.clear();
                log.observed_until = None;
            }
        }
        self.peers.remove(&source);
    }

    fn observed(&mut self, source: Prefix, rule: Rule, until_ms: i64) {
        self.logs.entry((source, rule)).or_default().observed_until = Some(until_ms);
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
    Event(Request<'static>),
    Requests(Tally),
    Answer(Request<'static>),
    Waf { counts: bool },
    Ban { ms: i64, layer: Layer },
    Unban,
    Cleanup,
}

const PATHS: [&str; 6] = ["/a", "/login", "/login/b", "/c", "/x/1.js", "/x/y/2.js"];

fn any_request() -> impl Strategy<Value = Request<'static>> {
    let status = prop::sample::select(vec![200u16, 404, 404, 404, 403, 500, 503, 499, 0]);
    let method = prop::sample::select(vec!["GET", "POST"]);
    let host = prop::sample::select(vec!["example.org", "www.example.org"]);
    let agent = prop::sample::select(vec!["curl/8", "Mozilla/5.0"]);
    let path = prop::sample::select(&PATHS[..]);
    (status, method, path, host, agent).prop_map(|(status, method, path, host, user_agent)| Request {
        status,
        method,
        path,
        host,
        user_agent,
        signatures: &[],
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_request().prop_map(Step::Event),
        6 => (0..4u32, 0..4u32, 0..4u32).prop_map(|(requests, errors, server_errors)| Step::Requests(Tally {
            requests,
            errors: errors.min(requests),
            server_errors: server_errors.min(errors).min(requests),
        })),
        12 => any_request().prop_map(Step::Answer),
        8 => prop::bool::weighted(0.8).prop_map(|counts| Step::Waf { counts }),
        1 => (0..3000i64, prop_oneof![Just(Layer::Kernel), Just(Layer::L7)])
            .prop_map(|(ms, layer)| Step::Ban { ms, layer }),
        1 => Just(Step::Unban),
        1 => Just(Step::Cleanup),
    ]
}

/// A source, an upstream, a time past the clock of the sequence so far, how the source was learned, and what was seen; now
/// and then it is told twice.
type Told = (u32, u32, i64, LearnedFrom, Step, bool);

fn any_steps() -> impl Strategy<Value = Vec<Told>> {
    let learned_from = prop_oneof![
        Just(LearnedFrom::Peer),
        Just(LearnedFrom::Header),
        Just(LearnedFrom::ProxyProtocol)
    ];
    // Mostly in order, often at the same time, sometimes late by up to three windows.
    let advance = prop_oneof![4 => Just(0i64), 8 => 0..200i64, 3 => -900..0i64, 1 => -6000..6000i64];
    let again = prop::bool::weighted(0.05);
    prop::collection::vec(
        (0..6u32, 0..2u32, advance, learned_from, any_step(), again),
        1..250,
    )
}

fn any_filter() -> impl Strategy<Value = Match> {
    let lists = (
        prop::sample::select(vec!["", "404", "403-503", "200-299"]),
        prop::sample::select(vec!["", "", "POST"]),
        prop::sample::select(vec!["", "", "/login", "/c*", "*.js"]),
        prop::sample::select(vec!["", "", "*.example.org"]),
    );
    fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
        let texts = Some(text).into_iter().filter(|text| !text.is_empty());
        texts.map(|text| text.parse().unwrap()).collect()
    }
    lists.prop_map(|(statuses, methods, paths, hosts)| Match {
        statuses: list(statuses),
        methods: list(methods),
        paths: list(paths),
        hosts: list(hosts),
    })
}

/// Rules of every kind in any order, the presets among them.
fn any_rules() -> impl Strategy<Value = Vec<RuleConfig>> {
    let counts = prop_oneof![
        Just(Counts::Errors),
        Just(Counts::Errors),
        Just(Counts::Aborted),
        Just(Counts::ProtocolErrors),
        Just(Counts::Requests),
        Just(Counts::WafEvents(WafFilter::default())),
    ];
    let excluded =
        (any_filter(), prop::sample::select(vec!["", "curl", "moz"])).prop_map(|(filter, agent)| Exclusion {
            filter,
            user_agents: Some(agent)
                .filter(|agent| !agent.is_empty())
                .map(|agent| agent.parse().unwrap())
                .into_iter()
                .collect(),
        });
    let own = (
        counts,
        (
            any_filter(),
            prop::collection::vec(any_filter(), 0..2),
            prop::collection::vec(excluded, 0..2),
        ),
        prop::option::weighted(0.3, Just(Distinct::Paths)),
        (1..6u32, 1..2500u64),
        prop_oneof![2 => Just(Action::Ban), 1 => Just(Action::Observe)],
    );
    let own = own.prop_map(
        |(counts, (filter, also, excluded), distinct, (count, window_ms), action)| RuleConfig {
            rule: Rule::ErrorFlood,
            filter: match counts {
                Counts::WafEvents(_) | Counts::ServiceEvents(_) => Match::default(),
                _ => filter,
            },
            // One without conditions would count all there is.
            also: also.into_iter().filter(|also| !also.is_any()).collect(),
            excluded: match counts {
                Counts::WafEvents(_) | Counts::ServiceEvents(_) => Vec::new(),
                _ => excluded,
            },
            counts,
            distinct,
            threshold: threshold(count, window_ms),
            ban: None,
            labels: Labels::new(),
            action,
        },
    );
    let preset = (
        prop::sample::select(vec![Rule::ErrorFlood, Rule::RequestFlood, Rule::WafFlood]),
        1..10u32,
        1..2500u64,
    );
    let preset = preset.prop_map(|(rule, count, window_ms)| RuleConfig {
        threshold: threshold(count, window_ms),
        ..RuleConfig::preset(rule).unwrap()
    });
    let rules = prop::collection::vec(prop_oneof![own, preset], 1..6);
    rules.prop_map(|rules| {
        let named = |(n, rule): (usize, RuleConfig)| RuleConfig {
            rule: Rule::Own(format!("rule-{n}").parse().unwrap()),
            ..rule
        };
        rules.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn verdicts_equal_those_of_a_detector_that_keeps_every_timestamp(
        steps in any_steps(),
        rules in any_rules(),
        // How the caller answers a finding: a ban of so many milliseconds, or none.
        ban in prop::option::of(0..2000i64),
        partitions in 1..5u16,
        // Of these, some of the sources are one.
        sources in prop::sample::select(vec![(32, 64), (31, 64), (30, 48), (8, 19)]),
    ) {
        let sources = SourceLengths::new(sources.0, sources.1).unwrap();
        let source = |n| sources.of(source(n).addr());
        let config = DetectConfig { rules, partitions, sources, max_sources: 1000 };
        let mut detector = Detector::new(config.clone());
        let mut naive = Naive::default();
        let mut clock = 0;
        let twice = steps.into_iter().flat_map(|step| std::iter::repeat_n(step, 1 + usize::from(step.5)));
        for (index, (n, upstream, advance, learned_from, step, _)) in twice.enumerate() {
            let sighting =
                Sighting { upstream: UpstreamId(upstream), learned_from, ..at(source(n), clock + advance) };
            clock = clock.max(sighting.at_ms);
            // What was looked up may be gone, and somebody else be in its place, when its event comes.
            if index % 5 == 0 {
                detector.expect((0..6).map(source));
            }
            let Sighting { source, at_ms, .. } = sighting;
            let of_sums = || config.rules.iter().map(RuleConfig::counts_all_requests);
            let (got, expected) = match step {
                Step::Event(request) => {
                    naive.guard.note(sighting, request.status, request.path);
                    let asked: Vec<_> = config.rules.iter()
                        .map(|rule| !rule.counts_all_requests() && naive.counts(rule, sighting, &request)).collect();
                    let expected = naive.observe(&config, sighting, &asked, 1, request.path);
                    (detector.observe_event(sighting, &request), expected)
                }
                Step::Requests(tally) => {
                    naive.guard.record(sighting, tally);
                    let requests = tally.requests;
                    let expected = naive.observe(&config, sighting, &of_sums().collect::<Vec<_>>(), requests, "");
                    (detector.observe_requests(sighting, tally), expected)
                }
                Step::Answer(request) => {
                    let is_error = request.status >= 400 && request.status != 499;
                    let tally = Tally {
                        requests: 1,
                        errors: u32::from(is_error),
                        server_errors: u32::from(request.status >= 500),
                    };
                    naive.guard.record(sighting, tally);
                    naive.guard.note(sighting, request.status, request.path);
                    let asked: Vec<_> =
                        config.rules.iter().map(|rule| naive.counts(rule, sighting, &request)).collect();
                    let expected = naive.observe(&config, sighting, &asked, 1, request.path);
                    (detector.observe_answer(sighting, &request), expected)
                }
                Step::Waf { counts } => {
                    let asked: Vec<_> = config.rules.iter()
                        .map(|rule| counts && matches!(rule.counts, Counts::WafEvents(_))).collect();
                    let expected = naive.observe(&config, sighting, &asked, 1, "");
                    (detector.observe_waf(&waf_event(source, learned_from, counts), at_ms), expected)
                }
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
            prop_assert_eq!(&got, &expected, "step {}: {:?} {:?}", index, sighting, step);
            if let (Some(found), Some(ban)) = (got, ban) {
                let until_ms = found.at_ms + ban;
                if found.action == Action::Observe {
                    detector.observe_until(found.source, found.rule, until_ms);
                    naive.observed(found.source, found.rule, until_ms);
                } else {
                    detector.ignore_until(found.source, until_ms, found.layer);
                    naive.ban(found.source, until_ms, found.layer);
                }
            }
        }
    }
}
