//! Copies of feeds on disk, for a start without NATS: the record with its signature, and the networks beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use secbeat_bus::{FeedBucket, is_of};
use secbeat_common::{
    sign::Trust,
    subjects,
    wire::{FeedContent, FleetFeed, MAX_FEED_BYTES, MAX_MESSAGE},
};
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use tracing::warn;

const RECORD: &str = "record";
const NETWORKS: &str = "networks";

/// The folder of the copies.
#[derive(Clone, Debug)]
pub(super) struct Copies(PathBuf);

impl Copies {
    pub(super) fn in_folder(state_dir: &Path) -> Self {
        Self(state_dir.join("feeds"))
    }

    /// The records that somebody signed whom `trust` has, each with its bytes.
    pub(super) fn read(&self, trust: &Trust) -> Vec<(FleetFeed, Vec<u8>)> {
        let Ok(folder) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let paths = folder.filter_map(|entry| Some(entry.ok()?.path()));
        let records = paths.filter(|path| path.extension().is_some_and(|extension| extension == RECORD));
        let read = |path: PathBuf| match record(&path, trust) {
            Ok(read) => Some(read),
            Err(error) => {
                warn!("the copy of a feed waits for NATS: {}: {error}", path.display());
                None
            }
        };
        records.filter_map(read).collect()
    }

    /// The packed networks of the feed `name`, if they are those of `content`.
    pub(super) fn networks(&self, name: &str, content: &FeedContent) -> Option<Vec<u8>> {
        let packed = bounded(&self.path(name, NETWORKS), MAX_FEED_BYTES).ok()?;
        is_of(content, &packed).then_some(packed)
    }

    /// Replaces the copy of the feed `name`. A record whose networks were not written any more finds others, and reads them again.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be written.
    pub(super) fn write(&self, name: &str, sealed: &[u8], packed: &[u8]) -> io::Result<()> {
        for (kind, bytes) in [(NETWORKS, packed), (RECORD, sealed)] {
            let path = self.path(name, kind);
            if bounded(&path, MAX_FEED_BYTES).is_ok_and(|held| held == bytes) {
                continue;
            }
            replace(&path, bytes, Readers::Everybody, Outlives::Crash)?;
        }
        Ok(())
    }

    /// Removes the copy of the feed `name`, if there is one.
    pub(super) fn remove(&self, name: &str) {
        for kind in [RECORD, NETWORKS] {
            let _ = fs::remove_file(self.path(name, kind));
        }
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.0.join(format!("{name}.{kind}"))
    }
}

fn record(path: &Path, trust: &Trust) -> io::Result<(FleetFeed, Vec<u8>)> {
    let name = path
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if !subjects::is_token(name) {
        return Err(io::Error::other("its name is not that of a feed"));
    }
    let sealed = bounded(path, MAX_MESSAGE as u64)?;
    let opened = FeedBucket::open(name, &sealed, trust).map_err(io::Error::other)?;
    Ok((opened.command, sealed))
}

fn bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.len() {
        bytes if bytes > most => Err(io::Error::other(format!("{bytes} bytes, {most} at most"))),
        _ => fs::read(path),
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::sign::{SecretKey, Signer};

    use super::*;

    #[test]
    fn a_copy_counts_if_it_is_what_was_signed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::in_folder(folder.path());
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        assert_eq!(copies.read(&trust), []);
        let feed = FleetFeed {
            name: "drop".to_owned(),
            ..FleetFeed::default()
        };
        let sealed = Signer::from(Some(key)).seal(&feed, 0).unwrap();
        copies.write("drop", &sealed, b"packed").unwrap();
        copies.write("other", &sealed, b"packed").unwrap();
        let unsigned = Signer::default().seal(&feed, 0).unwrap();
        assert_eq!(copies.read(&trust), [(feed.clone(), sealed)]);
        copies.write("drop", &unsigned, b"packed").unwrap();
        assert_eq!(copies.read(&trust), []);
        assert_eq!(copies.read(&Trust::default()), [(feed, unsigned)]);
        // SHA-256 of nothing else.
        assert_eq!(copies.networks("drop", &FeedContent::default()), None);
        copies.remove("drop");
        assert_eq!(copies.read(&Trust::default()), []);
    }
}
