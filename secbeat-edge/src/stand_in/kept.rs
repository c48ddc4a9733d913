//! Last orders of the fleet, on disk: a restart or a reboot must not forget by which rules to ban, and whom never.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use secbeat_bus::Allowlist;
use secbeat_common::{sign::Trust, wire::AllowEntry};
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use tracing::warn;

use super::DetectionRecord;

/// The files of what was heard.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    detection: PathBuf,
    allowlist: PathBuf,
    pub(super) waiting: PathBuf,
    pub(super) reports: PathBuf,
}

impl Kept {
    pub(crate) fn in_folder(state_dir: &Path) -> Self {
        Self {
            detection: state_dir.join("detection.sealed"),
            allowlist: state_dir.join("allowlist.json"),
            waiting: state_dir.join("own-bans.json"),
            reports: state_dir.join("own-reports.jsonl"),
        }
    }

    /// Returns what the detector goes by; `None` if nothing was kept that `trust` believes.
    pub(crate) fn detection(&self, trust: &Trust) -> Option<DetectionRecord> {
        let sealed = read(&self.detection)?;
        DetectionRecord::open(&sealed, trust)
            .inspect_err(|error| warn!(file = %self.detection.display(), "what was heard of the fleet's detector: {error}"))
            .ok()
    }

    /// The fleet's allowlist; `None` if none was kept.
    pub(crate) fn allowlist(&self) -> Option<Vec<AllowEntry>> {
        let json = read(&self.allowlist)?;
        serde_json::from_slice(&json)
            .inspect_err(|error| warn!(file = %self.allowlist.display(), "the fleet's allowlist as it was heard: {error}"))
            .ok()
    }

    pub(crate) fn keep_detection(&self, heard: &DetectionRecord) {
        keep(&self.detection, &heard.sealed);
    }

    pub(crate) fn keep_allowlist(&self, known: &Allowlist) {
        let entries: Vec<_> = known.entries.values().collect();
        match serde_json::to_vec(&entries) {
            Ok(json) => keep(&self.allowlist, &json),
            Err(error) => warn!(%error, "the fleet's allowlist cannot be kept"),
        }
    }
}

pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!(file = %path.display(), %error, "what was heard of the fleet cannot be read");
            None
        }
    }
}

fn keep(path: &Path, bytes: &[u8]) {
    if let Err(error) = write(path, bytes) {
        warn!(file = %path.display(), %error, "a restart will forget what was heard of the fleet");
    }
}

/// What clients requested is nobody else's business.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Readers::Owner, Outlives::Crash)
}
