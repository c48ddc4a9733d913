//! `docs`: the docs as a book.

use crate::dashboard;
use crate::install::{self, Group, cargo_tools};
use crate::process::run as run_command;
use crate::scenario::{self, Profile};
use crate::workspace;
use anyhow::Result;
use std::process::Command;

/// Writes the references of configs, commands and the REST API.
const REFERENCE: &str = "secbeat-reference";

/// Takes pictures of the web page.
const SCREENSHOTS: &str = "secbeat-screenshots";

/// Make a book of the docs.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Only write the references of configs, commands and the REST API anew, after their types have changed
    #[arg(long)]
    reference: bool,
    /// Only take the pictures of the web page anew, on a host that is attacked in network namespaces
    #[arg(long, conflicts_with = "reference")]
    screenshots: bool,
}

/// Writes it to `target/book`.
pub(crate) fn run(args: Args) -> Result<()> {
    if args.reference {
        scenario::build(Profile::Debug, &[REFERENCE])?;
        return run_command(
            Command::new(Profile::Debug.bin_dir().join(REFERENCE)).current_dir(workspace::root()),
        );
    }
    if args.screenshots {
        install::ensure(&[Group::Test])?;
        dashboard::build()?;
        return scenario::start_on_one_host(SCREENSHOTS);
    }
    install::ensure(&[Group::Docs])?;
    run_command(
        Command::new(cargo_tools::MDBOOK.binary())
            .arg("build")
            .current_dir(workspace::root()),
    )
}
