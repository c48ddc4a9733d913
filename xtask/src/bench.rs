//! `bench`: what a packet costs, how long from the error that bans to the first dropped packet, what a million bans
//! cost, what the sources of telemetry cost, how fast the orchestrator and the web page are, and what one host costs.

use crate::install::{self, Group};
use crate::scenario::{Profile, start};
use crate::{dashboard, workspace, xdp_program};
use anyhow::Result;
use std::ffi::OsString;

/// Measure the XDP program, the whole loop, the loading of bans, the sources of telemetry, the orchestrator or the web page.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// Passed on to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// Nanoseconds per packet of the XDP program, beside an empty one and other filters
    Xdp,
    /// Time from the answer that exceeds the limit to the first dropped packet
    E2e,
    /// Time to write a million bans into the kernel and to compare them, and the memory they take
    Load,
    /// What static lists cost a packet, and how long a million prefixes take into the kernel
    Lists,
    /// Log lines parsed and replayed a second, beside other programs
    Sources,
    /// One host with `secbeat`, beside fail2ban and fail2ban-rs: start, memory, CPU, from a log's line to the first dropped packet
    OneHost,
    /// Events a second that the detector judges and the orchestrator takes in, the memory of both, restart and join
    Detector,
    /// The web page in Chromium, with 100,000 bans: first paint, another page, another order
    Page,
}

/// The command itself.
pub(crate) fn run(args: &Args) -> Result<()> {
    match args.what {
        What::Xdp => {
            install::ensure(&[Group::Build])?;
            install::ensure_what_can_be(Group::Peers);
            xdp_program::build_bench_clocks()?;
            let clocks = [("SECBEAT_BENCH_OBJECT", workspace::bench_object())];
            start("bench-xdp", &args.rest, Profile::Release, &clocks)
        }
        What::E2e => start("bench-e2e", &args.rest, Profile::Release, &[]),
        What::Load => start("bench-load", &args.rest, Profile::Release, &[]),
        What::Lists => start("bench-lists", &args.rest, Profile::Release, &[]),
        What::Sources => {
            install::ensure(&[Group::Test])?;
            install::ensure_what_can_be(Group::LogPeers);
            start("bench-sources", &args.rest, Profile::Release, &[])
        }
        What::OneHost => {
            install::ensure(&[Group::Test])?;
            install::ensure_what_can_be(Group::LogPeers);
            install::ensure_what_can_be(Group::Peers);
            start("bench-one-host", &args.rest, Profile::Release, &[])
        }
        What::Page => {
            install::ensure(&[Group::Test])?;
            dashboard::build()?;
            start("bench-page", &args.rest, Profile::Release, &[])
        }
        What::Detector => start("bench-detector", &args.rest, Profile::Release, &[]),
    }
}
