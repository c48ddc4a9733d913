//! `cargo test`, and what its test executables report.

use crate::process::{cargo, is_root, output, shown};
use crate::scenario::{self, Profile};
use anyhow::{Context, Result};
use std::env;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::mem;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

/// What one or more test executables reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The tests that failed, by name.
    pub(crate) failures: Vec<String>,
    /// The tests of `passed` that failed at first and passed alone.
    pub(crate) flaky: Vec<String>,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.flaky.extend(other.flaky);
    }

    /// Takes in what became of all failed tests when they ran again.
    fn settle(&mut self, again: Self) {
        self.flaky = mem::replace(&mut self.failures, again.failures);
        self.flaky.retain(|test| !self.failures.contains(test));
        self.passed += again.passed;
        self.failed = again.failed;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match &*self.flaky {
            [] => Ok(()),
            flaky => write!(f, "; flaky (failed, then passed alone): {}", flaky.join(", ")),
        }
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

/// So many failures may be chance, on a machine that others keep busy; more are not.
const CHANCES: usize = 3;

/// As `report_as_root`; the few tests that fail run once more, one at a time, and the totals name those that then pass.
pub(crate) fn report_as_root_with_second_chance(targets: &[&str], filter: &[String]) -> Result<Totals> {
    let mut totals = report_as_root(tests(targets).arg("--").args(filter))?;
    let failures = totals.failures.clone();
    if !(1..=CHANCES).contains(&failures.len()) || totals.failed != failures.len() as u64 {
        return Ok(totals);
    }
    let mut again = tests(targets);
    again
        .args(["--", "--exact", "--test-threads", "1"])
        .args(&failures);
    let again = report_as_root(&mut again)?;
    if again.passed + again.failed == totals.failed {
        totals.settle(again);
    }
    Ok(totals)
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
            totals.failures.extend(failed_test(&line).map(str::to_owned));
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
    Some(Totals {
        passed,
        failed,
        ..Totals::default()
    })
}

/// Reads `test loop::ban ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::{Totals, failed_test, totals_of};

    #[test]
    fn totals_are_read_from_libtest_result_lines() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s";
        assert_eq!(
            totals_of(line),
            Some(Totals {
                passed: 12,
                failed: 3,
                ..Totals::default()
            })
        );
        assert_eq!(totals_of("test loop::ban ... ok"), None);
        assert_eq!(totals_of("test result: strange"), None);
    }

    #[test]
    fn a_failed_test_is_read_from_its_line() {
        assert_eq!(failed_test("test loop::ban ... FAILED"), Some("loop::ban"));
        for line in ["test loop::ban ... ok", "test result: FAILED. 1 passed", "FAILED"] {
            assert_eq!(failed_test(line), None, "{line}");
        }
    }

    #[test]
    fn a_test_that_passes_alone_is_told_as_flaky_and_one_that_fails_again_as_failed() {
        let failing = |passed, names: &[&str]| Totals {
            passed,
            failed: names.len() as u64,
            failures: names.iter().map(|&name| name.to_owned()).collect(),
            flaky: Vec::new(),
        };
        let mut totals = failing(10, &["a", "b"]);
        totals.settle(failing(1, &["b"]));
        assert_eq!((totals.passed, totals.failed), (11, 1));
        assert_eq!(
            totals.to_string(),
            "11 passed, 1 failed; flaky (failed, then passed alone): a"
        );
        let mut totals = failing(10, &["a"]);
        totals.settle(failing(0, &["a"]));
        assert_eq!(totals.to_string(), "10 passed, 1 failed");
    }
}
