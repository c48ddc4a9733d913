//! A journal for a daemon's own `/run`, written by systemd-journal-remote as journald writes it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
};

use secbeat_daemon::time::now_ms;

use crate::lab::{
    executable::{Executable as _, TestProgram},
    files::HostFiles,
};

/// Any machine.
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// The file that is written.
const CURRENT: &str = "system.journal";

/// A journal that is open for writing. Dropped, its writer ends.
#[derive(Debug)]
pub struct Journal {
    // In this order: without input, the writer ends by itself.
    input: Option<ChildStdin>,
    writer: Child,
    folder: PathBuf,
    /// This boot: of others, nothing is followed.
    boot: String,
    entries: u64,
}

impl Journal {
    /// Begins the journal of the machine that `files` belong to.
    #[must_use]
    pub fn start(files: &HostFiles) -> Self {
        files.write("/etc/machine-id", format!("{MACHINE}\n"));
        let folder = files.path(&format!("/run/log/journal/{MACHINE}"));
        fs::create_dir_all(&folder).expect("making a folder for a journal");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reading the boot's id");
        let mut writer = writer(&folder);
        Self {
            input: writer.stdin.take(),
            writer,
            folder,
            boot: boot.replace('-', "").trim().to_owned(),
            entries: 0,
        }
    }

    /// Goes on in a new file, as journald does when one is full, and removes the old one if `is_vacuumed`.
    pub fn rotate(&mut self, is_vacuumed: bool) {
        drop(self.input.take());
        self.writer.wait().expect("the end of systemd-journal-remote");
        let current = self.folder.join(CURRENT);
        match is_vacuumed {
            true => fs::remove_file(current),
            false => fs::rename(
                current,
                self.folder.join(format!("system@{}.journal", self.entries)),
            ),
        }
        .expect("putting a journal's file away");
        self.writer = writer(&self.folder);
        self.input = self.writer.stdin.take();
    }

    /// Adds a message of `unit`, in the journal's export format.
    pub fn write(&mut self, unit: &str, message: &[u8]) {
        self.entries += 1;
        let us = now_ms() * 1000;
        let mut entry = String::new();
        for (field, value) in [
            ("__REALTIME_TIMESTAMP", us.to_string()),
            ("__MONOTONIC_TIMESTAMP", self.entries.to_string()),
            ("_BOOT_ID", self.boot.clone()),
            ("_SYSTEMD_UNIT", unit.to_owned()),
        ] {
            writeln!(entry, "{field}={value}").expect("writing to a string");
        }
        let mut bytes = entry.into_bytes();
        bytes.extend(b"MESSAGE\n");
        bytes.extend((message.len() as u64).to_le_bytes());
        bytes.extend(message);
        bytes.extend(b"\n\n");
        let input = self.input.as_mut().expect("an open journal");
        input
            .write_all(&bytes)
            .and_then(|()| input.flush())
            .expect("writing to a journal");
    }
}

fn writer(folder: &Path) -> Child {
    TestProgram::JournalRemote
        .command()
        .arg(format!("--output={}", folder.join(CURRENT).display()))
        .args(["--split-mode=none", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starting systemd-journal-remote")
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.writer.wait();
    }
}
