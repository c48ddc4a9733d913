//! Debian's kernels as packages: apt finds the newest, and checks its signatures when it fetches it.

use super::series::Series;
use crate::install::apt;
use crate::process::{find, output, run};
use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::path::Path;
use std::process::Command;

/// The flavour without drivers for hardware that no virtual machine has: half as much to fetch.
const FLAVOUR: &str = "-cloud-amd64";

/// For root, apt would fetch as a user of its own, who may not be allowed to write to `target`; it would say so and go on.
const NO_SANDBOX: &str = "APT::Sandbox::User=root";

/// A kernel's package, in the version that apt can fetch.
pub(super) struct Package {
    name: String,
    version: String,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Package {
    /// The newest of a series.
    pub(super) fn newest(series: Series) -> Result<Self> {
        let name = newest_package(series)?;
        let version = candidate(&name)?;
        Ok(Self { name, version })
    }

    /// A name for what is made of this version.
    pub(super) fn file_name(&self) -> String {
        format!("{}_{}", self.name, self.version)
    }

    /// Leaves the package in the folder `to`.
    pub(super) fn download(&self, to: &Path) -> Result<()> {
        run(Command::new("apt-get")
            .args(["--quiet", "--quiet", "-o", NO_SANDBOX, "download"])
            .arg(format!("{}={}", self.name, self.version))
            .current_dir(to))
    }
}

/// The package of a series with the highest point release. Their names carry it, so they are looked up and not known.
fn newest_package(series: Series) -> Result<String> {
    ensure!(
        find("apt-cache").is_some(),
        "the kernels are Debian's packages, and this system has no apt to fetch them with"
    );
    if let Some(package) = newest_known(series)? {
        return Ok(package);
    }
    apt::update_lists()?;
    match newest_known(series)? {
        Some(package) => Ok(package),
        None => bail!(
            "apt knows no package linux-image-{series}.…{FLAVOUR}: its sources must name a Debian release with this kernel \
             (Debian 12 has both)"
        ),
    }
}

fn newest_known(series: Series) -> Result<Option<String>> {
    let prefix = format!("linux-image-{series}.");
    let names = output(Command::new("apt-cache").arg("pkgnames").arg(&prefix))?;
    let releases = names
        .lines()
        .filter_map(|name| Some((release(name, &prefix)?, name)));
    Ok(releases.max().map(|(_, name)| name.to_owned()))
}

/// The numbers of `linux-image-6.12.117+deb12-cloud-amd64` or `linux-image-6.1.0-56-cloud-amd64` after the series.
fn release(package: &str, prefix: &str) -> Option<Vec<u32>> {
    let release = package.strip_prefix(prefix)?.strip_suffix(FLAVOUR)?;
    let numbers = release
        .split(|char: char| !char.is_ascii_digit())
        .filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}

fn candidate(package: &str) -> Result<String> {
    let policy = output(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )?;
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "));
    let version = version.filter(|version| *version != "(none)");
    Ok(version
        .with_context(|| format!("apt can install no version of {package}"))?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_are_compared_as_numbers() {
        let new = |name| release(name, "linux-image-6.12.");
        let newest = new("linux-image-6.12.117+deb12-cloud-amd64");
        assert_eq!(newest, Some(vec![117, 12]));
        assert!(newest > new("linux-image-6.12.99+deb12-cloud-amd64"));
        let old = |name| release(name, "linux-image-6.1.");
        assert_eq!(old("linux-image-6.1.0-56-cloud-amd64"), Some(vec![0, 56]));
        assert!(old("linux-image-6.1.0-56-cloud-amd64") > old("linux-image-6.1.0-9-cloud-amd64"));
    }

    #[test]
    fn other_packages_are_none() {
        for other in [
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-cloud-amd64-dbg",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.12.117+deb12-cloud-amd64",
        ] {
            assert_eq!(release(other, "linux-image-6.1."), None, "{other}");
        }
    }
}
