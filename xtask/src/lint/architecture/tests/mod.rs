//! Small workspaces in a temporary folder, and what breaks the rules there.

mod circles;
mod dependencies;
mod modules;

use super::check;
use crate::lint::floors::Table;
use std::fs;
use tempfile::TempDir;

/// A table without rules. `one` is the crate of the fixtures that need no second one.
const NONE: Table = Table {
    floors: &[&["one"]],
    exceptions: &[],
    pure: &[],
    impure: &[],
    clocks: &[],
    presentation: &[],
};

/// A crate of a fixture: its name, its dependencies in TOML, its files and their texts.
type Fixture<'text> = (&'text str, &'text str, &'text [(&'text str, &'text str)]);

/// What breaks the rules of a table in a workspace of these crates.
fn violations(crates: &[Fixture<'_>], table: &Table) -> Vec<String> {
    let folder = workspace(crates);
    check(folder.path(), table).unwrap()
}

fn workspace(crates: &[Fixture<'_>]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let members: Vec<_> = crates.iter().map(|(name, ..)| *name).collect();
    let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    for (name, dependencies, files) in crates {
        let package = folder.path().join(name);
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{dependencies}");
        for (file, text) in [("Cargo.toml", manifest.as_str())].iter().chain(*files) {
            let file = package.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }
    folder
}
