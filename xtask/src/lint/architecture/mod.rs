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

use crate::lint::floors::{Rule, TABLE, Table};
use anyhow::{Result, ensure};
use graph::Graph;
use source::Sources;
use std::path::Path;
use workspace::Workspace;

/// Checks the repository, and prints what breaks a rule.
pub(super) fn run() -> Result<()> {
    let report = check(crate::workspace::root(), &TABLE)?;
    for excused in &report.excused {
        println!("lint: not yet: {excused}");
    }
    for violation in &report.violations {
        eprintln!("lint: {violation}");
    }
    let count = report.violations.len();
    ensure!(count == 0, "{count} violations of xtask/src/lint/floors.rs");
    Ok(())
}

/// What breaks the rules of a table.
#[derive(Default)]
struct Report {
    violations: Vec<String>,
    /// Violations of crates that [`Table::not_yet`] excuses.
    excused: Vec<String>,
}

/// Compares the workspace in a folder with a table.
fn check(root: &Path, table: &Table) -> Result<Report> {
    let workspace = Workspace::read(root)?;
    let sources = Sources::read(&workspace)?;
    let graphs = Graph::of_members(&sources);
    let mut report = Report::default();
    report
        .violations
        .extend(dependencies::violations(&workspace, table));
    report.violations.extend(purity::violations(&workspace, table)?);
    report
        .violations
        .extend(clippy_toml::violations(&workspace, table)?);
    for (rule, found) in [
        (Rule::Circles, circles::violations(&graphs)),
        (Rule::Presentation, presentation::violations(&graphs, table)),
        (Rule::PublicModules, public_modules::violations(&sources)),
    ] {
        for Violation { package, text } in found {
            let excused = table
                .not_yet
                .iter()
                .any(|(name, rules)| *name == package && rules.contains(&rule));
            if excused {
                report.excused.push(text);
            } else {
                report.violations.push(text);
            }
        }
    }
    Ok(report)
}

/// A rule that a package's sources break.
struct Violation {
    package: String,
    text: String,
}
