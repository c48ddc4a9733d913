//! One archive with everything, for a host without Debian's packages.

use super::{DAEMONS, version};
use crate::process::{output, run as run_command};
use crate::scenario::Profile;
use crate::workspace;
use anyhow::{Context, Result};
use secbeat_programs::DistProgram;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What goes in as it is in the tree.
const FILES: [&str; 9] = [
    "packaging",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "target/dist/share",
];

/// Writes `secbeat-VERSION-ARCHITECTURE-linux.tar.gz`. The same tree makes the same bytes.
pub(super) fn make(dist: &Path) -> Result<()> {
    let name = format!("secbeat-{}-{}-linux", version()?, std::env::consts::ARCH);
    let folder = dist.join(&name);
    fs::create_dir_all(folder.join("bin")).with_context(|| format!("cannot create {}", folder.display()))?;
    for daemon in DAEMONS {
        run_command(
            Command::new(DistProgram::Strip.name())
                .arg("-o")
                .arg(folder.join("bin").join(daemon))
                .arg(Profile::Release.bin_dir().join(daemon)),
        )?;
    }
    run_command(
        Command::new("cp")
            .arg("-r")
            .args(FILES)
            .arg(&folder)
            .current_dir(workspace::root()),
    )?;
    let committed = output(
        Command::new(DistProgram::Git.name())
            .args(["log", "-1", "--format=%ct"])
            .current_dir(workspace::root()),
    )?;
    run_command(
        Command::new("tar")
            .args([
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--mode=go=rX,u+rw",
            ])
            .arg(format!("--mtime=@{committed}"))
            .args(["--use-compress-program", "gzip -n9", "--create", "--file"])
            .arg(format!("{name}.tar.gz"))
            .arg(&name)
            .current_dir(dist),
    )?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}
