mod restart;

use secbeat_common::{
    prefix::Prefix,
    wire::{
        Detection, Layer, LearnedFrom, Reason, Scope, TelemetryBatch, TelemetryEvent, encode, parse_labels,
    },
};

use super::*;
use crate::analyzers::{DetectConfig, Rule, RuleConfig};
use crate::ledger::LedgerConfig;

/// 2026-11-20T10:00:00Z.
const NOW: i64 = 1_795_168_800_000;
const CLIENT: &str = "198.51.100.7";

struct Rig {
    core: StandIn,
    now: Moment,
    sequence: u64,
}

impl Rig {
    fn new(when: When) -> Self {
        Self {
            core: StandIn::new(when, "web-1".to_owned(), [7; 16]),
            now: Moment {
                wall_ms: NOW,
                boot_ms: 1_000_000,
            },
            sequence: 0,
        }
    }

    /// One that has heard the default rules, and that the fleet is there.
    fn ready() -> Self {
        let mut rig = Self::new(When::Fallback);
        rig.handle(Event::Orders(Box::new(orders())));
        rig.handle(Event::Fleet(None));
        rig
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.core.handle(event, self.now, &mut effects);
        effects
    }

    fn pass(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.boot_ms += ms;
    }

    /// As [`handle`](Self::handle), and the bans among what follows, which this host enforces.
    fn bans(&mut self, event: Event) -> Vec<BlockCommand> {
        let effects = self.handle(event);
        let bans = effects.into_iter().filter_map(|effect| match effect {
            Effect::Ban(command) => Some(*command),
            _ => None,
        });
        let bans: Vec<_> = bans.collect();
        for ban in &bans {
            self.handle(Event::Settled {
                id: ban.id,
                banned: true,
            });
        }
        bans
    }

    /// `n` answers with 404 to [`CLIENT`] now.
    fn errors(&mut self, n: usize) -> Event {
        self.sequence += 1;
        let event = TelemetryEvent {
            client: CLIENT.parse().unwrap(),
            at_ms: self.now.wall_ms,
            status: 404,
            upstream: 0,
            learned_from: LearnedFrom::Peer,
            method: "GET".to_owned(),
            path: "/missing".to_owned(),
            host: String::new(),
            user_agent: String::new(),
            signatures: Vec::new(),
            cross_site: false,
        };
        let batch = TelemetryBatch {
            edge_id: "web-1".to_owned(),
            boot_id: Uuid::from_u128(1),
            sequence: self.sequence,
            sent_at_ms: self.now.wall_ms,
            dropped_before: 0,
            upstreams: vec!["site".to_owned()],
            events: vec![event; n],
            counts: Vec::new(),
        };
        Event::Seen(Seen::Telemetry {
            partition: target().partition(PARTITIONS),
            payload: encode(&batch).unwrap().into(),
        })
    }

    /// The fleet goes away, and the grace passes.
    fn lose_the_fleet(&mut self) -> Vec<Effect> {
        assert_eq!(self.handle(Event::Fleet(Some(Away::Bus))), []);
        self.pass(2_000);
        self.handle(Event::Tick)
    }
}

fn orders() -> Orders {
    Orders {
        detect: DetectConfig::default(),
        ledger: LedgerConfig::default(),
        protected: Vec::new(),
        max_age: Duration::from_secs(120),
        cleanup_interval: Duration::from_secs(300),
        unban_grace: Duration::ZERO,
    }
}

fn target() -> Prefix {
    CLIENT.parse().unwrap()
}

fn told(effects: &[Effect]) -> Vec<LocalBan> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Tell(bans) => Some(bans.clone()),
        _ => None,
    });
    told.flatten().collect()
}

#[test]
fn what_was_counted_before_the_fleet_went_counts_on() {
    let mut rig = Rig::ready();
    let errors = rig.errors(30);
    assert_eq!(rig.handle(errors), []);
    assert_eq!(rig.lose_the_fleet(), [Effect::Began(Some(Away::Bus))]);
    let errors = rig.errors(19);
    assert_eq!(rig.handle(errors), []);
    rig.pass(1_000);
    let errors = rig.errors(1);
    let bans = rig.bans(errors);
    let [ban] = &bans[..] else { panic!("{bans:?}") };
    assert_eq!(
        (ban.target, ban.reason, ban.layer),
        (target(), Reason::ErrorFlood, Layer::Kernel)
    );
    assert_eq!(ban.expires_at_ms, rig.now.wall_ms + 300_000);
    assert_eq!(rig.core.status().banned, 1);
    // It is banned: what is still on its way counts for nothing.
    let errors = rig.errors(100);
    assert_eq!(rig.handle(errors), []);
}

