//! Pins that a test leaves as it found them: none.

use std::{fs, os::unix::process::CommandExt as _, path::PathBuf};

use crate::lab::{executable::Executable as _, paths};

/// A pin folder of its own; dropped, it is freed as an operator would free it, but by a config that names nothing else: the kill switch
/// is remembered beside that, and a config that a test has broken would free the host's own pins.
#[derive(Debug)]
pub(super) struct PinFolder {
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
}

impl Drop for PinFolder {
    fn drop(&mut self) {
        let config = self.config.with_file_name("detach.toml");
        let text = format!(
            "enforcement = \"kernel\"\nstate_dir = \"{}\"\n[kernel]\ninterfaces = [\"lo\"]\npin_dir = \"{}\"\n",
            self.config.with_file_name("detach-state").display(),
            self.path.display()
        );
        if let Err(error) = fs::write(&config, text) {
            return eprintln!("pins stay behind in {}: {error}", self.path.display());
        }
        let mut detach = paths::daemon("secbeat-edge").command();
        // A group of its own, so that a second Ctrl-C does not end it early.
        detach.arg("detach").arg("--config").arg(&config).process_group(0);
        let _ = detach.output();
        if self.path.exists() {
            eprintln!("pins stay behind in {}", self.path.display());
        }
    }
}
