use clap::CommandFactory;
use secbeat_daemon::cli::{
    help_of_all,
    words::{EVERYWHERE, FIREWALL, untrue},
};

use super::*;

#[test]
fn the_help_reads_as_it_did() {
    Cli::command().debug_assert();
    insta::assert_snapshot!(help_of_all::<Cli>());
}

#[test]
fn words_of_other_programs_are_what_they_are_said_to_be() {
    assert_eq!(untrue::<Cli>(WORDS), [""; 0]);
    assert_eq!(untrue::<Cli>(FIREWALL), [""; 0]);
    assert_eq!(untrue::<Cli>(EVERYWHERE), [""; 0]);
}

#[test]
fn why_bans_are_removed_selects_none() {
    let parses = |arguments: &[&str]| {
        let all = [&["secbeat-orchestrator", "unban"], arguments].concat();
        Cli::try_parse_from(all).is_ok()
    };
    assert!(parses(&["192.0.2.1", "--comment", "ours"]));
    assert!(parses(&["--note", "list 7", "--comment", "a mistaken list"]));
    assert!(!parses(&["--comment", "ours"]));
    assert!(!parses(&["192.0.2.1", "--except", "--comment", "ours"]));
}
