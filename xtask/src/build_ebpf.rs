//! `build-ebpf`: the XDP program, and its variants for a benchmark.

use crate::install::{self, Group};
use crate::xdp_program;
use anyhow::Result;

/// Build the XDP program.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Also build the variants that differ in their clock, for `bench xdp`
    #[arg(long)]
    bench_clocks: bool,
}

/// The command itself.
pub(crate) fn run(args: Args) -> Result<()> {
    install::ensure(&[Group::Build])?;
    xdp_program::build()?;
    if args.bench_clocks {
        xdp_program::build_bench_clocks()?;
    }
    Ok(())
}
