//! Wall clocks that can be set, for single processes (libfaketime).

use std::{fs, path::Path, process::Command};

use crate::lab::executable::{TestFile, file};

/// Has a process go by the clock in the file at `clock`.
pub(super) fn wear(command: &mut Command, clock: &Path) {
    command
        .env("LD_PRELOAD", file(TestFile::Faketime))
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DISABLE_SHM", "1");
}

/// Sets it to so many seconds ahead of the real one.
///
/// # Panics
///
/// When the file cannot be written.
pub(super) fn set(clock: &Path, ahead: i64) {
    let new = clock.with_extension("new");
    fs::write(&new, format!("{ahead:+}\n")).expect("writing a clock");
    fs::rename(&new, clock).expect("setting a clock");
}
