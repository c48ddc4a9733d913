//! The packages, installed, upgraded and purged in a Debian that has nothing but its base system.

use super::packages;
use crate::process::{as_root, run as run_command};
use crate::setup::{self, Group};
use crate::{test, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;

const MIRROR: &str = "http://deb.debian.org/debian/";
const RELEASE: &str = "bookworm";

/// Makes that Debian if there is none yet, and a later version of the packages, and runs the test.
pub(super) fn run() -> Result<()> {
    setup::ensure(&[Group::Run, Group::DistVerify])?;
    let root = workspace::target().join("debian").join(RELEASE);
    if !root.join("usr/lib/systemd/systemd").exists() {
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        // Beside its place, so that one left half made is not taken for one.
        let making = root.with_extension("making");
        run_command(as_root("rm")?.arg("-rf").arg(&making))?;
        run_command(
            as_root("debootstrap")?
                .args(["--variant=minbase", "--include=systemd,systemd-sysv", RELEASE])
                .arg(&making)
                .arg(MIRROR),
        )?;
        run_command(as_root("mv")?.arg(&making).arg(&root))?;
    }
    let later = workspace::dist().join("later");
    fs::create_dir_all(&later).with_context(|| format!("cannot create {}", later.display()))?;
    packages(&later, Some("+later"))?;
    let places = [("SECBEAT_DIST", workspace::dist()), ("SECBEAT_DEBIAN", root)];
    let totals = test::ignored("packages", &[], &places)?;
    ensure!(
        totals.failed == 0 && totals.passed > 0,
        "the packages are not as they should be"
    );
    Ok(())
}
