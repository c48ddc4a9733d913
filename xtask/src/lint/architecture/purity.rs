//! Pure crates have no I/O among all that they depend on.

use super::workspace::Workspace;
use crate::lint::floors::Table;
use crate::process::{cargo, output};
use anyhow::Result;

/// Impure crates that pure ones depend on, each with the way to it.
///
/// `cargo tree` is asked for one crate at a time: `cargo metadata` shows the features that all members together need.
pub(super) fn violations(workspace: &Workspace, table: &Table) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for name in table.pure {
        if workspace.package(name).is_some() {
            let mut tree = cargo("tree");
            tree.args(["--package", name, "--edges", "normal", "--all-features"])
                .args(["--prefix", "depth", "--format", "{p}"])
                .current_dir(&workspace.root);
            let ways = ways_to(&output(&mut tree)?, table.impure);
            violations.extend(
                ways.into_iter()
                    .map(|way| format!("crate `{name}` is pure, but depends on I/O: {}", way.join(" → "))),
            );
        }
    }
    Ok(violations)
}

/// The first way to each of some crates in what `cargo tree --prefix depth` prints: lines such as `2tokio v1.52.0 (*)`.
fn ways_to(tree: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut way: Vec<String> = Vec::new();
    let mut ways: Vec<Vec<String>> = Vec::new();
    for line in tree.lines() {
        let digits = line.len()
            - line
                .trim_start_matches(|character: char| character.is_ascii_digit())
                .len();
        let (depth, package) = line.split_at(digits);
        let (Ok(depth), Some(package)) = (depth.parse(), package.split(' ').next()) else {
            continue;
        };
        way.truncate(depth);
        way.push(package.to_owned());
        let is_new = !ways.iter().any(|known| known.last() == way.last());
        if names.contains(&package) && is_new {
            ways.push(way.clone());
        }
    }
    ways
}
