//! apt and dpkg of Debian and Ubuntu; on another distribution, the list of what to install.

use crate::process::{as_root, find, output, run};
use anyhow::{Result, bail};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rust with a ready-made `core` for BPF: needed where rustup's nightly has no `rust-src`.
pub(super) const BPF_RUST: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

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
for server in nginx apache2 haproxy caddy lighttpd fail2ban prometheus; do
    case " $* " in *" $server "*)
        if [ -d /run/systemd/system ]; then systemctl --quiet disable --now "$server.service"; fi ;;
    esac
done
case " $* " in *" openssh-server "*)
    if [ -d /run/systemd/system ]; then systemctl --quiet disable --now ssh.service; fi ;;
esac
"#;

/// Whether apt can install this package; its lists may be empty on a fresh machine.
pub(super) fn is_available(package: &str) -> bool {
    output(Command::new("apt-cache").args(["--quiet", "show", package])).is_ok_and(|text| !text.is_empty())
}

/// Which of these packages are not installed.
pub(super) fn not_installed(packages: &[&str]) -> Vec<String> {
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

/// Installs packages, or says what to install where there is no apt.
pub(super) fn install(packages: &[String]) -> Result<()> {
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
