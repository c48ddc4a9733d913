//! `demo`: an attacker is banned in the kernel, before your eyes.

use crate::scenario::{Profile, start};
use anyhow::Result;
use std::ffi::OsString;

/// Show an attacker being banned in the kernel.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to the demo
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// The command itself.
pub(crate) fn run(args: &Args) -> Result<()> {
    start("secbeat-demo", &args.rest, Profile::Debug, &[])
}
