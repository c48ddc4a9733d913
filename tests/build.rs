//! Puts the fuzzer's corpus into the crate, since its executables also run where the repository is not: in the guests of
//! `cargo xtask vm`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a build script: a failure here is the failure to report"
)]

use std::{env, fs, path::Path};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let corpus = Path::new(&here).join("../secbeat-ebpf/fuzz/corpus/parse");
    println!("cargo::rerun-if-changed={}", corpus.display());
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap_or_else(|error| panic!("reading {}: {error}", corpus.display()))
        .map(|file| file.expect("listing the corpus").path())
        .collect();
    // In an order that repeats, as the tests' seeds do.
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        list += &format!("    include_bytes!({file:?}),\n");
    }
    list.push(']');
    let out = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join("corpus.rs"), list).expect("writing the list of the corpus");
}
