//! Builds the XDP program, by rustup's nightly or by Debian's Rust.

use crate::install::toolchain::{BpfToolchain, Way};
use crate::process::{path_with, run, untouched};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Builds the program that the edge embeds. The toolchain must have been set up.
pub(crate) fn build() -> Result<()> {
    build_with("program", &workspace::target(), &workspace::bpf_object())
}

/// Builds the variants for the benchmark. The toolchain must have been set up.
pub(crate) fn build_bench_clocks() -> Result<()> {
    build_with(
        "bench-clocks",
        &workspace::bench_target(),
        &workspace::bench_object(),
    )
}

fn build_with(feature: &str, target: &Path, object: &Path) -> Result<()> {
    let toolchain = BpfToolchain::find()?.context("no Rust here builds for BPF: run `cargo xtask setup`")?;
    let linker = toolchain
        .linker()
        .context("bpf-linker is missing: run `cargo xtask setup`")?;
    let linker_dir = linker.parent().context("bpf-linker has no directory")?;
    let why = &toolchain.why;
    let mut cargo = match toolchain.way {
        Way::Nightly => {
            println!("build-ebpf ({feature}): with rustup's nightly and build-std, since {why}");
            let mut cargo = untouched("rustup");
            cargo.args(["run", "nightly", "cargo", "build", "-Z", "build-std=core"]);
            cargo.env("PATH", path_with(&[linker_dir])?);
            cargo
        }
        Way::Debian => {
            println!("build-ebpf ({feature}): with Debian's rustc-web and its ready-made core, since {why}");
            let mut cargo = untouched("/usr/bin/cargo");
            cargo
                .arg("build")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1");
            cargo.env("PATH", path_with(&[Path::new("/usr/bin"), linker_dir])?);
            cargo
        }
    };
    release_for_bpf(&mut cargo);
    cargo.args([
        "--package",
        "secbeat-ebpf",
        "--features",
        feature,
        "--target",
        "bpfel-unknown-none",
        "--release",
    ]);
    cargo.arg("--target-dir").arg(target);
    run(&mut cargo)?;
    ensure!(
        object.is_file(),
        "the build succeeded but left no {}",
        object.display()
    );
    Ok(())
}

/// One optimised object with debug information, from which bpf-linker makes the BTF; no unwinding in the kernel.
fn release_for_bpf(cargo: &mut Command) {
    cargo
        .env("RUSTFLAGS", "-C linker=bpf-linker -C link-arg=--btf")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2");
}
