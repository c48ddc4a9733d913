//! The files in use, read again when they change.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use secbeat_common::prefix::Prefix;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{error, info};
use utoipa::ToSchema;

use super::{
    Area, GeoConfig, Networks, Origin, Select,
    database::{Database, GeoError, GeoFields},
};
use crate::time::rfc3339;

/// Interval at which it is looked whether a file has changed. One that is still being written is read when it has stayed the same
/// from one look to the next.
const LOOK: Duration = Duration::from_secs(5);

/// What the files in use know; clones share them. Without a config, nothing is known of anybody.
#[derive(Clone, Debug, Default)]
pub struct Geo(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: Vec<Watched>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Watched {
    /// The key in the config.
    key: &'static str,
    path: PathBuf,
    wanted: GeoFields,
    /// The last good one.
    database: ArcSwapOption<Database>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As it was when it was last read.
    read: Option<Stamp>,
    /// As it was when it was last looked at.
    seen: Option<Stamp>,
    /// The reason why what is there now cannot be used.
    error: Option<String>,
}

/// What changes when a file does: time, length, and which file it is. `None` if there is none.
type Stamp = Option<(i64, i64, u64, u64)>;

/// State of one of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GeoFile {
    /// The key in the config: `geo.country` or `geo.asn`.
    pub key: String,
    /// Path of the file.
    pub path: String,
    /// Name of the database, by its own data; `null` while none could be read.
    pub database: Option<String>,
    /// Build time, RFC 3339.
    pub built_at: Option<String>,
    /// The reason why the file that is there now cannot be used; the last good one stays in use.
    pub error: Option<String>,
}

impl GeoFile {
    /// As people read it.
    #[must_use]
    pub fn line(&self) -> String {
        let Self {
            key,
            path,
            database,
            built_at,
            error,
        } = self;
        let used = match (database, built_at) {
            (Some(database), Some(built_at)) => format!("{database}, built at {built_at}"),
            _ => "no database in use".to_owned(),
        };
        match error {
            None => format!("{key}: {path}: {used}"),
            Some(error) => format!("{key}: {path} CANNOT BE USED: {error}; {used}"),
        }
    }
}

impl Geo {
    /// Reads the files of `config`. One that cannot be used is logged, and read again when it changes.
    #[must_use]
    pub fn open(config: &GeoConfig) -> Self {
        let geo = Self::unread(config);
        for file in &geo.0.files {
            file.read();
        }
        geo
    }

    /// Reads the files of `config`.
    ///
    /// # Errors
    ///
    /// The key of one that cannot be used, and why.
    pub fn check(config: &GeoConfig) -> Result<Self, (&'static str, String)> {
        let geo = Self::open(config);
        let bad = geo.0.files.iter().find_map(|file| {
            let error = file.state.lock().error.clone()?;
            Some((file.key, error))
        });
        bad.map_or(Ok(geo), Err)
    }

    fn unread(config: &GeoConfig) -> Self {
        let (country, asn) = (&config.country, &config.asn);
        let mut files = Vec::new();
        if let Some(path) = country {
            files.push(Watched::new("geo.country", path, true, country == asn));
        }
        if let Some(path) = asn.as_ref().filter(|_| country != asn) {
            files.push(Watched::new("geo.asn", path, false, true));
        }
        let changes = watch::Sender::default();
        Self(Arc::new(Shared { files, changes }))
    }

