//! `cargo xtask docs --reference`: writes the reference of the configs into the docs.
#![allow(
    clippy::expect_used,
    reason = "a developer's tool: a failure here is the failure to report"
)]

use std::fs;

use secbeat_tests::{lab::paths::workspace, reference::Reference};

fn main() {
    let shipped =
        |name: &str| fs::read_to_string(workspace().join("packaging").join(name)).expect("a shipped config");
    for reference in Reference::all(shipped) {
        let path = workspace().join("docs").join(reference.page());
        fs::write(&path, reference.markdown()).expect("writing a page");
        println!("wrote {}", path.display());
    }
}
