//! `cargo xtask docs --reference`: writes the reference of the configs and of the formats of lists into the docs.
#![allow(
    clippy::expect_used,
    reason = "a developer's tool: a failure here is the failure to report"
)]

use std::fs;

use secbeat_tests::{
    lab::paths::workspace,
    reference::{LISTS, Reference, with_formats},
};

fn main() {
    let shipped =
        |name: &str| fs::read_to_string(workspace().join("packaging").join(name)).expect("a shipped config");
    for reference in Reference::all(shipped) {
        let path = workspace().join("docs").join(reference.page());
        fs::write(&path, reference.markdown()).expect("writing a page");
        println!("wrote {}", path.display());
    }
    let lists = workspace().join("docs").join(LISTS);
    let page = fs::read_to_string(&lists).expect("the page on lists");
    fs::write(&lists, with_formats(&page)).expect("writing a page");
    println!("wrote {}", lists.display());
}
