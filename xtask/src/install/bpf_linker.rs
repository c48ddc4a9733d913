//! bpf-linker, built against the LLVM that rustc has inside.

use super::cargo_tools::BPF_LINKER;
use super::toolchain::{BpfToolchain, llvm_feature};
use super::{Part, apt};
use anyhow::{Context, Result};
use std::path::Path;

/// What bpf-linker is built with: its LLVM must be rustc's, which is known once rustc is installed.
pub(super) struct LlvmPackages;

impl Part for LlvmPackages {
    fn missing(&self) -> Result<Vec<String>> {
        let Some(toolchain) = BpfToolchain::find()? else {
            return Ok(vec!["LLVM of the same version as rustc-web's".to_owned()]);
        };
        if toolchain.linker().is_some() {
            return Ok(Vec::new());
        }
        let llvm = toolchain.llvm;
        let wanted = [
            format!("llvm-{llvm}-dev"),
            format!("libpolly-{llvm}-dev"),
            "libzstd-dev".to_owned(),
            "zlib1g-dev".to_owned(),
            "g++".to_owned(),
        ];
        Ok(apt::not_installed(&wanted.each_ref().map(String::as_str)))
    }

    fn install(&self) -> Result<()> {
        apt::install(&self.missing()?)
    }
}

pub(super) struct BpfLinker;

impl Part for BpfLinker {
    fn missing(&self) -> Result<Vec<String>> {
        let found = BpfToolchain::find()?.is_some_and(|toolchain| toolchain.linker().is_some());
        Ok(if found {
            Vec::new()
        } else {
            vec![BPF_LINKER.to_string()]
        })
    }

    fn install(&self) -> Result<()> {
        let toolchain = BpfToolchain::find()?.context("bpf-linker needs to know rustc's LLVM first")?;
        let feature = llvm_feature(toolchain.llvm);
        BPF_LINKER.install_with(|cargo| {
            cargo
                // Without optimization it compiles in a third of the time; what takes time in its work is LLVM.
                .args(["--debug", "--no-default-features", "--features", &feature])
                // Where Debian and Ubuntu put an LLVM.
                .env("LLVM_PREFIX", Path::new("/usr/lib").join(&feature));
        })
    }
}
