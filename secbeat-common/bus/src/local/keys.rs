//! State of the buckets.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::schema::{Place, decode};
use crate::backend::{BucketSettings, Created};

/// What is known of a bucket without a look into the database.
pub(super) struct Keys {
    pub(super) place: Place,
    pub(super) id: i64,
    pub(super) settings: BucketSettings,
    pub(super) created: Created,
    /// With what is not committed yet.
    pub(super) last_revision: u64,
    /// The last revision that is committed.
    pub(super) told: watch::Sender<u64>,
}

impl Keys {
    /// The buckets of the file.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<BTreeMap<String, Self>> {
        let mut rows = db.prepare("SELECT name, id, created, last_revision, settings FROM main.buckets")?;
        rows.query_map([], |row| {
            let last_revision = row.get(3)?;
            let keys = Self {
                place: Place::Main,
                id: row.get(1)?,
                settings: decode(4, row)?,
                created: Created(row.get::<_, i64>(2)?.into()),
                last_revision,
                told: watch::Sender::new(last_revision),
            };
            Ok((row.get(0)?, keys))
        })?
        .collect()
    }

    /// Whether something is not committed yet.
    pub(super) fn is_changed(&self) -> bool {
        self.last_revision != *self.told.borrow()
    }

    pub(super) fn remember(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = format!(
            "UPDATE {}.buckets SET last_revision = ? WHERE id = ?",
            self.place.name()
        );
        db.prepare_cached(&sql)?
            .execute(params![self.last_revision, self.id])
            .map(drop)
    }

    /// Everything is committed.
    pub(super) fn tell(&self) {
        if self.is_changed() {
            self.told.send_replace(self.last_revision);
        }
    }

    /// What was not committed is gone.
    pub(super) fn undo(&mut self) {
        self.last_revision = *self.told.borrow();
    }
}
