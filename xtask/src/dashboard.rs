//! `dashboard`: the web page, from its sources to the files that the daemons embed.

use crate::install::{self, Group, node::Node};
use crate::process::{output, run as run_command};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the description of the API is, seen from the sources of the page.
const API: &str = "../src/api/snapshots";

/// Build the web page, which the next build of a daemon embeds; quick when nothing has changed.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Then run the tests of its scripts
    #[arg(long)]
    test: bool,
}

/// The command itself.
pub(crate) fn run(args: Args) -> Result<()> {
    build()?;
    if args.test { test() } else { Ok(()) }
}

/// Builds it, unless it was built from the same sources.
pub(crate) fn build() -> Result<()> {
    install::ensure(&[Group::Dashboard])?;
    let folder = workspace::dashboard();
    let built = folder.join("dist");
    let stamp = Stamp {
        file: workspace::target().join("dashboard.stamp"),
        digest: digest(&sources(&folder)?)?,
    };
    // Its tests need what it was built with, too.
    fetch(&folder)?;
    if stamp.is_set() && built.join("index.html").is_file() {
        return Ok(());
    }
    println!("dashboard: building");
    run_command(Node::npm()?.args(["run", "build"]).current_dir(&folder))?;
    ensure!(
        built.join("index.html").is_file(),
        "{} has no index.html",
        built.display()
    );
    stamp.set()
}

/// Runs the tests of its scripts.
pub(crate) fn test() -> Result<()> {
    run_command(Node::npm()?.arg("test").current_dir(workspace::dashboard()))
}

/// Fetches what the lock file names, unless it is there.
fn fetch(folder: &Path) -> Result<()> {
    let stamp = Stamp {
        file: workspace::target().join("dashboard-modules.stamp"),
        digest: digest(&[folder.join("package.json"), folder.join("package-lock.json")])?,
    };
    if stamp.is_set() && folder.join("node_modules").is_dir() {
        return Ok(());
    }
    println!("dashboard: fetching what it is built with");
    run_command(
        Node::npm()?
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder),
    )?;
    stamp.set()
}

/// Everything that git has or would have of it, and the description of the API, of which its types are made.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", ".", API])
            .current_dir(folder),
    )?;
    let files = listed
        .lines()
        .map(|name| folder.join(name))
        .filter(|file| file.is_file());
    Ok(files.collect())
}

fn digest(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        (file, bytes).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Says of what something was made.
struct Stamp {
    file: PathBuf,
    digest: String,
}

impl Stamp {
    fn is_set(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|stamp| stamp.trim() == self.digest)
    }

    fn set(&self) -> Result<()> {
        fs::create_dir_all(workspace::target()).context("cannot create target")?;
        fs::write(&self.file, &self.digest).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "1").unwrap();
        let files = [file.clone()];
        let before = digest(&files).unwrap();
        assert_eq!(digest(&files).unwrap(), before);
        fs::write(&file, "2").unwrap();
        assert_ne!(digest(&files).unwrap(), before);
        assert!(digest(&[folder.path().join("none")]).is_err());
    }
}
