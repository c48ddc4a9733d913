//! A journal for a daemon's own `/run`, written by systemd-journal-remote as journald writes it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    process::{Child, ChildStdin, Stdio},
};

use secbeat_daemon::time::now_ms;

use crate::lab::{
    executable::{Executable as _, TestProgram},
    files::HostFiles,
};

/// Any machine.
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// A journal that is open for writing. Dropped, its writer ends.
#[derive(Debug)]
pub struct Journal {
    // In this order: without input, the writer ends by itself.
    input: Option<ChildStdin>,
    writer: Child,
    /// This boot: `journalctl --follow` shows no other.
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
        let mut writer = TestProgram::JournalRemote
            .command()
            .arg(format!("--output={}", folder.join("system.journal").display()))
            .args(["--split-mode=none", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("starting systemd-journal-remote");
        Self {
            input: writer.stdin.take(),
            writer,
            boot: boot.replace('-', "").trim().to_owned(),
            entries: 0,
        }
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

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.writer.wait();
    }
}
