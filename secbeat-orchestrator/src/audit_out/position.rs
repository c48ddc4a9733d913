//! Position up to which the audit was copied, kept over restarts.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use secbeat_bus::{Bucket, Bus, Created, EntryKind, Write};
use secbeat_common::subjects::{AUDIT_POSITION_KEY, AuditPart, LEASES_BUCKET};
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use serde::{Deserialize, Serialize};

/// The last record of a part of the audit that went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Time at which the log was made that it is of, nanoseconds since the Unix epoch: in another one sequences start again.
    created: i128,
    sequence: u64,
}

/// How far the parts of the audit have gone out, by their streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// The sequence to go on behind in a log that was made at `created`; 0 for its beginning.
    pub(super) fn within(&self, part: AuditPart, created: Created) -> u64 {
        let known = self.0.get(part.stream());
        known
            .filter(|position| position.created == created.0)
            .map_or(0, |position| position.sequence)
    }

    /// Those of a reading that begins.
    pub(super) fn of(parts: &[(AuditPart, Created, u64)]) -> Self {
        let positions = parts.iter().map(|(part, Created(created), sequence)| {
            let position = Position {
                created: *created,
                sequence: *sequence,
            };
            (part.stream().to_owned(), position)
        });
        Self(positions.collect())
    }

    /// A part has come to `sequence`.
    pub(super) fn reach(&mut self, part: AuditPart, sequence: u64) {
        if let Some(position) = self.0.get_mut(part.stream()) {
            position.sequence = sequence;
        }
    }
}

/// Where positions are kept.
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

    /// None if nothing has gone out.
    pub(super) async fn read(&self) -> anyhow::Result<Positions> {
        let bytes = match self {
            Self::File(path) => match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Positions::default()),
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            },
            Self::Bus(bucket) => match bucket.get(AUDIT_POSITION_KEY).await? {
                Some(entry) if entry.kind == EntryKind::Put => entry.value.to_vec(),
                _ => return Ok(Positions::default()),
            },
        };
        serde_json::from_slice(&bytes).context("invalid position in the audit")
    }

    pub(super) async fn write(&self, positions: &Positions) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(positions)?;
        match self {
            Self::File(path) => replace(path, &bytes, Readers::Group, Outlives::PowerCut)
                .with_context(|| format!("writing {}", path.display())),
            Self::Bus(bucket) => Ok(bucket
                .write(Write::put(AUDIT_POSITION_KEY, bytes))
                .await
                .map(drop)?),
        }
    }
}
