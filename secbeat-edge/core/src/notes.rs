//! Notes of operators about bans on this host, for those that a restarted process finds in the kernel.

use std::{collections::HashMap, sync::Arc, time::Duration};

use secbeat_common::prefix::Prefix;

use crate::BootTime;

/// Ends that differ by less are the same end: wall and boot clock are read one after the other, and the kernel rounds.
pub const SAME_END: Duration = Duration::from_secs(1);

/// The notes of bans, by target and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalNotes(HashMap<Prefix, (BootTime, Arc<str>)>);

impl LocalNotes {
    /// Returns what was noted of the ban of `target` that ends at `ends`.
    #[must_use]
    pub fn of(&self, target: &Prefix, ends: BootTime) -> Option<&str> {
        self.shared(target, ends).map(|note| &**note)
    }

    pub(crate) fn shared(&self, target: &Prefix, ends: BootTime) -> Option<&Arc<str>> {
        let (noted, note) = self.0.get(target)?;
        (noted.since(ends).max(ends.since(*noted)) < SAME_END).then_some(note)
    }
}

impl FromIterator<(Prefix, BootTime, Arc<str>)> for LocalNotes {
    fn from_iter<I: IntoIterator<Item = (Prefix, BootTime, Arc<str>)>>(notes: I) -> Self {
        let notes = notes.into_iter();
        Self(notes.map(|(target, ends, note)| (target, (ends, note))).collect())
    }
}
