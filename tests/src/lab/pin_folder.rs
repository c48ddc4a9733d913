//! Pins that a test leaves as it found them: none.

use std::{os::unix::process::CommandExt as _, path::PathBuf};

use crate::lab::{executable::Executable as _, paths};

/// A pin folder of its own; dropped, it is freed as an operator would free it.
#[derive(Debug)]
pub(super) struct PinFolder {
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
}

impl Drop for PinFolder {
    fn drop(&mut self) {
        let mut detach = paths::daemon("secbeat-edge").command();
        // A group of its own, so that a second Ctrl-C does not end it early.
        detach
            .arg("detach")
            .arg("--config")
            .arg(&self.config)
            .process_group(0);
        let _ = detach.output();
        if self.path.exists() {
            eprintln!("pins stay behind in {}", self.path.display());
        }
    }
}
