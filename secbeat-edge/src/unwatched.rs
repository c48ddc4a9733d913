//! Services of this host that nobody watches, as the edge's operator has found out.

use std::sync::Arc;

use parking_lot::Mutex;

/// Lines about them, one each, which the API and the metrics show. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Unwatched(Arc<Mutex<Vec<String>>>);

impl Unwatched {
    /// Takes these lines for the former ones. Returns those that are new.
    pub fn set(&self, lines: Vec<String>) -> Vec<String> {
        let mut known = self.0.lock();
        let new = lines.iter().filter(|line| !known.contains(line)).cloned();
        let new = new.collect();
        *known = lines;
        new
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}
