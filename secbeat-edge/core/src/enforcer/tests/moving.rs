//! A host joins a fleet, and leaves it.

use super::*;

#[test]
fn bans_of_a_host_that_joins_hold_without_a_gap_and_as_its_own() {
    let mut alone = Edge::new();
    let (rules, operators) = (command(1, CLIENT, 300), manual(2, "198.51.100.8", 300));
    alone.send(&rules);
    alone.send(&operators);
    let mut edge = Edge::unsynced();
    edge.kernel = alone.kernel;
    edge.restart();
    let effects = edge.handle(Event::Brought(vec![
        rules,
        operators,
        command(3, "198.51.100.9", 0),
    ]));
    assert_eq!(facts(&effects), [Fact::Brought { bans: 2 }]);
    // The fleet has heard of none of them.
    edge.snapshot(&[]);
    edge.reconcile();
    assert!(edge.drops(CLIENT) && edge.drops("198.51.100.8") && !edge.drops("198.51.100.9"));
    assert_eq!(edge.kernel_ban(CLIENT).origin, Origin::Local.code());
    assert_eq!(edge.kernel_ban(CLIENT).reason, Reason::ErrorFlood.code());
    // The fleet takes over what a rule banned, and an operator's stays.
    edge.send(&command(4, CLIENT, 300));
    edge.send(&command(5, "198.51.100.8", 300));
    edge.lift(CLIENT);
    edge.lift("198.51.100.8");
    assert!(!edge.drops(CLIENT) && edge.drops("198.51.100.8"));
}

#[test]
fn bans_of_a_host_that_leaves_are_the_bus_alone() {
    let mut edge = Edge::new();
    edge.ban_here(CLIENT, 300);
    edge.enforcer = Enforcer::new(EnforcerConfig {
        is_back: true,
        ..config(&edge.kernel)
    });
    edge.handle(Event::ReconcileDue);
    assert!(edge.drops(CLIENT), "the bus was not heard yet");
    edge.snapshot(&[&command(1, CLIENT, 300)]);
    assert!(edge.drops(CLIENT));
    edge.lift(CLIENT);
    assert!(!edge.drops(CLIENT), "it had another ban beside that of the bus");
    // From then on a ban on this host is one again.
    edge.ban_here(CLIENT, 300);
    edge.restart();
    edge.snapshot(&[]);
    assert!(edge.drops(CLIENT));
}

fn manual(id: u128, target: &str, seconds: i64) -> BlockCommand {
    BlockCommand {
        reason: Reason::Manual,
        ..command(id, target, seconds)
    }
}
