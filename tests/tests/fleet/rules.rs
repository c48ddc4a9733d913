//! Rules of the config file, in the whole loop.

use std::time::Duration;

use secbeat_common::maps::reason;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};

#[test]
fn a_path_scan_bans_at_the_20th_path_and_the_same_path_again_and_again_does_not() {
    let fleet = Fleet::start(&Options {
        more_orchestrator_config: "[[rule]]\nname = \"path-scan\"\n".to_owned(),
        ..Options::default()
    });
    let family = Family::V4;
    let mut attacker = fleet.attacking(family);
    let mut ask = |path: &str| attacker.get(&format!("http://{}{path}", family.edge_for_attacker()));
    for n in 1..=20 {
        assert_eq!(ask(&format!("/same?n={n}")).unwrap(), 404);
    }
    for n in 2..20 {
        assert_eq!(ask(&format!("/other-{n}")).unwrap(), 404);
    }
    fleet.await_events(38);
    assert_eq!(fleet.ban_of(family.attacker()), None, "19 paths banned");
    assert_eq!(ask("/other-20").unwrap(), 404);
    assert_eq!(fleet.await_ban(family.attacker()).reason, reason::PATH_SCAN);
}

#[test]
fn a_rule_that_observes_bans_nobody_and_hides_nobody_from_the_others() {
    let rule = "[[rule]]\nname = \"looks-around\"\ncounts = \"errors\"\nthreshold = 5\nwindow = \"60s\"\nban = \"2h\"\n\
                action = \"observe\"\n";
    let fleet = Fleet::start(&Options {
        more_orchestrator_config: rule.to_owned(),
        ..Options::default()
    });
    let family = Family::V4;
    fleet.make_errors(family, 49);
    fleet.await_events(49);
    let log = || fleet.orchestrator.log();
    wait_until("the observed ban is in the log", Duration::from_secs(5), || {
        log().contains("a rule that observes would have banned")
    });
    assert_eq!(fleet.ban_of(family.attacker()), None);
    fleet.make_errors(family, 1);
    assert_eq!(fleet.await_ban(family.attacker()).reason, reason::ERROR_FLOOD);
    let told = log().matches("a rule that observes would have banned").count();
    assert_eq!(told, 1, "a ban of 2 h would have been one");
}
