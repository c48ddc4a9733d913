//! `test`: units as you, then kernel and loop as root, with totals over both.

use crate::cargo_test::{Totals, ignored, report, report_as_root_with_second_chance, tests};
use crate::dashboard;
use crate::install::Group;
use crate::scenario::{self, Profile};
use anyhow::{Result, bail};

/// Run every test.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also those that take minutes, such as a million random packets against a model (SECBEAT_SEED repeats them)
    #[arg(long)]
    long: bool,
    /// Only tests whose name contains one of these
    filter: Vec<String>,
}

/// What the tests need.
const GROUPS: [Group; 3] = [Group::Build, Group::Run, Group::Test];

/// A part of the tests, of which only those run whose name contains one of these.
type Step = fn(&[String]) -> Result<Totals>;

/// The command itself: every step, also when one before has failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    scenario::prepare(&GROUPS)?;
    // The daemons that are tested have it.
    dashboard::build()?;
    let mut totals = Totals::default();
    let mut errors = Vec::new();
    let mut steps = vec![units as Step, page, examples, kernel_and_loop];
    steps.extend(args.long.then_some(long as Step));
    for step in steps {
        match step(&args.filter) {
            Ok(reported) => totals.add(reported),
            // What cannot even be built or started has not passed.
            Err(error) => {
                totals.failed += 1;
                errors.push(format!("{error:#}"));
            }
        }
    }
    println!("\n{totals}");
    if !errors.is_empty() {
        bail!("{}", errors.join("; "));
    }
    if totals.failed > 0 {
        bail!("{} failed", totals.failed);
    }
    Ok(())
}

/// The tests within the crates, which run anywhere.
fn units(filter: &[String]) -> Result<Totals> {
    report(tests(&["--lib", "--bin", "xtask"]).arg("--").args(filter))
}

/// The tests of the web page's scripts, which count as one.
fn page(filter: &[String]) -> Result<Totals> {
    if filter.is_empty() {
        dashboard::test()?;
    }
    Ok(Totals {
        passed: u64::from(filter.is_empty()),
        ..Totals::default()
    })
}

/// The examples in the crates' documentation.
fn examples(filter: &[String]) -> Result<Totals> {
    report(tests(&["--doc"]).arg("--").args(filter))
}

/// The executables of `secbeat-tests`, which need root, a BPF kernel and nats-server, and share the machine with much else.
fn kernel_and_loop(filter: &[String]) -> Result<Totals> {
    scenario::build(Profile::Debug, &scenario::DAEMONS)?;
    report_as_root_with_second_chance(&["--test", "*"], filter)
}

/// The executable `long` of `secbeat-tests`, whose tests are ignored otherwise. (So are some that need what only `vm`
/// or `dist` has, and those stay so.)
fn long(filter: &[String]) -> Result<Totals> {
    ignored("long", filter, &[])
}

#[cfg(test)]
mod tests {
    use super::GROUPS;
    use crate::install::Group;
    use secbeat_programs::{Program, TestFile, TestProgram};

    #[test]
    fn the_test_command_installs_every_program_that_the_lab_can_start() {
        let installed: Vec<_> = GROUPS.into_iter().flat_map(Group::rows).collect();
        for section in [Program::ROWS, TestProgram::ROWS, TestFile::ROWS] {
            for row in section {
                assert!(installed.contains(row), "{row:?}");
            }
        }
    }
}
