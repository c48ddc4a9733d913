//! `dist`: packages for Debian and its kin, and tarballs for everybody else, under `target/dist`.

mod assets;
mod nats;
mod tarball;
mod verify;

use crate::debian::Release;
use crate::install::{self, Group, cargo_tools};
use crate::process::{cargo, output, run as run_command};
use crate::scenario::{self, DAEMONS, Profile};
use crate::{dashboard, workspace, xdp_program};
use anyhow::{Context, Result, ensure};
use secbeat_programs::DistProgram;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the names of libraries begin with that a daemon may be linked with at run time: the C library, which every Linux host has,
/// and its loader, which is called by the architecture.
const LIBRARIES: [&str; 4] = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux-"];

/// Build packages and tarballs, with checksums and a list of what is inside (SBOM).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Then install, upgrade and purge the packages in a Debian of their own, which a systemd boots
    #[arg(long)]
    verify: bool,
    /// Take this Debian
    #[arg(
        long,
        value_name = "RELEASE",
        value_enum,
        default_value_t,
        requires = "verify"
    )]
    on: Release,
}

/// The command itself.
pub(crate) fn run(args: &Args) -> Result<()> {
    make()?;
    run_command(Command::new("ls").arg("-l").arg(workspace::dist()))?;
    match args.verify {
        true => verify::run(args.on),
        false => Ok(()),
    }
}

/// Builds it all.
pub(crate) fn make() -> Result<()> {
    install::ensure(&[Group::Build, Group::Dist])?;
    xdp_program::build()?;
    dashboard::build()?;
    scenario::build(Profile::Release, &DAEMONS)?;
    let dist = workspace::dist();
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("cannot remove {}", dist.display()))?;
    }
    fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
    for daemon in DAEMONS {
        ensure_linked_with_little(&Profile::Release.bin_dir().join(daemon))?;
    }
    assets::make()?;
    packages(&dist, None)?;
    tarball::make(&dist)?;
    checksums(&dist)
}

/// Builds the packages into a folder, with their versions as they are or with a suffix.
fn packages(folder: &Path, suffix: Option<&str>) -> Result<()> {
    for daemon in DAEMONS {
        let mut deb = cargo("deb");
        deb.args([
            "--quiet",
            "--no-build",
            "--strip",
            "--package",
            daemon,
            "--output",
        ])
        .arg(folder)
        .env("PATH", cargo_tools::on_path()?);
        if let Some(suffix) = suffix {
            deb.args(["--deb-version", &(version()? + suffix)]);
        }
        run_command(&mut deb)?;
    }
    nats::package(folder, suffix.unwrap_or_default())
}

/// `SHA256SUMS`, as `sha256sum --check` reads it.
fn checksums(folder: &Path) -> Result<()> {
    let sums = output(
        Command::new("sh")
            .args(["-c", "sha256sum -- *.deb *.tar.gz"])
            .current_dir(folder),
    )?;
    fs::write(folder.join("SHA256SUMS"), sums + "\n").context("cannot write SHA256SUMS")
}

fn ensure_linked_with_little(program: &Path) -> Result<()> {
    let dynamic = output(
        Command::new(DistProgram::Readelf.name())
            .arg("--dynamic")
            .arg(program),
    )?;
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        ensure!(
            LIBRARIES
                .iter()
                .any(|library| line.contains(&format!("[{library}"))),
            "{} needs more at run time than the C library: {}",
            program.display(),
            line.trim()
        );
    }
    Ok(())
}

/// The workspace's version.
fn version() -> Result<String> {
    let manifest = output(cargo("pkgid").args(["--package", "secbeat-edge"]))?;
    let (_, version) = manifest
        .rsplit_once(['#', '@'])
        .with_context(|| format!("no version in {manifest}"))?;
    Ok(version.to_owned())
}