    /// Whether there is a file to look into.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.0.files.is_empty()
    }

    /// Returns what is known of all of `network`.
    #[must_use]
    pub fn of(&self, network: &Prefix) -> Origin {
        let mut origin = Origin::default();
        for file in &self.0.files {
            let Some(database) = file.database.load_full() else {
                continue;
            };
            let known = database.of(network);
            if file.wanted.country {
                origin.country = known.country;
            }
            if file.wanted.asn {
                (origin.asn, origin.organisation) = (known.asn, known.organisation);
            }
        }
        origin
    }

    /// All networks that `select` means. It walks through whole files: not for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// Returns an error if no file is there for an area, or the one that is there is damaged.
    pub fn networks(&self, select: &Select) -> Result<Networks, String> {
        let Select::In(areas) = select else {
            return self.networks_of("geo.country", |wanted| wanted.country, select);
        };
        let is_country = |area: &Area| matches!(area, Area::Country(_));
        let (countries, providers): (Vec<_>, Vec<_>) = areas.iter().cloned().partition(is_country);
        let mut all = Networks::default();
        if !countries.is_empty() {
            let select = Select::In(countries);
            all = self.networks_of("geo.country", |wanted| wanted.country, &select)?;
        }
        if !providers.is_empty() {
            let select = Select::In(providers);
            let found = self.networks_of("geo.asn", |wanted| wanted.asn, &select)?;
            all.networks.extend(found.networks);
            all.missing.extend(found.missing);
        }
        Ok(all)
    }

    /// The same in the file that is there for it.
    fn networks_of(
        &self,
        key: &str,
        is_for: impl Fn(&GeoFields) -> bool,
        select: &Select,
    ) -> Result<Networks, String> {
        let file = self.0.files.iter().find(|file| is_for(&file.wanted));
        let file = file.ok_or_else(|| format!("{key} names no file"))?;
        let database = file.database.load_full();
        let database = database.ok_or_else(|| format!("{key}: no database could be read yet"))?;
        database
            .networks(select)
            .map_err(|error| format!("{key}: {}: {error}", file.path.display()))
    }

    /// Returns the state of the files.
    #[must_use]
    pub fn files(&self) -> Vec<GeoFile> {
        self.0.files.iter().map(Watched::view).collect()
    }

    /// Changes whenever another database comes into use.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Reads files again when they change, for ever.
    pub async fn follow(self) {
        if !self.is_configured() {
            return std::future::pending().await;
        }
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let geo = self.clone();
            // Large files take their time.
            let _ = tokio::task::spawn_blocking(move || geo.look()).await;
        }
    }

    /// Looks once.
    fn look(&self) {
        let changed = self.0.files.iter().filter(|file| file.look()).count();
        if changed > 0 {
            self.0.changes.send_modify(|generation| *generation += 1);
        }
    }
}

impl Watched {
    fn new(key: &'static str, path: &Path, country: bool, asn: bool) -> Self {
        Self {
            key,
            path: path.to_owned(),
            wanted: GeoFields { country, asn },
            database: ArcSwapOption::empty(),
            state: Mutex::default(),
        }
    }

    /// Reads the file if it has changed and stays as it is. Returns whether another database is in use.
    fn look(&self) -> bool {
        let now = self.stamp();
        let settled = {
            let mut state = self.state.lock();
            let settled = state.seen == Some(now);
            state.seen = Some(now);
            settled && state.read != Some(now)
        };
        settled && self.read()
    }

    fn stamp(&self) -> Stamp {
        let found = fs::metadata(&self.path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
    }

    /// Reads the file. Returns whether it is in use now.
    fn read(&self) -> bool {
        let stamp = self.stamp();
        let opened = Database::open(&self.path, self.wanted);
        let (key, path) = (self.key, self.path.display());
        let before = self.database.load().is_some();
        let error = match opened {
            Ok(database) => {
                let kind = database.kind();
                info!(key, path = %path, kind, "a database of addresses is in use");
                self.database.store(Some(Arc::new(database)));
                None
            }
            Err(error) => {
                let error = told(error);
                let stays = if before {
                    "the one before stays in use"
                } else {
                    "nothing is known of addresses"
                };
                error!(key, path = %path, "a database of addresses cannot be used, and {stays}: {error}");
                Some(error)
            }
        };
        let mut state = self.state.lock();
        state.read = Some(stamp);
        state.seen = Some(stamp);
        state.error = error;
        state.error.is_none()
    }

    fn view(&self) -> GeoFile {
        let database = self.database.load();
        let database = database.as_ref();
        GeoFile {
            key: self.key.to_owned(),
            path: self.path.display().to_string(),
            database: database.map(|database| database.kind().to_owned()),
            built_at: database.map(|database| {
                let ms = database.built_at().saturating_mul(1000);
                rfc3339(i64::try_from(ms).unwrap_or(i64::MAX))
            }),
            error: self.state.lock().error.clone(),
        }
    }
}

fn told(error: GeoError) -> String {
    match error {
        GeoError::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
