//! The presentation layer of a crate is above its other modules.

use super::graph::Graph;
use crate::lint::floors::Table;

/// Imports of the presentation layer by modules below it.
pub(super) fn violations(graphs: &[Graph<'_>], table: &Table) -> Vec<String> {
    graphs
        .iter()
        .filter(|graph| graph.krate.is_library)
        .flat_map(|graph| of_library(graph, table))
        .collect()
}

fn of_library(graph: &Graph<'_>, table: &Table) -> Vec<String> {
    let package = &graph.krate.package;
    let Some((_, layers)) = table.presentation.iter().find(|(name, _)| name == package) else {
        return Vec::new();
    };
    // The root declares all modules, and has no rank.
    let rank = |file: usize| {
        let name = graph.krate.modules[file].path.first()?;
        Some(
            layers
                .iter()
                .position(|layer| layer == name)
                .unwrap_or(layers.len()),
        )
    };
    let upward = graph
        .imports()
        .filter(|import| matches!((rank(import.from), rank(import.to)), (Some(from), Some(to)) if to < from));
    upward
        .map(|import| {
            format!(
                "{}: above this module in xtask/src/lint/floors.rs",
                graph.shown(&import)
            )
        })
        .collect()
}
