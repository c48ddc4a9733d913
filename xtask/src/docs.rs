//! `docs`: the docs as a book.

use crate::process::run as run_command;
use crate::setup::{self, Group, cargo_tools};
use crate::workspace;
use anyhow::Result;
use std::process::Command;

/// Writes it to `target/book`.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Group::Docs])?;
    run_command(
        Command::new(cargo_tools::MDBOOK.binary())
            .arg("build")
            .current_dir(workspace::root()),
    )
}
