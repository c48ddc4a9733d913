//! The packages, installed, upgraded and purged in a Debian of their own.

use super::packages;
use crate::debian::Release;
use crate::install::{self, Group};
use crate::{cargo_test, debian, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;

/// Makes a later version of the packages too, and runs the test.
pub(super) fn run(release: Release) -> Result<()> {
    install::ensure(&[Group::Run, Group::Test])?;
    let later = workspace::dist().join("later");
    fs::create_dir_all(&later).with_context(|| format!("cannot create {}", later.display()))?;
    packages(&later, Some("+later"))?;
    let places = [
        ("SECBEAT_DIST", workspace::dist()),
        ("SECBEAT_DEBIAN", debian::root(release)?),
    ];
    let totals = cargo_test::ignored("packages", &[], &places)?;
    ensure!(
        totals.failed == 0 && totals.passed > 0,
        "the packages are not as they should be"
    );
    Ok(())
}
