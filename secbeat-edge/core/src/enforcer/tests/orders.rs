//! Orders of this host's operators.

use super::*;

fn banned(effects: &[Effect]) -> Result<Enforced, OrderError> {
    match reply(effects) {
        Reply::Ban(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_local_ban_is_enforced_and_told_once_it_is_written() {
    let mut edge = Edge::new();
    let effects = edge.ban_here(CLIENT, 60);
    let ban = banned(&effects).unwrap();
    assert_eq!(
        (ban.ends, ban.reason, ban.origin, &*ban.note),
        (at(60), Reason::Manual, Origin::Local, "mine")
    );
    assert_eq!(facts(&effects), [Fact::BannedHere(prefix(CLIENT))]);
    assert!(edge.drops(CLIENT));
    assert_eq!(edge.enforced(), [], "the fleet has no part in it");
}

#[test]
fn a_local_ban_that_is_ordered_twice_is_there_once() {
    let mut edge = Edge::new();
    let first = banned(&edge.ban_here(CLIENT, 60)).unwrap();
    let second = banned(&edge.ban_here(CLIENT, 60)).unwrap();
    assert_eq!((first, edge.status().active), (second, 1));
}

#[test]
fn a_local_ban_is_refused_for_what_must_not_be_banned() {
    let mut edge = Edge::new();
    edge.allow_on_host(&["198.51.100.0/24"]);
    assert_eq!(
        banned(&edge.ban_here(CLIENT, 60)),
        Err(OrderError::Refused(Refusal::Allowlisted(prefix(CLIENT))))
    );
    assert_eq!(
        banned(&edge.ban_here("127.0.0.1", 60)).unwrap_err().to_string(),
        "127.0.0.1/32 is never banned: loopback"
    );
    assert!(edge.kernel.bans.is_empty());
}

#[test]
fn a_local_ban_survives_snapshots_withdrawals_and_a_restart() {
    let mut edge = Edge::new();
    edge.ban_here(CLIENT, 60);
    edge.snapshot(&[]);
    edge.lift(CLIENT);
    assert!(edge.drops(CLIENT));
    edge.restart();
    edge.snapshot(&[]);
    assert!(edge.drops(CLIENT));
    let (_, ban) = edge.enforcer.active(edge.now.boot).next().unwrap();
    assert_eq!((ban.ends, ban.origin), (at(60), Origin::Local));
}

#[test]
fn a_local_ban_outlasts_a_shorter_one_of_the_fleet() {
    let mut edge = Edge::new();
    edge.ban_here(CLIENT, 600);
    edge.send(&command(1, CLIENT, 60));
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(600));
    edge.pass(60);
    assert!(edge.drops(CLIENT) && edge.enforced().is_empty());
    edge.send(&command(2, CLIENT, 3000));
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(3000));
    edge.lift(CLIENT);
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(600));
}

#[test]
fn a_local_ban_is_lifted() {
    let mut edge = Edge::new();
    edge.ban_here(CLIENT, 60);
    let effects = edge.order(Order::Unban(prefix(CLIENT)));
    assert_eq!(reply(&effects), Reply::Unban(Ok(Some(Origin::Local))));
    assert_eq!(facts(&effects), [Fact::LiftedHere(prefix(CLIENT))]);
    assert!(edge.kernel.bans.is_empty());
    let again = edge.order(Order::Unban(prefix(CLIENT)));
    assert_eq!(again, [Effect::Reply(TICKET, Reply::Unban(Ok(None)))]);
}

#[test]
fn a_ban_of_the_fleet_that_is_lifted_here_stays_lifted_until_the_next_command() {
    let mut edge = Edge::new();
    let ban = command(1, CLIENT, 300);
    edge.send(&ban);
    let effects = edge.order(Order::Unban(prefix(CLIENT)));
    let origin = Origin::Fleet(Uuid::from_u128(1));
    assert_eq!(reply(&effects), Reply::Unban(Ok(Some(origin))));
    edge.snapshot(&[&ban]);
    edge.pass(1);
    edge.reconcile();
    assert!(!edge.drops(CLIENT));
    assert_eq!((edge.status().active, edge.status().set_aside), (0, 1));
    edge.send(&command(2, CLIENT, 300));
    assert!(edge.drops(CLIENT));
}

#[test]
fn an_order_that_the_kernel_does_not_take_says_so_and_is_tried_again() {
    let mut edge = Edge::new();
    edge.kernel.broken = true;
    assert_eq!(
        banned(&edge.ban_here(CLIENT, 60)),
        Err(OrderError::NotWritten("the kernel is broken".to_owned()))
    );
    assert_eq!(edge.status().unwritten, 1);
    edge.kernel.broken = false;
    edge.reconcile();
    assert!(edge.drops(CLIENT));
    edge.kernel.broken = true;
    let effects = edge.order(Order::Unban(prefix(CLIENT)));
    let failed = OrderError::NotWritten("the kernel is broken".to_owned());
    assert_eq!(reply(&effects), Reply::Unban(Err(failed)));
    edge.kernel.broken = false;
    edge.reconcile();
    assert!(!edge.drops(CLIENT));
}

#[test]
fn observing_drops_nothing_and_bans_go_on() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    let effects = edge.order(Order::SetMode(FilterMode::Observe));
    assert_eq!(
        effects,
        [
            Effect::Report(Fact::ModeSwitched(FilterMode::Observe)),
            Effect::Reply(TICKET, Reply::Mode(Ok(()))),
        ]
    );
    assert_eq!(edge.status().mode, FilterMode::Observe);
    let effects = edge.send(&command(2, "198.51.100.8", 300));
    assert_eq!(acks(&effects), [(2, Enforcement::Enforced)]);
    assert!(!edge.drops(CLIENT) && !edge.drops("198.51.100.8"));
    edge.order(Order::SetMode(FilterMode::Enforce));
    assert!(edge.drops(CLIENT) && edge.drops("198.51.100.8"));
}

#[test]
fn a_mode_that_the_kernel_does_not_take_is_not_in_force() {
    let mut edge = Edge::new();
    edge.kernel.broken = true;
    let effects = edge.order(Order::SetMode(FilterMode::Observe));
    let failed = OrderError::NotWritten("the kernel is broken".to_owned());
    assert_eq!(effects, [Effect::Reply(TICKET, Reply::Mode(Err(failed)))]);
    assert_eq!(edge.status().mode, FilterMode::Enforce);
}
