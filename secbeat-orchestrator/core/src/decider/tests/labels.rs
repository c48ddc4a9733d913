//! Bans for the edges that have some labels.

use secbeat_common::wire::{Kind, parse_labels};

use super::{edges::record, *};
use crate::{
    analyzers::{Rule, RuleConfig},
    ledger::Refusal,
    propagation::Answer,
};

fn web() -> Scope {
    Scope::of_labels(parse_labels("role=web").unwrap())
}

/// An edge with labels is there; of a release that knows what they mean for bans, or not.
fn comes(rig: &mut Rig, edge: &str, labels: &str, is_new: bool) {
    let mut record = record(rig, edge, &[]);
    record.labels = parse_labels(labels).unwrap();
    if !is_new {
        record
            .speaks
            .kinds
            .insert(Kind::Ban.name().to_owned(), vec![1, 3]);
    }
    rig.handle(Event::EdgeHeard(Box::new(record)));
}

/// An order of a ban of [`CLIENT`] for so many seconds.
fn order(rig: &mut Rig, scope: Scope, seconds: i64, shortens: bool) -> Result<BlockCommand, Refusal> {
    let end = rig.now.wall_ms + seconds * 1_000;
    let ban = ManualBan {
        scope,
        shortens,
        ..ManualBan::new(target(CLIENT), end, String::new(), "alice".to_owned())
    };
    let order = Order::Ban(ban);
    let ticket = Ticket(1);
    let effects = rig.handle(Event::Order { ticket, order });
    match &effects[..] {
        [
            Effect::Reply {
                reply: Reply::Banned(Err(OrderError::Refused(refused))),
                ..
            },
        ] => Err(refused.refusal),
        _ => Ok(written(&effects).remove(0)),
    }
}

#[test]
fn a_ban_for_labels_awaits_the_edges_that_have_them_and_the_audit_names_them() {
    let mut rig = Rig::ready();
    comes(&mut rig, "mail-1", "role=mail", true);
    comes(&mut rig, "web-1", "role=web,site=eu", true);
    comes(&mut rig, "web-2", "role=web", false);
    let command = order(&mut rig, web(), 600, false).unwrap();
    assert_eq!(command.scope, web());
    let issued = rig.decider.propagation.of(&command.id).unwrap();
    let answers: Vec<_> = issued
        .answers
        .iter()
        .map(|(edge, answer)| (&**edge, answer))
        .collect();
    let why = "its release knows no bans for labels: upgrade it".to_owned();
    assert_eq!(
        answers,
        [("web-1", &Answer::Pending), ("web-2", &Answer::Refused { why })]
    );
    let [record] = &audited(&rig.acknowledge(&command, 7))[..] else {
        panic!()
    };
    let Audited::Ban { edges, labels, .. } = &record.decision else {
        panic!("{record:?}");
    };
    assert_eq!(
        (edges.as_deref(), labels.as_slice()),
        (Some(&[][..]), web().labels())
    );
    let enforced_by = |edge: &str, labels: &str| {
        let edges = Some(vec![(edge.to_owned(), parse_labels(labels).unwrap())]);
        let query = BanQuery {
            edges,
            ..BanQuery::default()
        };
        rig.decider.bans(&query).bans.len()
    };
    assert_eq!(enforced_by("web-9", "role=web"), 1);
    assert_eq!(enforced_by("mail-1", "role=mail"), 0);
}

#[test]
fn an_order_takes_a_ban_from_no_edge() {
    let mut rig = Rig::ready();
    let everywhere = order(&mut rig, Scope::Fleet, 600, false).unwrap();
    let outreached = Err(Refusal::Outreached(everywhere.expires_at_ms));
    assert_eq!(order(&mut rig, web(), 900, true), outreached);
    let mut rig = Rig::ready();
    let narrow = order(&mut rig, web(), 900, false).unwrap();
    let mail = Scope::of_labels(parse_labels("role=mail").unwrap());
    let outreached = Err(Refusal::Outreached(narrow.expires_at_ms));
    assert_eq!(order(&mut rig, mail, 900, true), outreached);
    let outlasted = Err(Refusal::Outlasted(narrow.expires_at_ms));
    assert_eq!(order(&mut rig, Scope::Fleet, 60, false), outlasted);
    let sooner = order(&mut rig, web(), 60, true).unwrap();
    assert_eq!(sooner.expires_at_ms, NOW + 60_000);
    assert_eq!(
        order(&mut rig, Scope::Fleet, 900, false).unwrap().scope,
        Scope::Fleet
    );
}

#[test]
fn a_finding_makes_a_ban_for_labels_one_of_the_whole_fleet() {
    let mut rig = Rig::ready();
    let narrow = order(&mut rig, web(), 900, false).unwrap();
    rig.acknowledge(&narrow, 7);
    rig.pass(1_000);
    let wide = rig.found(CLIENT);
    assert_eq!(
        (wide.scope, wide.expires_at_ms),
        (Scope::Fleet, narrow.expires_at_ms)
    );
}

#[test]
fn a_rule_with_labels_bans_on_the_edges_that_have_them() {
    let labelled = |config: &mut Config| {
        config.detect.rules = vec![RuleConfig {
            labels: parse_labels("role=web").unwrap(),
            ..RuleConfig::preset(Rule::ErrorFlood).unwrap()
        }];
    };
    let mut rig = Rig::ready_with(labelled);
    assert_eq!(rig.found(CLIENT).scope, web());
    // Where edges have to agree, those of them that have the labels.
    let mut rig = Rig::ready_with(|config| {
        labelled(config);
        config.agreeing_edges = NonZeroU32::new(2).unwrap();
    });
    comes(&mut rig, "web-1", "role=web", true);
    assert_eq!(written(&rig.errors("edge-1", CLIENT, 50)), []);
    let scope = written(&rig.errors("web-1", OTHER_CLIENT, 50)).remove(0).scope;
    assert_eq!(scope, Scope::of_edges(vec!["web-1".to_owned()]));
    let scope = written(&rig.errors("edge-1", OTHER_CLIENT, 50)).remove(0).scope;
    assert!(scope.covers(&web()), "{scope:?}");
}
