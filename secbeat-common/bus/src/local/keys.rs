//! What is known of buckets.

use std::collections::BTreeMap;

use rusqlite::Connection;
use tokio::sync::watch;

use super::schema::{Place, decode};
use crate::backend::{BucketSettings, Created};

/// What is known of a bucket without a look into the database.
pub(super) struct Keys {
    pub(super) place: Place,
    pub(super) id: i64,
    pub(super) settings: BucketSettings,
    pub(super) created: Created,
    pub(super) last_revision: watch::Sender<u64>,
}

impl Keys {
    /// The buckets of the file.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<BTreeMap<String, Self>> {
        let mut rows = db.prepare("SELECT name, id, created, last_revision, settings FROM main.buckets")?;
        rows.query_map([], |row| {
            let keys = Self {
                place: Place::Main,
                id: row.get(1)?,
                settings: decode(4, row)?,
                created: Created(row.get::<_, i64>(2)?.into()),
                last_revision: watch::channel(row.get(3)?).0,
            };
            Ok((row.get(0)?, keys))
        })?
        .collect()
    }

    pub(super) fn last_revision(&self) -> u64 {
        *self.last_revision.borrow()
    }
}
