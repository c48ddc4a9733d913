//! A Debian of its own, which packages and provisioning scripts can be tried in: its base system, and what the scripts would
//! otherwise fetch.

use crate::install::{self, Group};
use crate::process::{as_root, run};
use crate::workspace;
use anyhow::{Context, Result};
use secbeat_programs::DebianProgram;
use std::fs;
use std::path::PathBuf;

const MIRROR: &str = "http://deb.debian.org/debian/";
const INCLUDED: &str = "systemd,systemd-sysv,iproute2,curl,nginx-light,openssh-server,bpftool";

/// A release of Debian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Release {
    /// Debian 12
    #[default]
    Bookworm,
    /// Debian 13
    Trixie,
}

impl Release {
    const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

/// Its root folder, which is root's and nobody may change. Made once.
pub(crate) fn root(release: Release) -> Result<PathBuf> {
    install::ensure(&[Group::Debian])?;
    let root = workspace::target().join("debian").join(release.name());
    if ["nginx", "sshd"]
        .iter()
        .all(|server| root.join("usr/sbin").join(server).exists())
    {
        return Ok(root);
    }
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    // Beside its place, so that one left half made is not taken for one.
    let making = root.with_extension("making");
    run(as_root("rm")?.arg("-rf").arg(&making).arg(&root))?;
    println!("debootstrap: making a Debian in {}", root.display());
    run(as_root(DebianProgram::Debootstrap.name())?
        .args([
            "--variant=minbase",
            &format!("--include={INCLUDED}"),
            release.name(),
        ])
        .arg(&making)
        .arg(MIRROR)
        .stdout(std::process::Stdio::null()))?;
    run(as_root("mv")?.arg(&making).arg(&root))?;
    Ok(root)
}
