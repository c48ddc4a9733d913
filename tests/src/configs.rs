//! What must hold of every config file, whatever is in it: of the fuzzer's and of its corpus.

use std::{fs::File, io::Write as _, os::fd::AsRawFd as _, path::PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use secbeat_common::daemon::config::ConfigError;

/// Has both daemons read `text` as their config.
///
/// # Panics
///
/// When one refuses it without saying in a line what is wrong, or takes it and cannot work with it.
pub fn check(text: &[u8]) {
    let mut file = File::from(memfd_create("config", MFdFlags::empty()).expect("a file in memory"));
    file.write_all(text).expect("writing it");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match secbeat_orchestrator::config::Config::load(&path) {
        Ok(config) => {
            let _ = config.detector();
            let _ = config.wanted();
            let _ = config.ledger(Vec::new());
            let _ = config.longest_window();
        }
        Err(error) => is_helpful(&error),
    }
    if let Err(error) = secbeat_edge::config::Config::load(&path) {
        is_helpful(&error);
    }
}

fn is_helpful(error: &ConfigError) {
    let said = error.to_string();
    assert!(said.contains("/proc/self/fd/"), "it names no file: {said}");
    assert!(!said.contains('\n'), "more than a line: {said}");
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn the_fuzzers_corpus_of_configs_is_taken_or_refused_in_a_line() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
        let files = fs::read_dir(folder).expect("the corpus");
        let replayed =
            files.map(|file| super::check(&fs::read(file.expect("a file").path()).expect("a file")));
        assert!(replayed.count() > 10);
    }
}
