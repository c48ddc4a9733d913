//! Packages of Debian and Ubuntu; on another distribution, the list of what to install.

use super::{Group, Part, bpf_linker, nats};
use crate::process::{as_root, find, output, run};
use crate::toolchain::{BpfToolchain, Way};
use crate::vm;
use anyhow::{Result, bail};
use secbeat_programs::{
    DebianProgram, DistProgram, FilterPeer, FuzzProgram, LintProgram, LogPeer, Program, Row, TestFile,
    TestProgram, VmProgram,
};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rust with a ready-made `core` for BPF: needed where rustup's nightly has no `rust-src`.
const BPF_RUST: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// The rows of the table that a group needs.
pub(super) fn rows(group: Group) -> Vec<Row> {
    match group {
        Group::Run => Program::ROWS.to_vec(),
        Group::Test => [TestProgram::ROWS, TestFile::ROWS].concat(),
        Group::Vm => [VmProgram::ROWS, &vm::LAB_PROGRAMS].concat(),
        Group::Machines => LintProgram::ROWS.to_vec(),
        Group::Peers => FilterPeer::ROWS.to_vec(),
        Group::LogPeers => LogPeer::ROWS.to_vec(),
        Group::Fuzz => FuzzProgram::ROWS.to_vec(),
        Group::Dist => DistProgram::ROWS.to_vec(),
        Group::Debian => DebianProgram::ROWS.to_vec(),
        Group::Build | Group::Lint | Group::Docs => Vec::new(),
    }
}

/// Installs packages as root. Installing a web server must not leave it on the developer's port 80, and apt
/// starts and enables it: so a `policy-rc.d` that refuses every start exists for the length of the installation (one that was
/// there, as in a container, is left alone), and the unit is disabled afterwards. The server that is here was not before, so
/// nobody relies on it.
const INSTALL: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet --no-install-recommends "$@"
for server in nginx apache2 haproxy caddy fail2ban prometheus; do
    case " $* " in *" $server "*)
        if [ -d /run/systemd/system ]; then systemctl --quiet disable --now "$server.service"; fi ;;
    esac
done
"#;

/// Packages whose names are known from the start.
pub(super) struct Packages {
    groups: Vec<Group>,
}

impl Packages {
    pub(super) fn new(groups: Vec<Group>) -> Self {
        Self { groups }
    }
}

impl Part for Packages {
    fn missing(&self) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        if self.groups.contains(&Group::Build) && BpfToolchain::find()?.is_none_or(|it| it.way == Way::Debian)
        {
            missing.extend(not_installed(&BPF_RUST));
        }
        if self.groups.contains(&Group::Run) {
            missing.extend(nats::missing_package());
        }
        let rows = self.groups.iter().flat_map(|group| rows(*group));
        missing.extend(rows.filter_map(missing_package));
        missing.sort();
        missing.dedup();
        Ok(missing)
    }

    fn install(&self) -> Result<()> {
        install(&self.missing()?)
    }
}

/// The package of a row, if its program or file is not here.
fn missing_package(row: Row) -> Option<String> {
    row.find().is_none().then(|| row.package.to_owned())
}

/// A row that is installed without others: a distribution may lack one and have the next.
impl Part for Row {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(missing_package(*self).into_iter().collect())
    }

    fn install(&self) -> Result<()> {
        install(&self.missing()?)
    }
}

/// What bpf-linker is built with: its LLVM must be rustc's, which is known once rustc is installed.
pub(super) struct LlvmPackages;

impl Part for LlvmPackages {
    fn missing(&self) -> Result<Vec<String>> {
        let Some(toolchain) = BpfToolchain::find()? else {
            return Ok(vec!["LLVM of the same version as rustc-web's".to_owned()]);
        };
        if bpf_linker::find_for(&toolchain).is_some() {
            return Ok(Vec::new());
        }
        let llvm = toolchain.llvm;
        let wanted = [
            format!("llvm-{llvm}-dev"),
            format!("libpolly-{llvm}-dev"),
            "libzstd-dev".to_owned(),
            "zlib1g-dev".to_owned(),
            "g++".to_owned(),
        ];
        Ok(not_installed(&wanted.each_ref().map(String::as_str)))
    }

    fn install(&self) -> Result<()> {
        install(&self.missing()?)
    }
}

/// Whether apt can install this package; its lists may be empty on a fresh machine.
pub(super) fn is_available(package: &str) -> bool {
    output(Command::new("apt-cache").args(["--quiet", "show", package])).is_ok_and(|text| !text.is_empty())
}

/// Whether this package is installed.
pub(super) fn is_installed(package: &str) -> bool {
    not_installed(&[package]).is_empty()
}

fn not_installed(packages: &[&str]) -> Vec<String> {
    let mut query = Command::new("dpkg-query");
    query
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"])
        .args(packages);
    // It fails as soon as one of them is unknown, and still prints the others.
    let printed = query
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
        .unwrap_or_default();
    let installed = |package: &str| printed.lines().any(|line| line == format!("{package} installed"));
    packages
        .iter()
        .filter(|package| !installed(package))
        .map(|package| (*package).to_owned())
        .collect()
}

fn install(packages: &[String]) -> Result<()> {
    if find("apt-get").is_none() {
        bail!(
            "this system has no apt-get; install these (names of Debian's packages) by its own means and run this again: {}. \
             In place of {} take `rustup toolchain install nightly --component rust-src` and a bpf-linker 0.13 on PATH",
            packages.join(", "),
            BPF_RUST.join(", ")
        );
    }
    update_lists()?;
    let status = as_root("sh")?
        .args(["-c", INSTALL, "sh"])
        .args(packages)
        .status()?;
    if !status.success() {
        bail!("`apt-get install {}` failed ({status})", packages.join(" "));
    }
    Ok(())
}

/// Fetches apt's lists, once in a process.
pub(crate) fn update_lists() -> Result<()> {
    static UPDATED: AtomicBool = AtomicBool::new(false);
    if UPDATED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    run(as_root("apt-get")?.args(["-o", "DPkg::Lock::Timeout=300", "--quiet", "update"]))
}
