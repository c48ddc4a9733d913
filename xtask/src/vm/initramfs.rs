//! The guest's only file system: an init script, the checks with what they start, their libraries, and modules.

use super::checks::{Checks, EXECUTABLE, runs};
use super::kernel::Kernel;
use super::newc::Archive;
use super::series::Series;
use crate::install::GUEST_PROGRAMS;
use crate::process::shown;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use secbeat_programs::{Row, VmProgram};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const INIT: &str = include_str!("init.sh");

const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Writes an initramfs to `file`. It is not compressed: emulated machines are slow, and memory is not.
pub(super) fn write(file: &Path, series: Series, checks: &Checks, kernel: &Kernel) -> Result<()> {
    let to = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
    let mut archive = Archive::new(BufWriter::new(to));
    for folder in MOUNT_POINTS {
        archive.folder(folder)?;
    }
    // The kernel opens it for init before devtmpfs is mounted.
    archive.device("dev/console", 5, 1)?;
    archive.file("init", INIT.as_bytes())?;
    kernel.add_modules(&mut archive)?;
    add(&mut archive, "secbeat/object", &workspace::bpf_object())?;

    let runs = runs(series).map(|(threads, tests)| format!("{EXECUTABLE} {threads} {tests}\n"));
    let mut programs = vec![
        ("bin/busybox".to_owned(), located(VmProgram::Busybox.row())?),
        ("secbeat/bin/secbeat-edge".to_owned(), checks.edge.clone()),
        (format!("secbeat/tests/{EXECUTABLE}"), checks.tests.clone()),
    ];
    archive.file("secbeat/runs", runs.concat().as_bytes())?;
    for program in GUEST_PROGRAMS {
        programs.push((format!("secbeat/bin/{}", program.name), located(program)?));
    }
    let mut libraries = BTreeSet::new();
    for (name, program) in &programs {
        add(&mut archive, name, program)?;
        libraries.extend(libraries_of(program)?);
    }
    for library in libraries {
        let name = library.to_string_lossy();
        add(&mut archive, name.trim_start_matches('/'), &library)?;
    }
    archive.finish()
}

fn add(archive: &mut Archive<impl Write>, name: &str, file: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    archive.file(name, &bytes)
}

fn located(program: Row) -> Result<PathBuf> {
    program
        .find()
        .with_context(|| format!("{} is not installed", program.name))
}

/// What the dynamic linker loads for a program, itself included. For a static one, `ldd` fails and says so.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new(VmProgram::Ldd.name());
    ldd.arg(program).env("LC_ALL", "C");
    let output = ldd
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&ldd)))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() || complaint.contains("not a dynamic executable"),
        "`{}` failed: {complaint}",
        shown(&ldd)
    );
    let printed = String::from_utf8_lossy(&output.stdout);
    Ok(printed.lines().filter_map(library).collect())
}

/// Reads `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::library;
    use std::path::PathBuf;

    #[test]
    fn libraries_are_read_from_ldd() {
        let libc = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5b7a400000)";
        assert_eq!(
            library(libc),
            Some(PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"))
        );
        let linker = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f5b7a6ab000)";
        assert_eq!(
            library(linker),
            Some(PathBuf::from("/lib64/ld-linux-x86-64.so.2"))
        );
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffd3b5f6000)"), None);
    }
}
