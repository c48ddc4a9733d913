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
