//! What must hold of every config file, whatever is in it: of the fuzzer's and of its corpus.

use std::{fs::File, io::Write as _, os::fd::AsRawFd as _, path::PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use secbeat_daemon::config::ConfigError;

/// Has both daemons read `text` as their config.
///
/// # Panics
///
/// When one refuses it without saying in a line what is wrong, or takes it and cannot work with it.
pub(crate) fn check(text: &[u8]) {
    let mut file = File::from(memfd_create("config", MFdFlags::empty()).expect("a file in memory"));
    file.write_all(text).expect("writing it");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match secbeat_orchestrator::config::Config::load(&path) {
        Ok(config) => {
            let _ = config.detector();
            let _ = config.directives();
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
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use crate::{lab::paths::workspace, reference};

    /// What the fuzzer found, and what is shipped.
    fn configs() -> Vec<PathBuf> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
        let files = fs::read_dir(corpus).expect("the corpus");
        let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        paths.extend(["edge", "orchestrator"].map(|name| workspace().join(format!("packaging/{name}.toml"))));
        paths
    }

    #[test]
    fn the_fuzzers_corpus_of_configs_is_taken_or_refused_in_a_line() {
        let replayed = configs()
            .iter()
            .map(|path| super::check(&fs::read(path).expect("a file")))
            .count();
        assert!(replayed > 10);
    }

    #[test]
    fn the_schema_of_a_config_allows_whatever_its_daemon_takes() {
        let shipped = |name: &str| {
            fs::read_to_string(workspace().join("packaging").join(name)).expect("a shipped config")
        };
        let [edge, orchestrator] = reference::Reference::all(shipped)
            .map(|reference| jsonschema::validator_for(reference.schema()).expect("a schema"));
        let mut taken = [0, 0];
        for path in configs() {
            let takes = [
                secbeat_edge::config::Config::load(&path).is_ok(),
                secbeat_orchestrator::config::Config::load(&path).is_ok(),
            ];
            if takes == [false, false] {
                continue;
            }
            let text = fs::read_to_string(&path).expect("what a daemon takes is text");
            let json = reference::as_json(text.parse::<toml::Table>().expect("TOML").into());
            for ((takes, schema), taken) in takes.iter().zip([&edge, &orchestrator]).zip(&mut taken) {
                if *takes {
                    *taken += 1;
                    let errors: Vec<_> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
                    assert!(errors.is_empty(), "{}: {errors:?}", path.display());
                }
            }
        }
        assert!(taken.iter().all(|taken| *taken > 1), "{taken:?}");
        for wrong in [
            "[kernel]\ninterface = \"eth0\"",
            "[telemetry]\nmax_events = 0",
            "[telemetry]\nenabled = \"yes\"",
            "enforcement = \"none\"",
        ] {
            let json = reference::as_json(wrong.parse::<toml::Table>().expect("TOML").into());
            assert!(!edge.is_valid(&json), "{wrong}");
        }
    }
}
