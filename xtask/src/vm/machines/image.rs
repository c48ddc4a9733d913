//! What the machines boot from: a disk with a Debian, the packages and Vagrant's scripts, and an initramfs that finds it.

use crate::process::{as_root, run};
use crate::vm::kernel::Kernel;
use crate::vm::newc::Archive;
use crate::{debian, workspace};
use anyhow::{Context, Result};
use secbeat_programs::{DebianProgram, VmProgram};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

const INIT: &str = include_str!("init.sh");
const MACHINE: &str = include_str!("machine.sh");
const UNIT: &str = "[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nTimeoutStartSec=infinity\n\
    ExecStart=/secbeat/machine.sh\n";
/// Nothing of a Debian that waits for devices which these machines do not have.
const TARGET: &str = "[Unit]\nRequires=basic.target secbeat-machine.service\nAllowIsolate=yes\n";
const SIZE: &str = "1500M";

/// Writes the disk to a file in `scratch`. All machines boot from it, none writes to it.
pub(super) fn disk(scratch: &Path) -> Result<PathBuf> {
    let debian = debian::root(debian::Release::default())?;
    let (tree, disk) = (scratch.join("tree"), scratch.join("disk"));
    run(as_root("cp")?.arg("--archive").arg(debian).arg(&tree))?;
    let more = scratch.join("more");
    let secbeat = more.join("secbeat");
    let units = more.join("etc/systemd/system");
    for folder in [&secbeat.join("packages"), &secbeat.join("machines"), &units] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let machine = secbeat.join("machine.sh");
    for (path, text) in [
        (machine.clone(), MACHINE),
        (units.join("secbeat-machine.service"), UNIT),
        (units.join("secbeat-machine.target"), TARGET),
    ] {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    run(Command::new("chmod").arg("755").arg(&machine))?;
    run(Command::new("sh")
        .args(["-c", "cp -- \"$0\"/*.deb \"$1\""])
        .arg(workspace::dist())
        .arg(secbeat.join("packages")))?;
    run(&mut Command::new(workspace::root().join("vagrant/fleet.sh")))?;
    let lab = workspace::target().join("vagrant");
    for name in super::MACHINES.map(|machine| machine.name) {
        run(Command::new("cp")
            .arg("-r")
            .arg(lab.join(name))
            .arg(secbeat.join("machines")))?;
    }
    run(Command::new("cp")
        .arg("-r")
        .arg(workspace::root().join("vagrant"))
        .arg(&secbeat))?;
    run(as_root("cp")?
        .args(["--recursive", "--no-target-directory"])
        .arg(&more)
        .arg(&tree))?;
    run(as_root(DebianProgram::MkfsExt4.name())?
        .args(["-q", "-F", "-d"])
        .arg(&tree)
        .arg(&disk)
        .arg(SIZE))?;
    run(as_root("rm")?.arg("-rf").arg(&tree))?;
    // Readable by QEMU, which is not root.
    run(as_root("chmod")?.arg("644").arg(&disk))?;
    Ok(disk)
}

/// Writes the initramfs to a file in `scratch`.
pub(super) fn initramfs(kernel: &Kernel, scratch: &Path) -> Result<PathBuf> {
    let file = scratch.join("initramfs");
    let to = File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
    let mut archive = Archive::new(BufWriter::new(to));
    for folder in ["dev", "proc", "sys", "root"] {
        archive.folder(folder)?;
    }
    archive.device("dev/console", 5, 1)?;
    archive.file("init", INIT.as_bytes())?;
    kernel.add_modules(&mut archive)?;
    let busybox = VmProgram::Busybox
        .row()
        .find()
        .context("busybox is not installed")?;
    let bytes = fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    archive.file("bin/busybox", &bytes)?;
    archive.finish()?;
    Ok(file)
}
