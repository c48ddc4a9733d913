//! What a guest says of its checks, line by line.

use crate::cargo_test::totals_of;
use std::collections::BTreeMap;

/// What became of the checks in one kernel.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) passed: u64,
    pub(super) failures: Vec<String>,
    /// Instructions that the verifier processed, by program.
    pub(super) verified: BTreeMap<String, u64>,
    /// Whether the guest came to its end.
    pub(super) is_complete: bool,
    running: Option<Running>,
    last: String,
}

/// The test executable at work.
#[derive(Debug)]
struct Running {
    name: String,
    failures: usize,
    /// What it prints beside its tests' names, to be shown if it fails.
    output: String,
}

impl Report {
    /// Of a kernel that could not even be booted.
    pub(super) fn failed(why: String) -> Self {
        Self {
            failures: vec![why],
            ..Self::default()
        }
    }

    /// Takes a line, and returns what is to be shown of it.
    pub(super) fn take(&mut self, line: &str) -> Option<String> {
        line.clone_into(&mut self.last);
        if let Some(words) = line.strip_prefix('@') {
            return self.take_own(words);
        }
        let Some(running) = &mut self.running else {
            return (!line.is_empty()).then(|| line.to_owned());
        };
        if let Some(totals) = totals_of(line) {
            self.passed += totals.passed;
            return None;
        }
        if let Some((test, outcome)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.rsplit_once(" ... "))
        {
            let test = format!("{}::{test}", running.name);
            let shown = format!("{test} ... {outcome}");
            if outcome == "FAILED" {
                running.failures += 1;
                self.failures.push(test);
            }
            return Some(shown);
        }
        running.output += line;
        running.output.push('\n');
        None
    }

    /// A line of the init script's.
    fn take_own(&mut self, words: &str) -> Option<String> {
        let (what, rest) = words.split_once(' ').unwrap_or((words, ""));
        match what {
            "begin" => {
                self.running = Some(Running {
                    name: rest.to_owned(),
                    failures: 0,
                    output: String::new(),
                });
                None
            }
            "end" => {
                let running = self.running.take()?;
                let (_, status) = rest.rsplit_once(' ').unwrap_or(("", rest));
                if status == "0" {
                    return None;
                }
                if running.failures == 0 {
                    self.failures
                        .push(format!("{} ended with {status}", running.name));
                }
                Some(running.output)
            }
            "verified" => {
                let (program, instructions) = rest.split_once(' ')?;
                self.verified
                    .insert(program.to_owned(), instructions.parse().ok()?);
                None
            }
            "done" => {
                self.is_complete = true;
                None
            }
            // Something of the guest itself is broken; its words say what.
            _ => {
                self.failures.push(words.to_owned());
                Some(words.to_owned())
            }
        }
    }

    /// The guest is gone. `how` says so, for one that did not come to its end.
    pub(super) fn close(&mut self, how: &str) -> Option<String> {
        if self.is_complete {
            return None;
        }
        let running = self.running.take();
        let during = running.as_ref().map_or("init", |running| &running.name);
        self.failures
            .push(format!("{how}, during {during}; its last words: {}", self.last));
        running.map(|running| running.output)
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::default();
        for line in lines {
            report.take(line);
        }
        report.close("it ended early");
        report
    }

    const GOOD: [&str; 8] = [
        "@begin kernel",
        "running 2 tests",
        "test tables::a ... ok",
        "test tables::b ... ok",
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        "@end kernel 0",
        "@verified secbeat 512",
        "@done",
    ];

    #[test]
    fn a_good_run_is_counted() {
        let report = report(&GOOD);
        assert_eq!((report.passed, report.failures), (2, vec![]));
        assert_eq!(report.verified["secbeat"], 512);
    }

    #[test]
    fn a_failed_test_is_named_once_and_its_words_are_shown() {
        let mut lines = GOOD;
        lines[3] = "test tables::b ... FAILED";
        lines[4] = "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        lines[5] = "@end kernel 101";
        assert_eq!(report(&lines).failures, ["kernel::tables::b"]);
        let mut report = Report::default();
        let shown: Vec<_> = lines.into_iter().filter_map(|line| report.take(line)).collect();
        assert_eq!(
            shown,
            [
                "kernel::tables::a ... ok",
                "kernel::tables::b ... FAILED",
                "running 2 tests\n"
            ]
        );
    }

    #[test]
    fn an_executable_that_dies_is_a_failure() {
        let report = report(&["@begin kernel", "@end kernel 139", "@done"]);
        assert_eq!(report.failures, ["kernel ended with 139"]);
    }

    #[test]
    fn a_guest_that_does_not_come_to_its_end_is_a_failure() {
        let report = report(&GOOD[..4]);
        assert_eq!(
            report.failures,
            ["it ended early, during kernel; its last words: test tables::b ... ok"]
        );
    }

    #[test]
    fn what_is_broken_in_the_guest_is_a_failure() {
        let report = report(&["@broken insmod /modules/03.ko", "@done"]);
        assert_eq!(report.failures, ["broken insmod /modules/03.ko"]);
    }
}
