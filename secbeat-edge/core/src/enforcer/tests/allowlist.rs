//! Allowlisted targets.

use super::*;

fn entry(network: &str, until_ms: Option<i64>) -> AllowEntry {
    AllowEntry {
        network: prefix(network),
        comment: String::new(),
        until_ms,
        added_by: "alice".to_owned(),
        added_at_ms: 0,
    }
}

#[test]
fn a_ban_of_an_allowlisted_target_is_refused_and_enforced_once_it_is_not() {
    let mut edge = Edge::new();
    edge.allow_on_host(&["198.51.100.0/24"]);
    let effects = edge.send(&command(1, CLIENT, 300));
    assert_eq!(
        acks(&effects),
        refused(1, "198.51.100.7/32 is allowlisted on this host")
    );
    assert_eq!((edge.status().active, edge.status().set_aside), (0, 1));
    let effects = edge.allow_on_host(&[]);
    assert_eq!(acks(&effects), [(1, Enforcement::Enforced)]);
    assert!(edge.drops(CLIENT));
    assert_eq!((edge.status().active, edge.status().set_aside), (1, 0));
}

#[test]
fn a_refused_ban_that_was_lifted_replaced_or_has_expired_is_not_enforced_later() {
    let mut edge = Edge::new();
    edge.allow_on_host(&["198.51.100.0/24"]);
    edge.send(&command(1, "198.51.100.1", 300));
    edge.lift("198.51.100.1");
    edge.send(&command(2, "198.51.100.2", 300));
    let elsewhere = BlockCommand {
        scope: Scope::of_edges(vec!["edge-2".to_owned()]),
        ..command(3, "198.51.100.2", 300)
    };
    edge.send(&elsewhere);
    edge.send(&command(4, "198.51.100.4", 30));
    edge.send(&command(5, "198.51.100.5", 300));
    edge.snapshot(&[&elsewhere, &command(4, "198.51.100.4", 30)]);
    edge.pass(60);
    let effects = edge.allow_on_host(&[]);
    assert_eq!(facts(&effects), [Fact::AllowlistChanged]);
    assert!(edge.kernel.bans.is_empty());
}

#[test]
fn what_is_allowlisted_passes_at_once_although_it_is_banned() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    let effects = edge.allow_on_host(&["198.51.100.7"]);
    assert_eq!(facts(&effects), [Fact::AllowlistChanged]);
    assert!(!edge.drops(CLIENT));
    edge.reconcile();
    assert!(!edge.drops(CLIENT));
    edge.allow_on_host(&[]);
    assert!(edge.drops(CLIENT));
}

#[test]
fn an_entry_of_the_fleet_expires_with_the_tick_after() {
    let mut edge = Edge::new();
    let until_ms = START.wall_ms + 10_000;
    edge.handle(Event::FleetAllowlist(vec![entry(
        "198.51.100.0/24",
        Some(until_ms),
    )]));
    edge.send(&command(1, CLIENT, 300));
    assert_eq!(edge.pass(9), []);
    assert!(!edge.drops(CLIENT));
    let effects = edge.pass(1);
    assert_eq!(acks(&effects), [(1, Enforcement::Enforced)]);
    assert!(edge.drops(CLIENT));
}

#[test]
fn the_fleets_networks_that_the_kernel_holds_stay_until_its_allowlist_is_read() {
    let mut edge = Edge::new();
    edge.enforcer = Enforcer::new(EnforcerConfig {
        allowlist: Allowlist::new(HashMap::new(), [prefix("198.51.100.0/24")]),
        ..config(&edge.kernel)
    });
    edge.allow_on_host(&["192.0.2.1"]);
    assert_eq!(edge.kernel.allowed.len(), 2);
    edge.handle(Event::FleetAllowlist(Vec::new()));
    assert_eq!(
        *edge.kernel.allowed,
        HashMap::from([(prefix("192.0.2.1"), allow::CONFIGURED)])
    );
}

#[test]
fn an_allowlist_that_the_kernel_does_not_take_is_written_again() {
    let mut edge = Edge::new();
    edge.kernel.broken = true;
    let effects = edge.allow_on_host(&["198.51.100.7"]);
    let why = "the kernel is broken".to_owned();
    assert_eq!(
        facts(&effects),
        [Fact::AllowlistChanged, Fact::AllowlistFailed(why)]
    );
    assert_eq!(edge.pass(1), [], "the same is said once");
    assert!(edge.enforcer.allowlist_written().is_err());
    edge.kernel.broken = false;
    edge.pass(1);
    assert_eq!(edge.enforcer.allowlist_written(), Ok(()));
    assert_eq!(edge.kernel.allowed.len(), 1);
    assert_eq!(edge.reconcile().len(), 1, "and then no more");
}

#[test]
fn an_unchanged_allowlist_is_not_written() {
    let mut edge = Edge::new();
    edge.allow_on_host(&["198.51.100.7"]);
    assert_eq!(edge.allow_on_host(&["198.51.100.7"]), []);
}

#[test]
fn what_an_operator_allowlists_passes_until_its_end_and_is_enforced_again() {
    let mut edge = Edge::new();
    edge.send(&command(1, "198.51.100.0/24", 300));
    assert!(edge.drops(CLIENT));
    let until_ms = START.wall_ms + 10_000;
    let exempt = vec![entry(CLIENT, Some(until_ms))];
    let effects = edge.handle(Event::LocalAllowlist(exempt.clone()));
    assert_eq!(facts(&effects), [Fact::AllowlistChanged]);
    assert!(!edge.drops(CLIENT) && edge.drops("198.51.100.8"));
    assert_eq!(edge.status().allowed_here, 1);
    assert_eq!(facts(&edge.handle(Event::LocalAllowlist(exempt))), []);
    edge.pass(10);
    assert!(edge.drops(CLIENT));
    assert_eq!(edge.status().allowed_here, 0);
}

#[test]
fn an_operator_hears_that_the_kernel_has_not_taken_an_entry() {
    let mut edge = Edge::new();
    assert_eq!(edge.enforcer.allowlist_written(), Ok(()));
    edge.handle(Event::AllowlistFailed("E2BIG".to_owned()));
    let failed = Err(OrderError::NotWritten("E2BIG".to_owned()));
    assert_eq!(edge.enforcer.allowlist_written(), failed);
    edge.handle(Event::LocalAllowlist(Vec::new()));
    assert_eq!(edge.enforcer.allowlist_written(), Ok(()));
}
