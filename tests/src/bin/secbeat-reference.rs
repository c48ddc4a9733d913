//! `cargo xtask docs --reference`: writes the references of configs, commands, the REST API, formats of lists, public feeds, and other
//! programs' words into the docs.
#![allow(
    clippy::expect_used,
    reason = "a developer's tool: a failure here is the failure to report"
)]

use std::fs;

use secbeat_tests::{
    commands,
    lab::paths::workspace,
    reference::{FEEDS, LISTS, MIGRATING, Reference, with_formats, with_presets, with_words},
    rest,
};

fn main() {
    let shipped =
        |name: &str| fs::read_to_string(workspace().join("packaging").join(name)).expect("a shipped config");
    for reference in Reference::all(shipped) {
        let path = workspace().join("docs").join(reference.page());
        fs::write(&path, reference.markdown()).expect("writing a page");
        println!("wrote {}", path.display());
    }
    for (name, page) in commands::pages() {
        let path = workspace().join("docs").join(name);
        fs::write(&path, page).expect("writing a page");
        println!("wrote {}", path.display());
    }
    for (name, page) in rest::pages() {
        let path = workspace().join("docs").join(name);
        fs::write(&path, page).expect("writing a page");
        println!("wrote {}", path.display());
    }
    rewrite(LISTS, with_formats);
    rewrite(MIGRATING, with_words);
    rewrite(FEEDS, with_presets);
}

fn rewrite(name: &str, anew: fn(&str) -> String) {
    let path = workspace().join("docs").join(name);
    let page = fs::read_to_string(&path).expect("a page");
    fs::write(&path, anew(&page)).expect("writing a page");
    println!("wrote {}", path.display());
}
