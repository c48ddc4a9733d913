//! Programs that cargo installs, pinned, under `target/tools`.

use super::Part;
use crate::process::{cargo, path_with, run};
use crate::workspace;
use anyhow::Result;
use serde_json::Value;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

pub(super) const BPF_LINKER: CargoTool = CargoTool {
    name: "bpf-linker",
    version: "0.13.0",
    takes_moments: false,
};
pub(super) const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    takes_moments: true,
};
pub(super) const MACHETE: CargoTool = CargoTool {
    name: "cargo-machete",
    version: "0.9.2",
    takes_moments: true,
};
pub(crate) const FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
    takes_moments: false,
};
pub(crate) const MDBOOK: CargoTool = CargoTool {
    name: "mdbook",
    version: "0.5.4",
    takes_moments: false,
};
pub(super) const DEB: CargoTool = CargoTool {
    name: "cargo-deb",
    version: "3.8.0",
    takes_moments: false,
};
pub(super) const SBOM: CargoTool = CargoTool {
    name: "cargo-sbom",
    version: "0.10.0",
    takes_moments: false,
};
/// The fastest of its kind in reading logs, which `bench sources` and `bench one-host` compare ours with.
pub(super) const FAIL2BAN_RS: CargoTool = CargoTool {
    name: "fail2ban-rs",
    version: "1.5.4",
    takes_moments: false,
};

/// PATH on which cargo finds them as its subcommands.
pub(crate) fn on_path() -> Result<OsString> {
    path_with(&[&workspace::tools().join("bin")])
}

/// A crate whose binary has the crate's name.
pub(crate) struct CargoTool {
    pub(super) name: &'static str,
    version: &'static str,
    /// Its work is so short that to compile it without optimization, which takes half the time, is faster in all.
    takes_moments: bool,
}

impl CargoTool {
    /// Where it is once installed.
    pub(crate) fn binary(&self) -> PathBuf {
        workspace::tools().join("bin").join(self.name)
    }

    /// Whether exactly this version is there, built with this feature; cargo keeps a record of its installations.
    pub(super) fn is_installed_with(&self, feature: &str) -> bool {
        self.record().is_some_and(|record| {
            record["features"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one == feature))
        })
    }

    fn record(&self) -> Option<Value> {
        if !self.binary().is_file() {
            return None;
        }
        let text = std::fs::read_to_string(workspace::tools().join(".crates2.json")).ok()?;
        let all: Value = serde_json::from_str(&text).ok()?;
        let wanted = format!("{self} (");
        all["installs"]
            .as_object()?
            .iter()
            .find(|(name, _)| name.starts_with(&wanted))
            .map(|(_, it)| it.clone())
    }

    /// Compiles it with further arguments; its intermediate files are thrown away.
    pub(super) fn install_with(&self, adjust: impl FnOnce(&mut Command)) -> Result<()> {
        let mut install = cargo("install");
        // Cargo's own choice for `install` is a temporary directory, which `CARGO_TARGET_DIR` would override.
        install.env_remove("CARGO_TARGET_DIR");
        install
            .args([
                self.name,
                "--version",
                self.version,
                "--locked",
                "--force",
                "--root",
            ])
            .arg(workspace::tools());
        adjust(&mut install);
        run(&mut install)
    }
}

impl fmt::Display for CargoTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Part for CargoTool {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(if self.record().is_some() {
            Vec::new()
        } else {
            vec![self.to_string()]
        })
    }

    fn install(&self) -> Result<()> {
        self.install_with(|cargo| {
            if self.takes_moments {
                cargo.arg("--debug");
            }
        })
    }
}
