//! Schemathesis, which makes requests of the API's description, with all that it needs of the Python Package Index.

use super::{Part, pip::pip};
use crate::process::run;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

const VERSION: &str = "4.32.5";

/// The library, in `target/tools/schemathesis`; python3 runs its `bin/schemathesis` with the folder on PYTHONPATH.
pub(super) struct Schemathesis;

impl Schemathesis {
    fn folder() -> PathBuf {
        workspace::tools().join("schemathesis")
    }

    fn metadata() -> PathBuf {
        Self::folder().join(format!("schemathesis-{VERSION}.dist-info"))
    }

    pub(super) fn is_installed() -> bool {
        Self::metadata().is_dir() && Self::folder().join("bin/schemathesis").is_file()
    }
}

impl Part for Schemathesis {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(match Self::is_installed() {
            true => Vec::new(),
            false => vec![format!("schemathesis {VERSION}")],
        })
    }

    fn install(&self) -> Result<()> {
        let folder = Self::folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        run(pip()?
            .args(["--disable-pip-version-check", "install", "--quiet", "--target"])
            .arg(&folder)
            .arg(format!("schemathesis=={VERSION}")))
    }
}
