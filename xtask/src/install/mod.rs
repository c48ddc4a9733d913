//! Installs what the commands need and is missing, part by part; looking takes a fraction of a second.

pub(crate) mod apt;
mod bpf_linker;
mod bpffs;
pub(crate) mod cargo_tools;
pub(crate) mod nats;
pub(crate) mod node;
mod packages;
mod pip;
mod schemathesis;
pub(crate) mod toolchain;

use anyhow::{Result, bail};
use secbeat_programs::{
    DebianProgram, DistProgram, FilterPeer, FuzzProgram, LintProgram, Program, Row, TestFile, TestProgram,
    VmProgram,
};

/// Programs of the lab that `vm` puts into its guests. Busybox has applets of these names too, which can less.
pub(crate) const GUEST_PROGRAMS: [Row; 3] = [
    Program::Ip.row(),
    Program::Nsenter.row(),
    TestProgram::Timeout.row(),
];

/// Groups of programs that commands need; `demo` should not wait for the linters to compile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// The XDP program's toolchain.
    Build,
    /// Programs of the demo of one host, which needs no NATS.
    Host,
    /// Programs of the demo of a fleet, the tests and the benchmarks.
    Run,
    /// Further programs of the tests, and those of `bench sources` and `bench one-host`.
    Test,
    /// QEMU, to boot kernels: for `vm` alone, which sees to it itself.
    Vm,
    /// The linters that do not come with Rust.
    Lint,
    /// Checkers of the descriptions of machines and containers.
    Machines,
    /// Other filters, which `bench xdp` compares ours with, and `bench one-host` has peers ban with; nothing else needs them.
    Peers,
    /// A reader of logs which only `bench sources` and `bench one-host` compare ours with.
    LogPeers,
    /// The fuzzer of the parsers: for `fuzz` alone.
    Fuzz,
    /// Maker of the book of the docs: for `docs` alone.
    Docs,
    /// Tools that build the web page: for `dashboard`, and what embeds it.
    Dashboard,
    /// Tools that make packages: for `dist` alone.
    Dist,
    /// Tools that make a Debian to try them in: for `dist --verify` and `vm --machines` alone.
    Debian,
}

impl Group {
    /// The rows of the table that it needs.
    pub(crate) fn rows(self) -> Vec<Row> {
        match self {
            Self::Host | Self::Run => Program::ROWS.to_vec(),
            Self::Test => [TestProgram::ROWS, TestFile::ROWS].concat(),
            Self::Vm => [VmProgram::ROWS, &GUEST_PROGRAMS, &[TestProgram::Setpriv.row()]].concat(),
            Self::Machines => LintProgram::ROWS.to_vec(),
            Self::Peers => FilterPeer::ROWS.to_vec(),
            Self::Fuzz => FuzzProgram::ROWS.to_vec(),
            Self::Dist => DistProgram::ROWS.to_vec(),
            Self::Debian => DebianProgram::ROWS.to_vec(),
            Self::Build | Self::Lint | Self::Docs | Self::Dashboard | Self::LogPeers => Vec::new(),
        }
    }
}

/// Groups of which a command goes on without what cannot be installed.
const OPTIONAL: [Group; 3] = [Group::Machines, Group::Peers, Group::LogPeers];

/// One thing that may have to be installed.
trait Part {
    /// Returns what of it is missing, as names for the reader; empty when all is there.
    fn missing(&self) -> Result<Vec<String>>;
    /// Installs what is missing.
    fn install(&self) -> Result<()>;
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

/// Returns what is missing of these groups, as names for the reader.
pub(crate) fn missing(groups: &[Group]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for part in parts(groups) {
        missing.extend(part.missing()?);
    }
    Ok(missing)
}

/// In the order of installation: a part may need what an earlier one installs.
fn parts(groups: &[Group]) -> Vec<Box<dyn Part>> {
    let (optional, needed): (Vec<_>, Vec<_>) = groups.iter().partition(|group| OPTIONAL.contains(group));
    let mut parts: Vec<Box<dyn Part>> = vec![Box::new(packages::Packages::new(needed))];
    for row in optional.into_iter().flat_map(Group::rows) {
        parts.push(Box::new(row));
    }
    if groups.contains(&Group::Build) {
        parts.push(Box::new(bpf_linker::LlvmPackages));
        parts.push(Box::new(bpf_linker::BpfLinker));
    }
    if groups.contains(&Group::Run) {
        parts.push(Box::new(nats::CURRENT));
    }
    if groups.contains(&Group::Host) || groups.contains(&Group::Run) {
        parts.push(Box::new(bpffs::Bpffs));
    }
    if groups.contains(&Group::Test) {
        parts.push(Box::new(nats::TOO_OLD));
        parts.push(Box::new(schemathesis::Schemathesis));
    }
    if groups.contains(&Group::Lint) {
        parts.push(Box::new(cargo_tools::DENY));
        parts.push(Box::new(cargo_tools::MACHETE));
    }
    if groups.contains(&Group::LogPeers) {
        parts.push(Box::new(cargo_tools::FAIL2BAN_RS));
    }
    if groups.contains(&Group::Dashboard) {
        parts.push(Box::new(node::Node));
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
    use super::{Group, TestProgram};

    #[test]
    fn the_demo_waits_for_no_program_of_the_tests() {
        let rows = Group::Run.rows();
        assert!(TestProgram::ROWS.iter().all(|row| !rows.contains(row)));
    }
}
