//! Files do not import each other in circles, except a module and the modules in it.

use super::graph::{Circle, Graph};

/// Circles of files in the members' crates.
pub(super) fn violations(graphs: &[Graph<'_>]) -> Vec<String> {
    let circles = graphs
        .iter()
        .flat_map(|graph| graph.circles().into_iter().map(move |circle| (graph, circle)));
    circles.map(|(graph, circle)| describe(graph, &circle)).collect()
}

fn describe(graph: &Graph<'_>, circle: &Circle<'_>) -> String {
    let steps: Vec<_> = circle
        .shortest
        .iter()
        .map(|import| format!("\n    {}", graph.shown(import)))
        .collect();
    let files: Vec<_> = circle.files.iter().map(|file| graph.file(*file)).collect();
    format!(
        "{}: {} files import each other in circles: {}. The shortest circle:{}",
        graph.krate.package,
        files.len(),
        files.join(", "),
        steps.concat()
    )
}
