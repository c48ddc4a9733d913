//! What `lint` checks of the architecture, with the [`Table`] of "may import".

mod circles;
mod clippy_toml;
mod dependencies;
mod graph;
mod presentation;
mod public_modules;
mod purity;
mod source;
mod workspace;

#[cfg(test)]
mod tests;

use crate::lint::floors::{TABLE, Table};
use anyhow::{Result, ensure};
use graph::Graph;
use source::Sources;
use std::path::Path;
use workspace::Workspace;

/// Checks the repository, and prints what breaks a rule.
pub(super) fn run() -> Result<()> {
    let violations = check(crate::workspace::root(), &TABLE)?;
    for violation in &violations {
        eprintln!("lint: {violation}");
    }
    let count = violations.len();
    ensure!(count == 0, "{count} violations of xtask/src/lint/floors.rs");
    Ok(())
}

/// Compares the workspace in a folder with a table, and tells what breaks its rules.
fn check(root: &Path, table: &Table) -> Result<Vec<String>> {
    let workspace = Workspace::read(root)?;
    let sources = Sources::read(&workspace)?;
    let graphs = Graph::of_members(&sources);
    Ok([
        dependencies::violations(&workspace, table),
        purity::violations(&workspace, table)?,
        clippy_toml::violations(&workspace, table)?,
        circles::violations(&graphs),
        presentation::violations(&graphs, table),
        public_modules::violations(&sources),
    ]
    .concat())
}
