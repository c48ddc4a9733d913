//! The same events lead to the same effects, in the same order: simulations with seeds build on that.

mod steps;

use proptest::prelude::*;

use self::steps::{Step, step};
use super::*;
use crate::{
    analyzers::{Action as RuleAction, Rule},
    evidence::FindingFilter,
};

/// Few clients, some of one partition, and networks around them.
const TARGETS: [&str; 8] = [
    "198.51.100.7",
    "198.51.100.8",
    "198.51.100.9",
    "203.0.113.16",
    "203.0.113.19",
    "203.0.113.41",
    "198.51.100.0/24",
    "203.0.113.0/24",
];
const CLIENTS: usize = 6;
const EDGES: [&str; 4] = ["edge-1", "edge-2", "edge-3", "edge-4"];

/// A decider with little room, which several edges have to agree for.
fn rig() -> Rig {
    Rig::ready_with(|config| {
        config.agreeing_edges = NonZeroU32::new(2).unwrap();
        config.detect.max_sources = 8 * 2 * 16;
        config.cleanup_interval = Duration::from_secs(1);
        config.traced = true;
        for rule in &mut config.detect.rules {
            if rule.rule == Rule::RequestFlood {
                rule.action = RuleAction::Observe;
            }
        }
    })
}

struct World {
    rig: Rig,
    tickets: u64,
    revision: u64,
    writes: Vec<WriteRequest>,
}

impl World {
    fn event(&mut self, step: &Step) -> Vec<Effect> {
        self.tickets += 1;
        let (rig, ticket) = (&mut self.rig, Ticket(self.tickets));
        let now_ms = rig.now.wall_ms;
        let mut revision = || {
            self.revision += 1;
            self.revision
        };
        let event = match step.clone() {
            Step::Errors {
                edge,
                client,
                n,
                learned_from,
                age_ms,
            } => {
                let event = TelemetryEvent {
                    learned_from,
                    ..error(TARGETS[client], now_ms)
                };
                Event::Batch {
                    partition: target(TARGETS[client]).partition(16),
                    batch: rig.batch(EDGES[edge], vec![event; n]),
                    received_ms: now_ms,
                    age_ms,
                }
            }
            Step::Requests { edge, client, n } => {
                let mut batch = rig.batch(EDGES[edge], Vec::new());
                batch.counts = vec![requests(TARGETS[client], now_ms, n)];
                Event::Batch {
                    partition: target(TARGETS[client]).partition(16),
                    batch,
                    received_ms: now_ms,
                    age_ms: None,
                }
            }
            Step::Order { target: n, seconds } => Event::Order {
                ticket,
                order: Order::Ban(manual(TARGETS[n], now_ms + seconds * 1_000)),
            },
            Step::Import(targets) => Event::Order {
                ticket,
                order: Order::Import(Import {
                    bans: targets
                        .iter()
                        .map(|n| manual(TARGETS[*n], now_ms + 60_000))
                        .collect(),
                    nets_before: 0,
                    mode: ImportMode::SkipRefused,
                    actor: "bob".to_owned(),
                }),
            },
            Step::Unban(n) => Event::Order {
                ticket,
                order: Order::Unban(Unban {
                    target: target(TARGETS[n]),
                    actor: "bob".to_owned(),
                    note: String::new(),
                    list: None,
                }),
            },
            Step::Theirs {
                target,
                epoch,
                edges,
                layer,
            } => {
                let revision = revision();
                let command = BlockCommand {
                    epoch,
                    layer,
                    scope: edges.map_or(Scope::Fleet, |edge| Scope::of_edges(vec![EDGES[edge].to_owned()])),
                    issued_at_ms: now_ms,
                    expires_at_ms: now_ms + 300_000,
                    ..theirs(TARGETS[target], u128::from(revision))
                };
                Event::Banned(Box::new(bucket(&command, revision)))
            }
            Step::Gone(n) => Event::Lifted(gone(TARGETS[n], now_ms, revision())),
            Step::Spoiled(n) => Event::Spoiled {
                target: target(TARGETS[n]),
                revision: revision(),
            },
            Step::Observed(n) => Event::Observed(Box::new(AuditRecord {
                at_ms: now_ms,
                target: target(TARGETS[n]),
                actor: ACTOR.to_owned(),
                decision: Audited::Observed {
                    reason: Reason::ErrorFlood,
                    note: String::new(),
                    expires_at_ms: now_ms + 300_000,
                    strikes: 0,
                    evidence: None,
                    layer: Layer::Kernel,
                    events: Vec::new(),
                },
            })),
            Step::Done(n, fate) => {
                let Some(index) = n.checked_rem(self.writes.len()) else {
                    return Vec::new();
                };
                let write = self.writes.remove(index).write;
                let fate = match (&write, fate) {
                    (Write::Lift { .. }, _) => Fate::Lifted,
                    (_, Fate::Written { .. }) => Fate::Written { revision: revision() },
                    (_, fate) => fate,
                };
                Event::Done { id: write.id(), fate }
            }
            Step::Recheck(kept) => {
                let all = rig.decider.bans(&BanQuery::default()).bans;
                let kept = kept.iter().filter_map(|n| all.get(*n));
                let bans = kept.map(|ban| bucket(&ban.command, 1)).collect();
                Event::Recheck {
                    bans,
                    lifted: Vec::new(),
                    audit: Vec::new(),
                }
            }
            Step::Hold(tenure) => {
                let until_ms = rig.now.boot_ms + 3_600_000;
                Event::Leases(LeaseTable::new([tenure; 16], Some(until_ms)))
            }
            Step::Take(n) => Event::Owned(Ownership::Taken {
                partition: target(TARGETS[n]).partition(16),
                epoch: revision(),
            }),
            Step::Lose(n) => Event::Owned(Ownership::Lost {
                partition: target(TARGETS[n]).partition(16),
            }),
            Step::Tick => Event::Tick { connected: true },
            Step::Pass(ms) => {
                rig.pass(ms);
                return Vec::new();
            }
        };
        let effects = rig.handle(event);
        self.writes
            .extend(effects.iter().filter_map(|effect| match effect {
                Effect::Write(request) => Some(request.clone()),
                _ => None,
            }));
        effects
    }

    /// All that questions are answered.
    fn answers(&mut self) -> String {
        let decider = &self.rig.decider;
        let all = FindingFilter {
            source: None,
            rule: None,
        };
        let findings: Vec<_> = decider.findings(all).collect();
        let bans = decider.bans(&BanQuery::default());
        let commands: Vec<_> = decider.propagation().commands().collect();
        let mut answers = format!("{findings:?} {bans:?} {commands:?}");
        for client in &TARGETS[..CLIENTS] {
            let facts = decider.explain(client.parse().unwrap(), self.rig.now);
            answers += &format!(" {facts:?}");
        }
        answers += &format!(" {:?}", self.rig.decider.stats(self.rig.now));
        answers
    }
}

fn manual(client: &str, expires_at_ms: i64) -> ManualBan {
    ManualBan::new(
        target(client),
        expires_at_ms,
        "spam".to_owned(),
        "alice".to_owned(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_same_events_have_the_same_effects_and_answers(steps in prop::collection::vec(step(), 1..100)) {
        let mut worlds = [(); 2].map(|()| World {
            rig: rig(),
            tickets: 0,
            revision: 100,
            writes: Vec::new(),
        });
        for step in &steps {
            let [first, second] = worlds.each_mut().map(|world| world.event(step));
            prop_assert_eq!(first, second, "{:?}", step);
        }
        let [first, second] = worlds.each_mut().map(World::answers);
        prop_assert_eq!(first, second);
    }
}
