//! Claims of sources to files, so that no file is read twice.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use super::{config::Place, file::FileId};

/// What all sources of this edge read.
#[derive(Debug)]
struct Claims {
    /// In the order of the config.
    places: Vec<Place>,
    /// Which of them reads a file.
    readers: Mutex<HashMap<FileId, usize>>,
}

/// One source's part in it.
#[derive(Debug)]
pub(super) struct Claimant {
    claims: Arc<Claims>,
    number: usize,
}

impl Claimant {
    /// One for each place, in the same order.
    pub(super) fn all(places: Vec<Place>) -> Vec<Self> {
        let numbers = 0..places.len();
        let claims = Arc::new(Claims {
            places,
            readers: Mutex::default(),
        });
        numbers
            .map(|number| Self {
                claims: claims.clone(),
                number,
            })
            .collect()
    }

    /// The earlier source by whose name or pattern a path goes.
    pub(super) fn precedence(&self, path: &Path) -> Option<&Place> {
        let earlier = &self.claims.places[..self.number];
        earlier.iter().find(|place| place.covers(path))
    }

    /// The other source that reads a file.
    pub(super) fn other_reader(&self, id: FileId) -> Option<&Place> {
        let reader = *self.claims.readers.lock().get(&id)?;
        (reader != self.number).then(|| &self.claims.places[reader])
    }

    /// Takes a file. Returns whether no other source has it.
    pub(super) fn claim(&self, id: FileId) -> bool {
        *self.claims.readers.lock().entry(id).or_insert(self.number) == self.number
    }

    /// Gives up all files but these.
    pub(super) fn keep_only(&self, ids: &HashSet<FileId>) {
        let mut readers = self.claims.readers.lock();
        readers.retain(|id, reader| *reader != self.number || ids.contains(id));
    }
}
