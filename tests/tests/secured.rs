//! A fleet whose bus lets in members alone and whose commands are signed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use secbeat_tests::lab::fleet::{Family, Fleet, Options};

fn fleet() -> Fleet {
    Fleet::start(&Options {
        secured: true,
        ban: "1h",
        ..Options::default()
    })
}

#[test]
fn the_loop_bans_and_unbans_as_without() {
    let fleet = fleet();
    for family in Family::BOTH {
        fleet.make_errors(family, 50);
        fleet.await_ban(family.attacker());
    }
}
