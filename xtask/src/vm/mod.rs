//! `vm`: the tests that depend on the kernel, in Debian's kernels. They boot in QEMU by software emulation alone, so
//! that it works where there is no virtualisation, and needs no root.

mod checks;
mod guest;
mod initramfs;
mod instructions;
mod kernel;
mod machines;
mod modules;
mod newc;
mod package;
mod report;
mod scratch;
mod series;

use crate::install::{self, Group};
use crate::xdp_program;
use anyhow::{Context, Result, bail, ensure};
use checks::Checks;
use report::Report;
use scratch::Scratch;
use series::Series;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Run what depends on the kernel in Debian's kernels, in QEMU.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this kernel
    #[arg(long, value_enum)]
    kernel: Option<Series>,
    /// Instead: the machines of the Vagrantfile, provisioned and tested by its scripts; needs root, and minutes
    #[arg(long, conflicts_with = "record")]
    machines: bool,
    /// Write what the verifier processed to the record, instead of comparing it
    #[arg(long)]
    record: bool,
}

/// The command itself: every kernel, also after one has failed, then totals.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "the kernels and the emulated machine of `vm` are x86-64's, and this is {}",
        std::env::consts::ARCH
    );
    if args.machines {
        return machines::run(args.kernel.unwrap_or(Series::V6_1));
    }
    install::ensure(&[Group::Build, Group::Vm])?;
    xdp_program::build()?;
    let checks = Checks::build()?;
    println!(
        "vm: the tests `{}`; `cargo xtask test` runs the rest, which needs nginx and NATS, in the running kernel",
        checks::EXECUTABLE
    );
    let scratch = Scratch::new()?;

    let wanted = args.kernel.map_or_else(|| Series::ALL.to_vec(), |one| vec![one]);
    let run = |series| match run_in(series, &checks, scratch.path()) {
        Ok(report) => (series, report),
        Err(error) => (series, Report::failed(format!("{error:#}"))),
    };
    let reports: Vec<_> = wanted.into_iter().map(run).collect();
    let passed: u64 = reports.iter().map(|(_, report)| report.passed).sum();
    let mut failed = Vec::new();
    for (series, report) in &reports {
        failed.extend(
            report
                .failures
                .iter()
                .map(|failure| format!("{series}: {failure}")),
        );
    }
    let grown = instructions::compare(&reports)?;
    if args.record {
        instructions::record(&reports)?;
    } else {
        failed.extend(grown);
    }
    for failure in &failed {
        println!("failed: {failure}");
    }
    println!("\n{passed} passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("{} failed", failed.len());
    }
    Ok(())
}

fn run_in(series: Series, checks: &Checks, scratch: &Path) -> Result<Report> {
    let scratch = scratch.join(series.to_string());
    fs::create_dir(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let kernel = kernel::fetch(series, &scratch)?;
    let initramfs = scratch.join("initramfs");
    initramfs::write(&initramfs, series, checks, &kernel)?;
    println!("vm: {series}: booting {}", kernel.name);
    let start = Instant::now();
    let report = guest::run(series, &kernel, &initramfs, &scratch)?;
    println!(
        "vm: {series}: {} passed, {} failed in {} s",
        report.passed,
        report.failures.len(),
        start.elapsed().as_secs()
    );
    Ok(report)
}
