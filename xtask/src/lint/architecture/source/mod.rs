//! The workspace's sources as crates, modules and the paths between them.

mod cfg;
mod names;
mod parse;
mod resolve;

pub(super) use resolve::Resolver;

use super::workspace::{Package, Workspace};
use anyhow::{Result, anyhow};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::thread;

/// All crates of the workspace, and the fuzz targets beside it.
pub(super) struct Sources {
    pub(super) root: PathBuf,
    pub(super) crates: Vec<Crate>,
}

/// What cargo compiles at once: a library, a program, a test executable.
pub(super) struct Crate {
    /// As paths call it: `secbeat_edge`.
    pub(super) name: String,
    pub(super) package: String,
    pub(super) is_library: bool,
    /// Whether the package is a member of the workspace; fuzz targets are none.
    pub(super) is_member: bool,
    /// Parents before their children, the crate's root first.
    pub(super) modules: Vec<Module>,
}

impl Crate {
    /// The module that is all of the file where a module is.
    pub(super) fn file_of(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module]
            .parent
            .filter(|_| !self.modules[module].is_file)
        {
            module = parent;
        }
        module
    }
}

/// A module, in a file of its own or not.
#[derive(Default)]
pub(super) struct Module {
    /// Its name and those of its parents, but for the root's.
    pub(super) path: Vec<String>,
    pub(super) file: PathBuf,
    /// Whether it is all that its file has, not a part between braces.
    pub(super) is_file: bool,
    pub(super) is_public: bool,
    /// Whether only tests have it.
    pub(super) is_test: bool,
    /// Where its parent declares it.
    pub(super) declared: usize,
    pub(super) parent: Option<usize>,
    pub(super) children: HashMap<String, usize>,
    /// Names of what it defines.
    pub(super) items: HashSet<String>,
    /// Names that it imports, and what for.
    pub(super) imports: HashMap<String, Vec<String>>,
    /// Modules of which it imports all names.
    pub(super) globs: Vec<Vec<String>>,
    pub(super) references: Vec<Reference>,
}

/// A path in a module's text.
pub(super) struct Reference {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    /// Whether only tests have it.
    pub(super) is_test: bool,
}

/// A module of a crate, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) krate: usize,
    pub(super) module: usize,
}

impl Sources {
    /// Parses every file of a workspace, crates side by side.
    pub(super) fn read(workspace: &Workspace) -> Result<Self> {
        let members = workspace.packages.iter().map(|package| (package, true));
        let fuzz = workspace.fuzz.iter().map(|package| (package, false));
        let crates = thread::scope(|scope| {
            let parsers: Vec<_> = members
                .chain(fuzz)
                .map(|(package, is_member)| scope.spawn(move || crates(package, is_member)))
                .collect();
            let parsed = parsers.into_iter().map(|parser| {
                parser
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a parser of sources panicked")))
            });
            parsed.collect::<Result<Vec<_>>>()
        })?;
        Ok(Self {
            root: workspace.root.clone(),
            crates: crates.into_iter().flatten().collect(),
        })
    }

    pub(super) fn module(&self, place: Place) -> &Module {
        &self.crates[place.krate].modules[place.module]
    }

    /// A file as one types it in the workspace's folder.
    pub(super) fn shown(&self, module: &Module) -> String {
        let file = module.file.strip_prefix(&self.root).unwrap_or(&module.file);
        file.display().to_string()
    }
}

fn crates(package: &Package, is_member: bool) -> Result<Vec<Crate>> {
    package
        .targets
        .iter()
        .map(|target| {
            Ok(Crate {
                name: target.name.clone(),
                package: package.name.clone(),
                is_library: target.is_library,
                is_member,
                modules: parse::modules(&target.root)?,
            })
        })
        .collect()
}
