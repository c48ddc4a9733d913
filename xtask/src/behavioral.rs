//! `behavioral`: the scenario that `scripts/test_behavioral_*.sh` run, a line per step.

use crate::scenario::{Profile, start};
use anyhow::Result;

/// Run the behavioural scenario.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// The short one
    #[arg(long)]
    quick: bool,
}

/// The command itself.
pub(crate) fn run(args: Args) -> Result<()> {
    let rest = if args.quick {
        vec!["--quick".into()]
    } else {
        Vec::new()
    };
    start("secbeat-behavioral", &rest, Profile::Debug, &[])
}
