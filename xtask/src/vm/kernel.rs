//! Debian's kernels, fetched and unpacked below `target/vm`; the running system gets none of it.

use super::newc::Archive;
use super::package::Package;
use super::series::Series;
use super::{modules, scratch::remove};
use crate::install::apt;
use crate::process::run;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel, ready to boot.
pub(super) struct Kernel {
    /// Package and version.
    pub(super) name: String,
    directory: PathBuf,
}

impl Kernel {
    pub(super) fn image(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// Adds the modules to load, under names that sort in this order.
    pub(super) fn add_modules(&self, archive: &mut Archive<impl Write>) -> Result<()> {
        let mut files = entries(&self.directory.join("modules"))?;
        files.sort();
        for (number, file) in files.iter().enumerate() {
            let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            archive.file(&format!("modules/{number:02}.ko"), &bytes)?;
        }
        Ok(())
    }
}

/// The newest kernel of a series, from an earlier run if that had the same. `scratch` is a folder with nothing in it.
pub(super) fn fetch(series: Series, scratch: &Path) -> Result<Kernel> {
    let mut newest = Package::newest(series)?;
    // What was kept has the modules that were wanted then.
    let home = workspace::vm().join(format!("{series}-{}", modules::WANTED.join("-")));
    if !home.join(newest.file_name()).exists() {
        println!("vm: {series}: fetching {newest}");
        let fetched = scratch.join("package");
        create(&fetched)?;
        if let Err(error) = newest.download(&fetched) {
            // Debian removes a version soon after the next one, so old lists name what is gone.
            eprintln!("vm: {error:#}; once more with apt's newest lists");
            apt::update_lists()?;
            newest = Package::newest(series)?;
            newest.download(&fetched)?;
        }
        let ready = scratch.join("kernel");
        unpack(&fetched, &scratch.join("unpacked"), &ready)?;
        remove(&home)?;
        create(&home)?;
        let kept = home.join(newest.file_name());
        fs::rename(&ready, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    }
    Ok(Kernel {
        name: newest.to_string(),
        directory: home.join(newest.file_name()),
    })
}

/// Leaves in `ready` what a machine boots, of the only package in `fetched`.
fn unpack(fetched: &Path, unpacked: &Path, ready: &Path) -> Result<()> {
    let archive = entries(fetched)?;
    let archive = archive.first().context("apt-get fetched no package")?;
    create(unpacked)?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(archive)
        .arg(unpacked))?;
    let boot = entries(&unpacked.join("boot"))?;
    let image = boot.iter().find(|file| name_of(file).starts_with("vmlinuz-"));
    let image = image.with_context(|| format!("{} has no kernel", archive.display()))?;
    create(&ready.join("modules"))?;
    fs::rename(image, ready.join("vmlinuz")).context("cannot keep the kernel")?;
    modules::unpack(unpacked, &ready.join("modules"))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let cannot_read = || format!("cannot read {}", directory.display());
    let entries = fs::read_dir(directory).with_context(cannot_read)?;
    entries
        .map(|entry| Ok(entry.with_context(cannot_read)?.path()))
        .collect()
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}
