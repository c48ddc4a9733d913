//! Pure crates have a `clippy.toml` that disallows clocks and random identifiers.

use super::workspace::Workspace;
use crate::lint::floors::Table;
use anyhow::{Context, Result};
use std::fs;

/// Functions that the `clippy.toml` of a pure crate does not disallow. Clippy reads the one nearest to a crate, and no other.
pub(super) fn violations(workspace: &Workspace, table: &Table) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for package in table.pure.iter().filter_map(|name| workspace.package(name)) {
        let path = package.folder.join("clippy.toml");
        let name = &package.name;
        if !path.exists() {
            violations.push(format!(
                "crate `{name}` is pure, but has no clippy.toml that disallows clocks"
            ));
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let missing = table
            .clocks
            .iter()
            .filter(|clock| !text.contains(&format!("\"{clock}\"")));
        violations.extend(
            missing.map(|clock| {
                format!("crate `{name}` is pure, but its clippy.toml does not disallow `{clock}`")
            }),
        );
    }
    Ok(violations)
}
