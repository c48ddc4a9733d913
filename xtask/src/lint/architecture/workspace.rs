//! The packages of a workspace, as `cargo metadata` lists them.

use crate::process::{cargo, output};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The packages of a workspace and of the fuzz targets beside it.
pub(super) struct Workspace {
    pub(super) root: PathBuf,
    pub(super) packages: Vec<Package>,
    /// Packages of the workspaces in the members' `fuzz` folders.
    pub(super) fuzz: Vec<Package>,
}

/// A package and what its manifest says.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) targets: Vec<Target>,
}

/// A dependency of a package, by name.
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) only_tests: bool,
}

/// What cargo compiles as one crate.
pub(super) struct Target {
    /// As paths call it: `secbeat_edge`.
    pub(super) name: String,
    pub(super) is_library: bool,
    pub(super) root: PathBuf,
}

impl Workspace {
    /// Reads the manifests below a workspace's folder.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let packages = packages(root)?;
        let mut fuzz = Vec::new();
        for package in &packages {
            let folder = package.folder.join("fuzz");
            if folder.join("Cargo.toml").exists() {
                fuzz.extend(self::packages(&folder)?);
            }
        }
        Ok(Self {
            root: root.to_owned(),
            packages,
            fuzz,
        })
    }

    /// The package of a name, if the workspace has it.
    pub(super) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

fn packages(folder: &Path) -> Result<Vec<Package>> {
    let mut metadata = cargo("metadata");
    metadata
        .args(["--no-deps", "--format-version", "1"])
        .current_dir(folder);
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)
        .with_context(|| format!("cannot read `cargo metadata` of {}", folder.display()))?;
    Ok(list(&metadata, "packages").map(package).collect())
}

fn package(package: &Value) -> Package {
    let manifest = PathBuf::from(text(package, "manifest_path"));
    Package {
        name: text(package, "name").to_owned(),
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        dependencies: list(package, "dependencies").map(dependency).collect(),
        targets: list(package, "targets").map(target).collect(),
    }
}

fn dependency(dependency: &Value) -> Dependency {
    Dependency {
        name: text(dependency, "name").to_owned(),
        only_tests: dependency["kind"] == "dev",
    }
}

fn target(target: &Value) -> Target {
    Target {
        name: text(target, "name").replace('-', "_"),
        is_library: list(target, "kind").any(|kind| kind == "lib"),
        root: PathBuf::from(text(target, "src_path")),
    }
}

fn list<'value>(of: &'value Value, key: &str) -> impl Iterator<Item = &'value Value> {
    of[key].as_array().into_iter().flatten()
}

fn text<'value>(of: &'value Value, key: &str) -> &'value str {
    of[key].as_str().unwrap_or_default()
}
