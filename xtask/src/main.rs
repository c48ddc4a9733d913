//! SecBeat's developer commands. Scripts, the Makefile and CI only call these.
//!
//! A command has a module of its name. The other modules are what commands share, and import no command.
#![forbid(unsafe_code)]

mod behavioral;
mod bench;
mod build_ebpf;
mod cargo_test;
mod dashboard;
mod debian;
mod demo;
mod dist;
mod docs;
mod fuzz;
mod install;
mod lint;
mod process;
mod scenario;
mod setup;
mod soak;
mod test;
mod vm;
mod workspace;
mod xdp_program;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// SecBeat's developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing for building, running and linting; quick when nothing is
    Setup(setup::Args),
    /// Build the XDP program
    BuildEbpf(build_ebpf::Args),
    /// Build the web page, which the daemons embed
    Dashboard(dashboard::Args),
    /// Show an attacker being banned in the kernel, in network namespaces
    Demo(demo::Args),
    /// Run the behavioural scenario, a line per step
    Behavioral(behavioral::Args),
    /// Run a fleet under steady load, and look for leaks
    Soak(soak::Args),
    /// Run every test: units, kernel and the whole loop
    Test(test::Args),
    /// Run what depends on the kernel in Debian's kernels, in QEMU
    Vm(vm::Args),
    /// Fuzz the parsers and grow their corpora
    Fuzz(fuzz::Args),
    /// Build packages and tarballs
    Dist(dist::Args),
    /// Make a book of the docs, in target/book
    Docs(docs::Args),
    /// Check architecture, format, lints, licences and unused dependencies
    Lint(lint::Args),
    /// Measure the XDP program or the whole loop
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup(args) => setup::run(args),
        Command::BuildEbpf(args) => build_ebpf::run(args),
        Command::Dashboard(args) => dashboard::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Behavioral(args) => behavioral::run(args),
        Command::Soak(args) => soak::run(args),
        Command::Test(args) => test::run(&args),
        Command::Vm(args) => vm::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Docs(args) => docs::run(args),
        Command::Lint(args) => lint::run(args),
        Command::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
