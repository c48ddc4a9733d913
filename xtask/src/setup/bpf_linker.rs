//! bpf-linker, built against the LLVM that rustc has inside.

use super::cargo_tools::CargoTool;
use super::{Part, packages};
use crate::process::find;
use crate::toolchain::{BpfToolchain, Way};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const TOOL: CargoTool = CargoTool {
    name: "bpf-linker",
    version: "0.13.0",
};

pub(super) struct BpfLinker;

impl Part for BpfLinker {
    fn missing(&self) -> Result<Vec<String>> {
        let found = BpfToolchain::find()?.is_some_and(|toolchain| find_for(&toolchain).is_some());
        Ok(if found { Vec::new() } else { vec![TOOL.to_string()] })
    }

    fn install(&self) -> Result<()> {
        let toolchain = BpfToolchain::find()?.context("bpf-linker needs to know rustc's LLVM first")?;
        let feature = feature(toolchain.llvm);
        TOOL.install_with(|cargo| {
            cargo
                .args(["--no-default-features", "--features", &feature])
                .env("LLVM_PREFIX", prefix(toolchain.llvm));
        })
    }
}

/// The bpf-linker to use with this toolchain: ours, or for a nightly one that its user put on PATH.
pub(crate) fn find_for(toolchain: &BpfToolchain) -> Option<PathBuf> {
    if TOOL.is_installed_with(&feature(toolchain.llvm)) {
        return Some(TOOL.binary());
    }
    if toolchain.way == Way::Nightly {
        on_path()
    } else {
        None
    }
}

/// Whether there is, or can be, a bpf-linker for this LLVM.
pub(crate) fn is_obtainable(llvm: u32) -> bool {
    let package = format!("llvm-{llvm}-dev");
    TOOL.is_installed_with(&feature(llvm))
        || on_path().is_some()
        || packages::is_installed(&package)
        || packages::is_available(&package)
}

fn on_path() -> Option<PathBuf> {
    find(TOOL.name).filter(|file| !file.starts_with(workspace::tools()))
}

fn feature(llvm: u32) -> String {
    format!("llvm-{llvm}")
}

/// Where Debian and Ubuntu put an LLVM.
fn prefix(llvm: u32) -> PathBuf {
    Path::new("/usr/lib").join(feature(llvm))
}
