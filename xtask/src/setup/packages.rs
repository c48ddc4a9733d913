//! Packages of Debian and Ubuntu; on another distribution, the list of what to install.

use super::{Group, Part, bpf_linker, nats};
use crate::process::{as_root, find, output, run};
use crate::toolchain::{BpfToolchain, Way};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rust with a ready-made `core` for BPF: needed where rustup's nightly has no `rust-src`.
const BPF_RUST: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// The programs that the demo and the tests start, each with its package.
const RUN: [(&str, &str); 13] = [
    ("bpftool", "bpftool"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("nginx", "nginx"),
    ("apache2", "apache2"),
    ("caddy", "caddy"),
    ("haproxy", "haproxy"),
    ("curl", "curl"),
    ("ps", "procps"),
    ("logrotate", "logrotate"),
    ("prometheus", "prometheus"),
    ("journalctl", "systemd"),
    ("/lib/systemd/systemd-journal-remote", "systemd-journal-remote"),
];

/// The web application firewall that the tests load into nginx and Apache: a file of each package.
const WAF: [(&str, &str); 3] = [
    (
        "/usr/lib/apache2/modules/mod_security2.so",
        "libapache2-mod-security2",
    ),
    (
        "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so",
        "libnginx-mod-http-modsecurity",
    ),
    ("/usr/share/modsecurity-crs/owasp-crs.load", "modsecurity-crs"),
];

/// The programs that `vm` starts or puts into its guest.
const VM: [(&str, &str); 7] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("xz", "xz-utils"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("ldd", "libc-bin"),
];

/// What `lint` checks the Vagrantfile with; not every distribution has it.
pub(super) const VAGRANT: Program = Program::new("vagrant", "vagrant");
/// What `lint` checks the compose file with; so this.
pub(super) const COMPOSE: Program = Program::new("docker-compose", "docker-compose");

/// The programs that `dist` starts.
const DIST: [(&str, &str); 4] = [
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("readelf", "binutils"),
    ("strip", "binutils"),
    ("git", "git"),
];

/// The programs that make a Debian and a disk of it.
const DEBIAN: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("mkfs.ext4", "e2fsprogs")];

/// The filters that `bench xdp` compares ours with.
pub(super) const PEERS: [Program; 4] = [
    Program::new("xdp-filter", "xdp-tools"),
    Program::new("nft", "nftables"),
    Program::new("ipset", "ipset"),
    Program::new("iptables", "iptables"),
];

/// What `bench sources` compares ours with.
pub(super) const FAIL2BAN: Program = Program::new("fail2ban-regex", "fail2ban");

/// The HTTP benchmark that `bench sources` runs.
pub(super) const WRK: Program = Program::new("wrk", "wrk");

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
        if self.groups.contains(&Group::Fuzz) && find("c++").is_none() {
            // libFuzzer is compiled from its sources.
            missing.push("g++".to_owned());
        }
        if self.groups.contains(&Group::Run) {
            missing.extend(packages_of(&RUN));
            let absent = WAF.iter().filter(|(file, _)| !Path::new(file).exists());
            missing.extend(absent.map(|(_, package)| (*package).to_owned()));
            missing.extend(nats::missing_package());
            // The clock that the tests give single daemons.
            let clock = format!(
                "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
                std::env::consts::ARCH
            );
            if !Path::new(&clock).exists() {
                missing.push("libfaketime".to_owned());
            }
        }
        if self.groups.contains(&Group::Vm) {
            missing.extend(packages_of(&VM));
        }
        if self.groups.contains(&Group::Dist) {
            missing.extend(packages_of(&DIST));
        }
        if self.groups.contains(&Group::Debian) {
            missing.extend(packages_of(&DEBIAN));
        }
        missing.sort();
        missing.dedup();
        Ok(missing)
    }

    fn install(&self) -> Result<()> {
        install(&self.missing()?)
    }
}

/// The packages of those programs that are not here.
fn packages_of(programs: &'static [(&str, &str)]) -> impl Iterator<Item = String> {
    let absent = programs.iter().filter(|(program, _)| find(program).is_none());
    absent.map(|(_, package)| (*package).to_owned())
}

/// A program and its package, to be installed without others: a distribution may lack one and have the next.
#[derive(Clone, Copy)]
pub(super) struct Program {
    name: &'static str,
    package: &'static str,
}

impl Program {
    const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }
}

impl Part for Program {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(match find(self.name) {
            Some(_) => Vec::new(),
            None => vec![self.package.to_owned()],
        })
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
