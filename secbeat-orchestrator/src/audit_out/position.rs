//! How far the audit has gone out, kept over restarts.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use secbeat_bus::{Bucket, Bus, Created, EntryKind, Write};
use secbeat_common::subjects::{AUDIT_POSITION_KEY, LEASES_BUCKET};
use serde::{Deserialize, Serialize};

/// The last record that went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// When the audit was made that it is of, nanoseconds since the Unix epoch: in another one sequences begin anew.
    pub(super) created: i128,
    pub(super) sequence: u64,
}

impl Position {
    /// The sequence to go on behind in an audit that was made at `created`; 0 for its beginning.
    pub(super) fn within(this: Option<Self>, created: Created) -> u64 {
        this.filter(|position| position.created == created.0)
            .map_or(0, |position| position.sequence)
    }
}

/// Where a position is kept.
#[derive(Debug)]
pub(super) enum Place {
    /// Of what only this host has.
    File(PathBuf),
    /// Of what all orchestrators share.
    Bus(Arc<dyn Bucket>),
}

impl Place {
    /// Beside `file`.
    pub(super) fn beside(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".position");
        Self::File(name.into())
    }

    pub(super) fn shared(bus: &Bus) -> Self {
        Self::Bus(bus.bucket(LEASES_BUCKET))
    }

    /// `None` if nothing has gone out.
    pub(super) async fn read(&self) -> anyhow::Result<Option<Position>> {
        let bytes = match self {
            Self::File(path) => match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            },
            Self::Bus(bucket) => match bucket.get(AUDIT_POSITION_KEY).await? {
                Some(entry) if entry.kind == EntryKind::Put => entry.value.to_vec(),
                _ => return Ok(None),
            },
        };
        let position = serde_json::from_slice(&bytes);
        position.map(Some).context("the position in the audit is none")
    }

    pub(super) async fn write(&self, position: Position) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(&position)?;
        match self {
            Self::File(path) => replace(path, &bytes).with_context(|| format!("writing {}", path.display())),
            Self::Bus(bucket) => Ok(bucket
                .write(Write::put(AUDIT_POSITION_KEY, bytes))
                .await
                .map(drop)?),
        }
    }
}

/// Whoever reads `path` finds what it had, or `bytes`.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&new)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    fs::rename(new, path)
}
