//! `setup`: installs what the commands need, so that they wait for nothing later.

use crate::install::{self, Group};
use anyhow::{Result, ensure};

const GROUPS: [Group; 5] = [
    Group::Build,
    Group::Run,
    Group::Test,
    Group::Dashboard,
    Group::Lint,
];

/// Install what is missing for building, running and linting.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Only report what is missing, and fail if anything is
    #[arg(long)]
    check: bool,
}

/// The command itself: everything, or only the report.
pub(crate) fn run(args: Args) -> Result<()> {
    if args.check {
        let missing = install::missing(&GROUPS)?;
        for name in &missing {
            println!("missing: {name}");
        }
        let count = missing.len();
        ensure!(count == 0, "{count} missing; `cargo xtask setup` installs them");
    } else {
        install::ensure(&GROUPS)?;
    }
    println!("setup: nothing is missing");
    Ok(())
}
