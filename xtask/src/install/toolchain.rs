//! Which Rust builds the XDP program: it must come with `core` for BPF, or with core's sources.

use super::apt;
use super::cargo_tools::BPF_LINKER;
use crate::process::{find, output, untouched};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_BPF_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";

/// A toolchain that can build for `bpfel-unknown-none`, and why it was chosen.
pub(crate) struct BpfToolchain {
    pub(crate) way: Way,
    /// Major version of the LLVM inside its rustc; bpf-linker must be built with the same.
    pub(crate) llvm: u32,
    pub(crate) why: String,
}

/// The two ways to get `core` for BPF.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// rustup's nightly compiles `core` from `rust-src`.
    Nightly,
    /// Debian's `rustc-web` finds it ready-made in `libstd-rust-web-dev-bpf`.
    Debian,
}

impl BpfToolchain {
    /// The toolchain to use on this machine, or `None` where neither is installed.
    pub(crate) fn find() -> Result<Option<Self>> {
        let why_not = match nightly_llvm() {
            None => "rustup has no nightly with rust-src".to_owned(),
            Some(llvm) if is_linker_obtainable(llvm) => {
                let why = "its nightly has rust-src".to_owned();
                return Ok(Some(Self {
                    way: Way::Nightly,
                    llvm,
                    why,
                }));
            }
            Some(llvm) => format!("there is no bpf-linker for the LLVM {llvm} of rustup's nightly"),
        };
        if !Path::new(DEBIAN_RUSTC).exists() || !Path::new(DEBIAN_BPF_CORE).exists() {
            return Ok(None);
        }
        let version = output(untouched(DEBIAN_RUSTC).arg("-vV"))?;
        let llvm = llvm_major(&version).context("`/usr/bin/rustc -vV` does not say which LLVM it has")?;
        Ok(Some(Self {
            way: Way::Debian,
            llvm,
            why: why_not,
        }))
    }

    /// The bpf-linker to use with it: ours, or for a nightly one that its user put on PATH.
    pub(crate) fn linker(&self) -> Option<PathBuf> {
        if BPF_LINKER.is_installed_with(&llvm_feature(self.llvm)) {
            return Some(BPF_LINKER.binary());
        }
        linker_on_path().filter(|_| self.way == Way::Nightly)
    }
}

/// Whether there is, or can be, a bpf-linker for this LLVM.
fn is_linker_obtainable(llvm: u32) -> bool {
    let package = format!("llvm-{llvm}-dev");
    BPF_LINKER.is_installed_with(&llvm_feature(llvm))
        || linker_on_path().is_some()
        || apt::not_installed(&[&package]).is_empty()
        || apt::is_available(&package)
}

fn linker_on_path() -> Option<PathBuf> {
    find(BPF_LINKER.name).filter(|file| !file.starts_with(workspace::tools()))
}

/// The feature with which bpf-linker is built for an LLVM.
pub(super) fn llvm_feature(llvm: u32) -> String {
    format!("llvm-{llvm}")
}

/// The LLVM of rustup's nightly, if it has core's sources.
fn nightly_llvm() -> Option<u32> {
    find("rustup")?;
    let nightly = |arg: &[&str]| output(untouched("rustup").args(["run", "nightly", "rustc"]).args(arg)).ok();
    let sysroot = nightly(&["--print", "sysroot"])?;
    if !Path::new(&sysroot)
        .join("lib/rustlib/src/rust/library/core")
        .exists()
    {
        return None;
    }
    llvm_major(&nightly(&["-vV"])?)
}

/// Reads the major from the line `LLVM version: 22.1.8` of `rustc -vV`.
fn llvm_major(version: &str) -> Option<u32> {
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_major_is_read_from_rustc() {
        let printed = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(printed), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0"), None);
    }
}
