//! `demo`: attackers are banned in the kernel, before your eyes.

use crate::scenario::{Profile, start, start_on_one_host};
use anyhow::Result;

/// Show attackers being banned in the kernel.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// With NATS, an orchestrator and an edge, in place of one host
    #[arg(long)]
    fleet: bool,
}

/// The command itself.
pub(crate) fn run(args: &Args) -> Result<()> {
    match args.fleet {
        true => start("secbeat-demo-fleet", &[], Profile::Debug, &[]),
        false => start_on_one_host("secbeat-demo"),
    }
}
