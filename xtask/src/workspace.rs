//! Where things are: every path xtask reads or writes.

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's output, for every build xtask starts, whatever `CARGO_TARGET_DIR` says.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Programs that `setup` installs for this repository alone.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The crates whose `fuzz` folder, a workspace of its own, holds fuzz targets.
pub(crate) const FUZZED: [&str; 4] = ["secbeat-common", "secbeat-ebpf", "secbeat-edge", "tests"];

/// Those of [`FUZZED`] whose targets do without the daemons, and so without the daemons' 400 dependencies.
pub(crate) const FUZZED_ALONE: [&str; 3] = ["secbeat-common", "secbeat-ebpf", "secbeat-edge"];

/// The fuzz targets of one of [`FUZZED`].
pub(crate) fn fuzz(krate: &str) -> PathBuf {
    root().join(krate).join("fuzz")
}

/// The XDP program that the edge embeds.
pub(crate) fn bpf_object() -> PathBuf {
    object_in(&target())
}

/// The XDP program with its clock variants, for `bench xdp`.
pub(crate) fn bench_object() -> PathBuf {
    object_in(&bench_target())
}

/// A target directory of its own, so that the variants never replace the program that the edge embeds.
pub(crate) fn bench_target() -> PathBuf {
    target().join("bench-clocks")
}

/// Kernels that `vm` fetched, and what it needs while it runs.
pub(crate) fn vm() -> PathBuf {
    target().join("vm")
}

/// The sources of the web page.
pub(crate) fn dashboard() -> PathBuf {
    root().join("secbeat-orchestrator/dashboard")
}

/// Packages and tarballs.
pub(crate) fn dist() -> PathBuf {
    target().join("dist")
}

/// What the verifier processed for each program in each kernel, when somebody last said that it is right.
pub(crate) fn verifier_record() -> PathBuf {
    root().join("tests/verifier-instructions.json")
}

fn object_in(target: &Path) -> PathBuf {
    target.join("bpfel-unknown-none/release/secbeat-ebpf")
}