#[test]
fn who_reached_the_threshold_while_nobody_decided_is_banned_as_of_then() {
    let mut rig = Rig::ready();
    rig.handle(Event::Fleet(Some(Away::Orchestrators)));
    let errors = rig.errors(50);
    assert_eq!(rig.handle(errors), []);
    let reached_ms = rig.now.wall_ms;
    rig.pass(1_999);
    assert_eq!(rig.handle(Event::Tick), []);
    rig.pass(1);
    let bans = rig.bans(Event::Tick);
    assert_eq!(bans.len(), 1);
    assert_eq!(bans[0].expires_at_ms, reached_ms + 300_000);
}

#[test]
fn while_the_fleet_is_there_it_alone_decides_unless_told_otherwise() {
    let mut rig = Rig::ready();
    let errors = rig.errors(60);
    assert_eq!(rig.handle(errors), []);
    assert_eq!(rig.handle(Event::Tick), []);
    // A moment without the fleet is none.
    rig.handle(Event::Fleet(Some(Away::Bus)));
    rig.pass(1_000);
    rig.handle(Event::Fleet(None));
    rig.pass(5_000);
    assert_eq!(rig.handle(Event::Tick), []);

    let mut rig = Rig::new(When::Always);
    let errors = rig.errors(50);
    assert_eq!(rig.handle(errors), [], "no rules are known");
    assert_eq!(rig.bans(Event::Orders(Box::new(orders()))).len(), 1);
}

#[test]
fn nobody_is_banned_by_rules_that_were_never_heard() {
    let mut rig = Rig::new(When::Fallback);
    rig.handle(Event::Fleet(Some(Away::Bus)));
    let errors = rig.errors(60);
    rig.handle(errors);
    rig.pass(10_000);
    assert_eq!(rig.handle(Event::Tick), []);
    assert!(!rig.core.status().has_rules && !rig.core.decides());
}

#[test]
fn whom_an_operator_let_go_is_not_banned_for_what_was_before() {
    let mut rig = Rig::ready();
    let errors = rig.errors(50);
    rig.handle(errors);
    rig.pass(1_000);
    rig.handle(Event::Seen(Seen::Lifted(target())));
    assert_eq!(rig.lose_the_fleet(), [Effect::Began(Some(Away::Bus))]);
    let errors = rig.errors(49);
    assert_eq!(rig.handle(errors), []);
    let errors = rig.errors(1);
    assert_eq!(rig.bans(errors).len(), 1);
}

#[test]
fn the_protected_are_not_banned_whoever_protects_them() {
    let net = |network: &str| ProtectedNet {
        network: network.parse().unwrap(),
        code: 0,
        comment: String::new(),
        until_ms: None,
    };
    for here in [true, false] {
        let mut rig = Rig::new(When::Fallback);
        let mut orders = orders();
        match here {
            true => drop(rig.handle(Event::Protected(vec![net("198.51.100.0/24")]))),
            false => orders.protected = vec![net("198.51.100.7/32")],
        }
        rig.handle(Event::Orders(Box::new(orders)));
        rig.lose_the_fleet();
        let errors = rig.errors(60);
        assert_eq!(rig.handle(errors), []);
    }
}

#[test]
fn the_fleet_is_told_until_it_takes_over_and_late_telemetry_waits_for_that() {
    let mut rig = Rig::ready();
    rig.lose_the_fleet();
    let errors = rig.errors(50);
    let id = rig.bans(errors)[0].id;
    rig.pass(10_000);
    assert_eq!(told(&rig.handle(Event::Tick)), [], "nobody hears it");
    assert_eq!(rig.handle(Event::Fleet(None)), [Effect::Ended { bans: 1 }]);
    let ids = |effects: Vec<Effect>| told(&effects).iter().map(|ban| ban.id).collect::<Vec<_>>();
    assert_eq!(ids(rig.handle(Event::Tick)), [id]);
    rig.pass(1_000);
    assert!(ids(rig.handle(Event::Tick)).is_empty());
    rig.pass(2_000);
    assert_eq!(ids(rig.handle(Event::Tick)), [id]);
    assert!(rig.core.holds_late_telemetry());
    rig.handle(Event::TakenOver(target()));
    assert!(!rig.core.holds_late_telemetry());
    let status = rig.core.status();
    assert_eq!((status.banned, status.taken_over, status.waiting), (1, 1, 0));
}

