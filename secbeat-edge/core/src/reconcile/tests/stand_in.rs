//! Bans of this edge's own detector beside those of the fleet and of operators.

use super::*;

fn detected(target: &str, seconds: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(99),
        issuer: "edge-1".to_owned(),
        strikes: 1,
        ..command(target, seconds)
    }
}

const TARGET: &str = "192.0.2.7";

#[test]
fn it_bans_here_until_the_fleet_takes_over() {
    let mut reconciler = reconciler();
    let change = reconciler.stand_in(&detected(TARGET, 300), NOW, nothing).unwrap();
    let Some(Change::Put(_, ban)) = change else {
        panic!("{change:?}")
    };
    assert_eq!(
        (ban.origin, ban.reason, ban.strikes),
        (Origin::Local, Reason::ErrorFlood, 1)
    );
    assert_eq!(ban.ends, at(300));
    // The fleet's lasts a little less: it is for the same deed.
    reconciler.accept(&command(TARGET, 298), NOW, nothing).unwrap();
    let change = reconciler.yield_to_fleet(&prefix(TARGET));
    let Some(Change::Put(_, ban)) = change else {
        panic!("{change:?}")
    };
    assert_eq!(ban.ends, at(298));
    assert!(matches!(ban.origin, Origin::Fleet(_)));
    // Lifted by the fleet, it is lifted here.
    assert_eq!(
        reconciler.withdraw(&prefix(TARGET)),
        Some(Change::Remove(prefix(TARGET)))
    );
}

#[test]
fn a_shorter_ban_of_the_fleet_takes_nothing_over() {
    let mut reconciler = reconciler();
    reconciler.stand_in(&detected(TARGET, 300), NOW, nothing).unwrap();
    reconciler.accept(&command(TARGET, 200), NOW, nothing).unwrap();
    assert_eq!(reconciler.yield_to_fleet(&prefix(TARGET)), None);
    assert_eq!(reconciler.get(&prefix(TARGET)).unwrap().ends, at(300));
}

#[test]
fn what_is_banned_for_as_long_is_not_banned_again() {
    let mut reconciler = reconciler();
    reconciler.accept(&command(TARGET, 300), NOW, nothing).unwrap();
    assert_eq!(
        reconciler.stand_in(&detected(TARGET, 304), NOW, nothing),
        Ok(None)
    );
    assert!(
        reconciler
            .stand_in(&detected(TARGET, 600), NOW, nothing)
            .unwrap()
            .is_some()
    );
}

#[test]
fn an_operators_ban_stays_and_the_allowlisted_are_not_banned() {
    let mut reconciler = reconciler();
    let target = prefix(TARGET);
    reconciler
        .ban_locally(local(target, 3_600, "mine"), NOW, nothing)
        .unwrap();
    assert_eq!(
        reconciler.stand_in(&detected(TARGET, 300), NOW, nothing),
        Ok(None)
    );
    reconciler.accept(&command(TARGET, 3_600), NOW, nothing).unwrap();
    assert_eq!(reconciler.yield_to_fleet(&target), None);
    let refused = reconciler.stand_in(&detected("192.0.2.8", 300), NOW, |_| true);
    assert_eq!(refused, Err(Refusal::Allowlisted(prefix("192.0.2.8"))));
    assert_eq!(
        reconciler.stand_in(&detected("192.0.2.9", 0), NOW, nothing),
        Err(Refusal::Expired)
    );
}
