//! `docs`: the docs as a book.

use crate::process::{cargo, run as run_command};
use crate::setup::{self, Group, cargo_tools};
use crate::workspace;
use anyhow::Result;
use std::process::Command;

/// Make a book of the docs.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Only write the reference of the configs anew, after their types have changed
    #[arg(long)]
    reference: bool,
}

/// Writes it to `target/book`.
pub(crate) fn run(args: Args) -> Result<()> {
    if args.reference {
        return run_command(cargo("run").args([
            "--quiet",
            "--package",
            "secbeat-tests",
            "--bin",
            "secbeat-reference",
        ]));
    }
    setup::ensure(&[Group::Docs])?;
    run_command(
        Command::new(cargo_tools::MDBOOK.binary())
            .arg("build")
            .current_dir(workspace::root()),
    )
}
