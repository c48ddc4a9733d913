//! A module is public only if another crate names it.

use super::source::{Place, Resolver, Sources};

/// Public modules of the members' libraries that no other crate names: no program, no test executable and no fuzz target either.
pub(super) fn violations(sources: &Sources) -> Vec<String> {
    let mut resolver = Resolver::new(sources);
    for (krate, of_crate) in sources.crates.iter().enumerate() {
        for (module, of_module) in of_crate.modules.iter().enumerate() {
            for reference in &of_module.references {
                resolver.resolve(Place { krate, module }, &reference.path);
            }
        }
    }
    let mut violations = Vec::new();
    for (krate, of_crate) in sources
        .crates
        .iter()
        .enumerate()
        .filter(|(_, krate)| krate.is_library && krate.is_member)
    {
        // Parents come before their children.
        let mut reachable = vec![true];
        for (module, of_module) in of_crate.modules.iter().enumerate().skip(1) {
            let parent = of_module.parent.unwrap_or_default();
            reachable.push(of_module.is_public && !of_module.is_test && reachable[parent]);
            if reachable[module] && !resolver.named_outside.contains(&Place { krate, module }) {
                violations.push(format!(
                    "{}:{}: no other crate names the public module `{}`: make it private",
                    sources.shown(&of_crate.modules[parent]),
                    of_module.declared,
                    of_module.path.join("::")
                ));
            }
        }
    }
    violations
}
