//! What the fleet's allowlist protects.

use secbeat_common::wire::AllowEntry;

use super::*;

pub(super) fn entry(network: &str, until_ms: Option<i64>) -> AllowEntry {
    AllowEntry {
        network: target(network),
        comment: "office".to_owned(),
        until_ms,
        added_by: "alice".to_owned(),
        added_at_ms: NOW,
    }
}

#[test]
fn the_allowlist_protects_until_its_entry_expires() {
    let mut rig = Rig::ready();
    let entries = vec![entry("198.51.100.0/24", Some(NOW + 1_000))];
    assert_eq!(rig.handle(Event::Allowlist(entries)), []);
    assert_eq!(written(&rig.errors("edge-1", CLIENT, 50)), []);
    rig.pass(1_000);
    assert_eq!(rig.tick(), []);
    rig.found(CLIENT);
}

#[test]
fn the_allowlist_protects_no_more_once_its_entry_is_gone() {
    let mut rig = Rig::ready();
    rig.handle(Event::Allowlist(vec![entry("198.51.100.0/24", None)]));
    rig.handle(Event::Allowlist(Vec::new()));
    rig.found(CLIENT);
}

#[test]
fn an_entry_that_has_expired_when_it_is_heard_protects_nothing() {
    let mut rig = Rig::ready();
    rig.handle(Event::Allowlist(vec![entry("198.51.100.0/24", Some(NOW))]));
    rig.found(CLIENT);
}

#[test]
fn a_ban_in_force_stays_when_its_target_is_allowlisted() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.handle(Event::Allowlist(vec![entry("198.51.100.0/24", None)]));
    assert_eq!(rig.ban_of(CLIENT), Some(command.id));
}

#[test]
fn what_the_host_protects_and_the_allowlist_hold_together() {
    let mut rig = Rig::ready();
    rig.handle(Event::Protected(vec![ProtectedNet {
        network: target("203.0.113.0/24"),
        code: 0,
        comment: "this host".to_owned(),
        until_ms: None,
    }]));
    rig.handle(Event::Allowlist(vec![entry("198.51.100.0/24", None)]));
    assert_eq!(written(&rig.errors("edge-1", CLIENT, 50)), []);
    assert_eq!(written(&rig.errors("edge-1", "203.0.113.9", 50)), []);
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    let networks: Vec<_> = facts.protected.iter().map(|net| net.network).collect();
    assert_eq!(networks, [target("198.51.100.0/24")]);
}
