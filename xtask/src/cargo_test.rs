//! `cargo test`, and what its test executables report.

use crate::process::{cargo, is_root, output, shown};
use crate::scenario::{self, Profile};
use anyhow::{Context, Result};
use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

/// What one or more test executables reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `cargo test` of these targets, of the whole workspace as of all builds.
pub(crate) fn tests(targets: &[&str]) -> Command {
    let mut test = cargo("test");
    test.args(["--no-fail-fast", "--workspace"]).args(targets);
    test
}

/// The ignored tests of an executable of `secbeat-tests`, with more environment variables than others get.
pub(crate) fn ignored(
    executable: &str,
    filter: &[String],
    more: &[(&'static str, PathBuf)],
) -> Result<Totals> {
    let mut test = tests(&["--test", executable]);
    test.args(["--", "--ignored"])
        .args(filter)
        .envs(more.iter().cloned());
    report_as_root(&mut test)
}

/// The variable that says how many tests of an executable run side by side.
const THREADS: &str = "RUST_TEST_THREADS";

/// As `report`, with the test executables started as root and told where everything is.
///
/// Their tests wait for daemons most of the time, so twice as many run side by side as there are processors.
pub(crate) fn report_as_root(test: &mut Command) -> Result<Totals> {
    test.envs(scenario::environment(Profile::Debug));
    if env::var_os(THREADS).is_none() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        test.env(THREADS, (2 * processors).to_string());
    }
    if !is_root() {
        println!("test: through sudo, since loading XDP programs and creating network namespaces needs root");
        test.env(runner_variable()?, "sudo -E");
    }
    report(test)
}

/// The variable that makes cargo start test executables through another program.
fn runner_variable() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` does not say its host")?;
    Ok(format!(
        "CARGO_TARGET_{}_RUNNER",
        host.to_uppercase().replace('-', "_")
    ))
}

/// Runs a test command with its output passed through, and sums what it reports.
pub(crate) fn report(command: &mut Command) -> Result<Totals> {
    let name = shown(command);
    println!("test: {name}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("cannot read the output of `{name}`"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            totals.add(totals_of(&line).unwrap_or_default());
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{name}`"))?;
    if !status.success() && totals.failed == 0 {
        eprintln!("test: `{name}` failed ({status}) without naming a failed test; counted as one");
        totals.failed = 1;
    }
    Ok(totals)
}

/// Reads `test result: ok. 3 passed; 1 failed; 0 ignored; …`.
pub(crate) fn totals_of(line: &str) -> Option<Totals> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some(Totals { passed, failed })
}

#[cfg(test)]
mod tests {
    use super::{Totals, totals_of};

    #[test]
    fn totals_are_read_from_libtest_result_lines() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s";
        assert_eq!(
            totals_of(line),
            Some(Totals {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(totals_of("test loop::ban ... ok"), None);
        assert_eq!(totals_of("test result: strange"), None);
    }
}
