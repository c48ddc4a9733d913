//! Replay of the fuzzers' findings; grown by `cargo xtask fuzz`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "for tests")]

use std::{fs, path::Path};

/// Has `check` look at every file in `corpora/target`, the corpus of a fuzz target.
///
/// # Panics
///
/// When the corpus cannot be read, or is all but empty.
pub fn replay(corpora: &Path, target: &str, check: impl Fn(&[u8])) {
    let folder = corpora.join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let replayed = entries
        .map(|entry| check(&fs::read(entry.unwrap().path()).unwrap()))
        .count();
    assert!(replayed > 20, "only {replayed} files in {}", folder.display());
}