#[test]
fn a_ban_that_is_over_is_told_once_and_one_that_nobody_takes_over_holds_nothing_up() {
    let mut rig = Rig::ready();
    rig.lose_the_fleet();
    let errors = rig.errors(50);
    rig.bans(errors);
    rig.pass(301_000);
    rig.handle(Event::Tick);
    let errors = rig.errors(50);
    let second = rig.bans(errors);
    assert_eq!(second[0].strikes, 1);
    rig.handle(Event::Fleet(None));
    let mut tellings = Vec::new();
    for _ in 0..6 {
        tellings.push(told(&rig.handle(Event::Tick)).len());
        rig.pass(3_000);
    }
    assert_eq!(tellings, [2, 1, 1, 0, 0, 0]);
    assert!(!rig.core.holds_late_telemetry());
    assert_eq!(rig.core.status().waiting, 1, "it is in force here");
}

#[test]
fn what_the_fleet_has_banned_is_no_ban_of_this_edge() {
    let mut rig = Rig::ready();
    rig.lose_the_fleet();
    let errors = rig.errors(50);
    let effects = rig.handle(errors);
    let [Effect::Ban(command)] = &effects[..] else {
        panic!("{effects:?}")
    };
    rig.handle(Event::Settled {
        id: command.id,
        banned: false,
    });
    let status = rig.core.status();
    assert_eq!((status.banned, status.waiting), (0, 0));
    assert!(!rig.core.holds_late_telemetry());
}

#[test]
fn the_fleet_is_told_of_bans_that_rules_made_before_the_host_joined() {
    let mut earlier = Rig::ready();
    earlier.lose_the_fleet();
    let errors = earlier.errors(50);
    let by_rule = earlier.bans(errors).remove(0);
    let by_operator = BlockCommand {
        id: Uuid::from_u128(9),
        reason: Reason::Manual,
        ..by_rule.clone()
    };
    let mut rig = Rig::ready();
    assert_eq!(rig.handle(Event::Brought(vec![by_operator, by_rule.clone()])), []);
    let told = told(&rig.handle(Event::Tick));
    let [ban] = &told[..] else { panic!("{told:?}") };
    assert_eq!((ban.id, ban.expires_at_ms), (by_rule.id, by_rule.expires_at_ms));
    rig.handle(Event::TakenOver(target()));
    assert_eq!((rig.core.status().waiting, rig.core.status().taken_over), (0, 1));
}

#[test]
fn every_rule_is_told_and_heard() {
    let presets = [
        Rule::ErrorFlood,
        Rule::RequestFlood,
        Rule::WafFlood,
        Rule::PathScan,
        Rule::LoginBruteforce,
        Rule::ProtocolAbuse,
        Rule::Probe,
        Rule::Attack,
        Rule::Scanner,
    ];
    let mut said = orders();
    said.detect.max_sources = 1_000;
    said.detect.rules = presets
        .iter()
        .filter_map(|rule| RuleConfig::preset(*rule))
        .collect();
    said.detect.rules.push(RuleConfig {
        rule: Rule::Own("my-rule".parse().unwrap()),
        ban: Some(Duration::from_millis(1_500)),
        ..said.detect.rules[0].clone()
    });
    said.protected.push(ProtectedNet {
        network: "2001:db8::/48".parse().unwrap(),
        code: 3,
        comment: "office".to_owned(),
        until_ms: Some(NOW),
    });
    let message = said.tell().unwrap();
    assert_eq!(Orders::hear(&message).unwrap(), said);
    // A later release's field is ignored.
    let later = message.json.replacen('{', "{\"later\":[1],", 1);
    assert_eq!(Orders::hear(&Detection { json: later }).unwrap(), said);
}

#[test]
fn a_rule_for_edges_with_other_labels_bans_nobody_here() {
    for (labels, bans) in [("role=web", 1), ("role=mail", 0)] {
        let mut rig = Rig::new(When::Fallback);
        rig.core = StandIn::new(When::Fallback, "web-1".to_owned(), [7; 16])
            .labelled(parse_labels("role=web").unwrap());
        let mut said = orders();
        for rule in &mut said.detect.rules {
            rule.labels = parse_labels(labels).unwrap();
        }
        rig.handle(Event::Orders(Box::new(said)));
        rig.handle(Event::Fleet(None));
        rig.lose_the_fleet();
        let errors = rig.errors(50);
        let banned = rig.bans(errors);
        assert_eq!(banned.len(), bans);
        assert!(banned.iter().all(|ban| ban.scope == Scope::Fleet));
    }
}
