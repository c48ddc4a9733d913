//! Where a path leads.

use super::{Place, Sources};
use std::collections::HashSet;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Named {
    Module(Place),
    /// Something that this module defines, or a macro in it makes.
    ItemIn(Place),
}

/// Resolves paths, and remembers which modules other crates name.
pub(in super::super) struct Resolver<'sources> {
    sources: &'sources Sources,
    /// Modules on the way of the paths resolved so far, where another crate has written the path.
    pub(in super::super) named_outside: HashSet<Place>,
    /// Imports on the way to which this resolver is; one that leads to itself leads nowhere.
    following: Vec<(Place, String)>,
}

impl<'sources> Resolver<'sources> {
    pub(in super::super) fn new(sources: &'sources Sources) -> Self {
        Self {
            sources,
            named_outside: HashSet::new(),
            following: Vec::new(),
        }
    }

    /// What a path names in a module; `None` for what is not in the workspace, as well as for what a function defines or takes.
    pub(in super::super) fn resolve(&mut self, from: Place, path: &[String]) -> Option<Named> {
        let (first, rest) = path.split_first()?;
        let mut named = self.first(from, first)?;
        self.note(from, named);
        for name in rest {
            let Named::Module(place) = named else {
                break;
            };
            named = match name.as_str() {
                "self" => named,
                "super" => Named::Module(self.parent(place)?),
                _ => self.member(place, name).unwrap_or(Named::ItemIn(place)),
            };
            self.note(from, named);
        }
        Some(named)
    }

    /// The module that defines the item that a path names; `None` where it names a module.
    pub(in super::super) fn item(&mut self, from: Place, path: &[String]) -> Option<Place> {
        match self.resolve(from, path)? {
            Named::ItemIn(place) => Some(place),
            Named::Module(_) => None,
        }
    }

    fn first(&mut self, from: Place, name: &str) -> Option<Named> {
        match name {
            "crate" => Some(Named::Module(Place { module: 0, ..from })),
            "self" => Some(Named::Module(from)),
            "super" => self.parent(from).map(Named::Module),
            _ => self.member(from, name).or_else(|| self.other_crate(from, name)),
        }
    }

    /// What a module defines or imports by a name.
    fn member(&mut self, place: Place, name: &str) -> Option<Named> {
        let sources = self.sources;
        let module = sources.module(place);
        if let Some(child) = module.children.get(name) {
            return Some(Named::Module(Place {
                module: *child,
                ..place
            }));
        }
        if module.items.contains(name) {
            return Some(Named::ItemIn(place));
        }
        let key = (place, name.to_owned());
        if self.following.contains(&key) {
            return None;
        }
        self.following.push(key);
        let named = match module.imports.get(name) {
            Some(path) => self.resolve(place, path),
            None => module
                .globs
                .iter()
                .find_map(|path| match self.resolve(place, path)? {
                    Named::Module(glob) => self.member(glob, name),
                    Named::ItemIn(_) => None,
                }),
        };
        self.following.pop();
        named
    }

    /// A library of the workspace; from a program, that of its own package too.
    fn other_crate(&self, from: Place, name: &str) -> Option<Named> {
        let mut crates = self.sources.crates.iter().enumerate();
        let (krate, _) =
            crates.find(|(index, krate)| krate.is_library && krate.name == name && *index != from.krate)?;
        Some(Named::Module(Place { krate, module: 0 }))
    }

    fn parent(&self, place: Place) -> Option<Place> {
        let module = self.sources.module(place).parent?;
        Some(Place { module, ..place })
    }

    fn note(&mut self, from: Place, named: Named) {
        if let Named::Module(place) = named
            && place.krate != from.krate
        {
            self.named_outside.insert(place);
        }
    }
}
