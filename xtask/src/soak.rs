//! `soak`: a fleet under steady load, and whether its daemons take more and more.

use crate::scenario::{Profile, start};
use anyhow::Result;

/// Run a fleet under steady load, and fail if its daemons take more and more.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// For how long
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
}

/// The command itself.
pub(crate) fn run(args: Args) -> Result<()> {
    let rest = ["--minutes".into(), args.minutes.to_string().into()];
    start("secbeat-soak", &rest, Profile::Debug, &[])
}
