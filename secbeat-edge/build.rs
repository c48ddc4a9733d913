//! Embeds the XDP object that `cargo xtask build-ebpf` made. Without one the edge still builds, and `run` says what to do.

#![allow(clippy::disallowed_macros, reason = "cargo reads what a build script prints")]

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=SECBEAT_BPF_OBJECT");
    let object = match env::var_os("SECBEAT_BPF_OBJECT") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var("CARGO_MANIFEST_DIR")?)
            .join("../target/bpfel-unknown-none/release/secbeat-ebpf"),
    };
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("secbeat-ebpf");
    println!("cargo::rerun-if-changed={}", object.display());
    if object.exists() {
        fs::copy(&object, &embedded)?;
    } else {
        println!("cargo::warning=no XDP object; build one with `cargo xtask build-ebpf`");
        fs::write(&embedded, [])?;
    }
    Ok(())
}
