//! The package `secbeat-nats`: nothing of it is compiled here, so it needs no cargo.

use crate::install::nats;
use crate::process::{output, run as run_command};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What goes in: the file, where to, and its mode.
const FILES: [(&str, &str, &str); 5] = [
    (
        "target/tools/nats-server/nats-server",
        "usr/lib/secbeat/nats-server",
        "755",
    ),
    (
        "packaging/systemd/secbeat-nats.service",
        "usr/lib/systemd/system/secbeat-nats.service",
        "644",
    ),
    (
        "packaging/systemd/secbeat.sysusers",
        "usr/lib/sysusers.d/secbeat-nats.conf",
        "644",
    ),
    (
        "packaging/systemd/secbeat.tmpfiles",
        "usr/lib/tmpfiles.d/secbeat-nats.conf",
        "644",
    ),
    (
        "packaging/debian/nats/copyright",
        "usr/share/doc/secbeat-nats/copyright",
        "644",
    ),
];
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Builds it into a folder; its version is nats-server's with a suffix.
pub(super) fn package(folder: &Path, suffix: &str) -> Result<()> {
    let tree = folder.join("nats");
    let install = |from: &str, to: &str, mode: &str| {
        run_command(
            Command::new("install")
                .args(["-D", "--mode", mode])
                .arg(workspace::root().join(from))
                .arg(tree.join(to)),
        )
    };
    for (from, to, mode) in FILES {
        install(from, to, mode)?;
    }
    for script in SCRIPTS {
        install(
            &format!("packaging/debian/nats/{script}"),
            &format!("DEBIAN/{script}"),
            "755",
        )?;
    }
    let template = workspace::root().join("packaging/debian/nats/control");
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let control = fs::read_to_string(&template)
        .with_context(|| format!("cannot read {}", template.display()))?
        .replace("@VERSION@", &format!("{}{suffix}", nats::CURRENT.version))
        .replace("@ARCHITECTURE@", &architecture);
    fs::write(tree.join("DEBIAN/control"), control)
        .context("cannot write the control file of secbeat-nats")?;
    run_command(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&tree)
            .arg(folder),
    )?;
    fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))
}
