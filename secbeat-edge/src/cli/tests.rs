use clap::CommandFactory;
use secbeat_daemon::cli::help_of_all;

use super::*;

#[test]
fn the_help_reads_as_it_did() {
    Cli::command().debug_assert();
    insta::assert_snapshot!(help_of_all::<Cli>());
}
