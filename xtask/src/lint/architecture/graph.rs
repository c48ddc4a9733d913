//! Which files of a crate import which, and their circles.

use super::source::{Crate, Place, Reference, Resolver, Sources};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Files of a crate, as the indices of their modules, and what they import of each other.
pub(super) struct Graph<'sources> {
    sources: &'sources Sources,
    pub(super) krate: &'sources Crate,
    /// By file, the files that it imports from, and where it does so first.
    edges: BTreeMap<usize, BTreeMap<usize, &'sources Reference>>,
}

/// The first import of something in another file.
#[derive(Clone, Copy)]
pub(super) struct Import<'sources> {
    pub(super) from: usize,
    pub(super) to: usize,
    reference: &'sources Reference,
}

/// Files that import each other.
pub(super) struct Circle<'sources> {
    pub(super) files: BTreeSet<usize>,
    /// The shortest way around that is more than a module and those in it.
    pub(super) shortest: Vec<Import<'sources>>,
}

impl<'sources> Graph<'sources> {
    /// The graph of each crate of the workspace, without what only tests have.
    pub(super) fn of_members(sources: &'sources Sources) -> Vec<Self> {
        let mut resolver = Resolver::new(sources);
        let crates = sources.crates.iter().enumerate();
        crates
            .filter(|(_, krate)| krate.is_member)
            .map(|(krate, _)| Self::new(sources, &mut resolver, krate))
            .collect()
    }

    fn new(sources: &'sources Sources, resolver: &mut Resolver<'_>, krate: usize) -> Self {
        let mut edges: BTreeMap<usize, BTreeMap<usize, &Reference>> = BTreeMap::new();
        let modules = &sources.crates[krate].modules;
        for (index, module) in modules.iter().enumerate().filter(|(_, module)| !module.is_test) {
            let from = sources.crates[krate].file_of(index);
            for reference in module.references.iter().filter(|reference| !reference.is_test) {
                let item = resolver.item(Place { krate, module: index }, &reference.path);
                if let Some(defined) = item.filter(|defined| defined.krate == krate) {
                    let to = sources.crates[krate].file_of(defined.module);
                    if from != to {
                        edges.entry(from).or_default().entry(to).or_insert(reference);
                    }
                }
            }
        }
        Self {
            sources,
            krate: &sources.crates[krate],
            edges,
        }
    }

    /// All imports between files.
    pub(super) fn imports(&self) -> impl Iterator<Item = Import<'sources>> {
        let from = self.edges.iter().map(|(from, edges)| (*from, edges));
        from.flat_map(|(from, edges)| edges.iter().map(move |(to, reference)| (from, *to, *reference)))
            .map(|(from, to, reference)| Import { from, to, reference })
    }

    /// An import as a reader finds it: `src/a.rs:3 imports crate::b::B of src/b.rs`.
    pub(super) fn shown(&self, import: &Import<'_>) -> String {
        let Reference { path, line, .. } = import.reference;
        let (from, to) = (self.file(import.from), self.file(import.to));
        format!("{from}:{line} imports {} of {to}", path.join("::"))
    }

    /// A file as one types it in the workspace's folder.
    pub(super) fn file(&self, file: usize) -> String {
        self.sources.shown(&self.krate.modules[file])
    }

    /// Circles that are more than a module and those in it.
    pub(super) fn circles(&self) -> Vec<Circle<'sources>> {
        let all = (0..self.krate.modules.len()).collect();
        self.components(&all)
            .into_iter()
            .flat_map(|component| self.forbidden(component))
            .map(|files| Circle {
                shortest: self.shortest(&files),
                files,
            })
            .collect()
    }

    /// The parts of a circle that are forbidden.
    ///
    /// A circle is allowed if one of its files is the module that has all the others in it. That file is taken out, and the
    /// circles that remain are judged in the same way.
    fn forbidden(&self, mut files: BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
        let ancestor = self.common_ancestor(&files);
        if !files.remove(&ancestor) {
            return vec![files];
        }
        let rest = self.components(&files);
        rest.into_iter()
            .flat_map(|component| self.forbidden(component))
            .collect()
    }

    /// Sets of two files and more in which a way leads from each to each.
    fn components(&self, files: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
        let reached = files.iter().map(|file| (*file, self.reached(*file, files)));
        let reached: BTreeMap<_, _> = reached.collect();
        let leads = |from: &usize, to: &usize| reached[from].contains_key(to);
        let mut rest = files.clone();
        let mut components = Vec::new();
        while let Some(file) = rest.pop_first() {
            let both = |other: &usize| leads(&file, other) && leads(other, &file);
            let mut component: BTreeSet<_> = rest.iter().copied().filter(both).collect();
            rest.retain(|other| !component.contains(other));
            component.insert(file);
            if component.len() > 1 {
                components.push(component);
            }
        }
        components
    }

    /// Files to which a way leads inside a set, each with the one before it on the shortest way.
    fn reached(&self, from: usize, inside: &BTreeSet<usize>) -> BTreeMap<usize, usize> {
        let mut before = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(file) = queue.pop_front() {
            for next in self.edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
                if inside.contains(next) && !before.contains_key(next) {
                    before.insert(*next, file);
                    queue.push_back(*next);
                }
            }
        }
        before
    }

    /// The shortest circle in a set without a common module, among those that cross from one module to another.
    fn shortest(&self, files: &BTreeSet<usize>) -> Vec<Import<'sources>> {
        let depth = self.krate.modules[self.common_ancestor(files)].path.len();
        let part = |file: usize| &self.krate.modules[file].path[depth];
        let mut circle = self
            .imports()
            .filter(|import| files.contains(&import.from) && files.contains(&import.to))
            .filter(|import| part(import.from) != part(import.to))
            .map(|import| self.way(import.to, import.from, files))
            .min_by_key(Vec::len)
            .unwrap_or_default();
        circle.rotate_right(1);
        let next = circle.iter().cycle().skip(1);
        let steps = circle.iter().zip(next).map(|(from, to)| (*from, *to));
        steps
            .map(|(from, to)| Import {
                from,
                to,
                reference: self.edges[&from][&to],
            })
            .collect()
    }

    /// The files on the shortest way from one to another inside a set, both included.
    fn way(&self, from: usize, to: usize, inside: &BTreeSet<usize>) -> Vec<usize> {
        let before = self.reached(from, inside);
        let mut way = vec![to];
        let mut file = to;
        while let Some(previous) = before.get(&file).filter(|_| file != from) {
            way.push(*previous);
            file = *previous;
        }
        way.reverse();
        way
    }

    /// The innermost module that has all of some files in it, or is one of them and has the others in it.
    fn common_ancestor(&self, files: &BTreeSet<usize>) -> usize {
        let modules = &self.krate.modules;
        let mut ancestor = files.first().copied().unwrap_or_default();
        let has = |module: usize, file: &usize| modules[*file].path.starts_with(&modules[module].path);
        while let Some(parent) = modules[ancestor].parent
            && !files.iter().all(|file| has(ancestor, file))
        {
            ancestor = parent;
        }
        ancestor
    }
}
