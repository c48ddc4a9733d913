//! `setup`: installs what is missing, part by part; looking takes a fraction of a second.

pub(crate) mod bpf_linker;
mod bpffs;
pub(crate) mod cargo_tools;
mod nats;
mod packages;

pub(crate) use packages::update_lists as update_package_lists;

use anyhow::{Result, bail};

/// The version of nats-server that SecBeat is tested with.
pub(crate) fn nats_version() -> &'static str {
    nats::CURRENT.version
}

/// Install what is missing for building, running and linting.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Only report what is missing, and fail if anything is
    #[arg(long)]
    check: bool,
}

/// What a command needs; `demo` should not wait for the linters to compile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// The XDP program's toolchain.
    Build,
    /// What the demo, the tests and the benchmarks start.
    Run,
    /// What the tests start besides, and `bench sources`.
    Test,
    /// What boots kernels in QEMU: for `vm` alone, which sees to it itself.
    Vm,
    /// The linters that do not come with Rust.
    Lint,
    /// What checks the descriptions of machines and containers.
    Machines,
    /// Other filters, which `bench xdp` compares ours with; nothing else needs them.
    Peers,
    /// Other readers of logs, which `bench sources` compares ours with; nothing else needs them.
    LogPeers,
    /// What feeds the parsers: for `fuzz` alone.
    Fuzz,
    /// What makes a book of the docs: for `docs` alone.
    Docs,
    /// What makes packages: for `dist` alone.
    Dist,
    /// What makes a Debian to try them in: for `dist --verify` and `vm --machines` alone.
    Debian,
}

/// Groups of which a command goes on without what cannot be installed.
const OPTIONAL: [Group; 3] = [Group::Machines, Group::Peers, Group::LogPeers];

/// One thing that may have to be installed.
trait Part {
    /// What of it is missing, as names for the reader; empty when all is there.
    fn missing(&self) -> Result<Vec<String>>;
    /// Installs what is missing.
    fn install(&self) -> Result<()>;
}

/// The command itself: everything, or only the report.
pub(crate) fn run(args: Args) -> Result<()> {
    let groups = [Group::Build, Group::Run, Group::Test, Group::Lint];
    if args.check {
        return check(&groups);
    }
    ensure(&groups)?;
    println!("setup: nothing is missing");
    Ok(())
}

/// Installs what is missing of these groups.
pub(crate) fn ensure(groups: &[Group]) -> Result<()> {
    for part in parts(groups) {
        ensure_part(&*part)?;
    }
    Ok(())
}

fn ensure_part(part: &dyn Part) -> Result<()> {
    let missing = part.missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing {}", missing.join(", "));
    part.install()?;
    let still = part.missing()?;
    if !still.is_empty() {
        bail!("still missing after its installation: {}", still.join(", "));
    }
    Ok(())
}

/// Installs what can be installed of this group, and says what cannot.
pub(crate) fn ensure_what_can_be(group: Group) {
    for part in parts(&[group]) {
        if let Err(error) = ensure_part(&*part) {
            eprintln!("setup: going on without it: {error:#}");
        }
    }
}

fn check(groups: &[Group]) -> Result<()> {
    let mut missing = Vec::new();
    for part in parts(groups) {
        missing.extend(part.missing()?);
    }
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(());
    }
    for name in &missing {
        println!("missing: {name}");
    }
    bail!("{} missing; `cargo xtask setup` installs them", missing.len());
}

/// In the order of installation: a part may need what an earlier one installs.
fn parts(groups: &[Group]) -> Vec<Box<dyn Part>> {
    let (optional, needed): (Vec<_>, Vec<_>) = groups.iter().partition(|group| OPTIONAL.contains(group));
    let mut parts: Vec<Box<dyn Part>> = vec![Box::new(packages::Packages::new(needed))];
    for row in optional.into_iter().flat_map(packages::rows) {
        parts.push(Box::new(row));
    }
    if groups.contains(&Group::Build) {
        parts.push(Box::new(packages::LlvmPackages));
        parts.push(Box::new(bpf_linker::BpfLinker));
    }
    if groups.contains(&Group::Run) {
        parts.push(Box::new(nats::CURRENT));
        parts.push(Box::new(bpffs::Bpffs));
    }
    if groups.contains(&Group::Test) {
        parts.push(Box::new(nats::TOO_OLD));
    }
    if groups.contains(&Group::Lint) {
        parts.push(Box::new(cargo_tools::DENY));
        parts.push(Box::new(cargo_tools::MACHETE));
    }
    if groups.contains(&Group::LogPeers) {
        parts.push(Box::new(cargo_tools::FAIL2BAN_RS));
    }
    if groups.contains(&Group::Fuzz) {
        parts.push(Box::new(cargo_tools::FUZZ));
    }
    if groups.contains(&Group::Docs) {
        parts.push(Box::new(cargo_tools::MDBOOK));
    }
    if groups.contains(&Group::Dist) {
        parts.push(Box::new(nats::CURRENT));
        parts.push(Box::new(cargo_tools::DEB));
        parts.push(Box::new(cargo_tools::SBOM));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{Group, packages};
    use crate::test;
    use secbeat_programs::{Program, TestFile, TestProgram};

    #[test]
    fn the_test_command_installs_every_program_that_the_lab_can_start() {
        let installed: Vec<_> = test::GROUPS.into_iter().flat_map(packages::rows).collect();
        for section in [Program::ROWS, TestProgram::ROWS, TestFile::ROWS] {
            for row in section {
                assert!(installed.contains(row), "{row:?}");
            }
        }
    }

    #[test]
    fn the_demo_waits_for_no_program_of_the_tests() {
        let rows = packages::rows(Group::Run);
        assert!(TestProgram::ROWS.iter().all(|row| !rows.contains(row)));
    }
}
