//! Dependencies between the workspace's crates point down the table's floors.

use super::workspace::{Dependency, Package, Workspace};
use crate::lint::floors::Table;

/// Crates without a row, and dependencies that do not point down.
pub(super) fn violations(workspace: &Workspace, table: &Table) -> Vec<String> {
    workspace
        .packages
        .iter()
        .flat_map(|package| match floor(table, &package.name) {
            Some(floor) => upward(workspace, table, package, floor),
            None => vec![format!(
                "crate `{}` has no floor: add it to xtask/src/lint/floors.rs",
                package.name
            )],
        })
        .collect()
}

/// Dependencies of a crate on the same floor or a higher one. One without a floor is reported by itself.
fn upward(workspace: &Workspace, table: &Table, package: &Package, from: usize) -> Vec<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.name != package.name && workspace.package(&dependency.name).is_some())
        .filter(|dependency| !is_excepted(table, package, dependency))
        .filter_map(|dependency| {
            let to = floor(table, &dependency.name)?;
            let place = match to.cmp(&from) {
                std::cmp::Ordering::Less => "above",
                std::cmp::Ordering::Equal => "beside",
                std::cmp::Ordering::Greater => return None,
            };
            let of_tests = if dependency.only_tests { " in tests" } else { "" };
            let (name, other) = (&package.name, &dependency.name);
            Some(format!(
                "crate `{name}` depends{of_tests} on `{other}`, which is {place} it in xtask/src/lint/floors.rs"
            ))
        })
        .collect()
}

/// How many floors are above a crate.
fn floor(table: &Table, name: &str) -> Option<usize> {
    table.floors.iter().position(|floor| floor.contains(&name))
}

fn is_excepted(table: &Table, package: &Package, dependency: &Dependency) -> bool {
    table.exceptions.iter().any(|exception| {
        exception.from == package.name
            && exception.to == dependency.name
            && (dependency.only_tests || !exception.only_tests)
    })
}
