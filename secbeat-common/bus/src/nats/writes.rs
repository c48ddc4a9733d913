//! Health of writes: whether the server stores them, and how long that takes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    backend::Writing,
    error::{Error, Result},
};

/// So many of the latest writes tell how long one takes.
const SAMPLES: usize = 32;
/// A failure that long ago says nothing of now, unless it was tried again and failed.
const STALE: Duration = Duration::from_secs(30);

/// What is known of the writes to each bucket and log.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Mutex<BTreeMap<String, WriteHealth>>>);

#[derive(Debug, Default)]
struct WriteHealth {
    /// While none is stored.
    failing: Option<Failing>,
    took: VecDeque<Duration>,
}

#[derive(Debug)]
struct Failing {
    /// Time at which the first of them was sent.
    since: Instant,
    /// Time at which the latest of them had failed.
    latest: Instant,
    why: String,
}

impl Writes {
    /// A write to `name`, which was sent at `sent`, had this outcome.
    pub(super) fn note<T>(&self, name: &str, sent: Instant, outcome: &Result<T>) {
        let mut writes = self.0.lock();
        if !writes.contains_key(name) {
            writes.insert(name.to_owned(), WriteHealth::default());
        }
        let Some(known) = writes.get_mut(name) else { return };
        match outcome {
            Ok(_) => {
                known.failing = None;
                if known.took.len() == SAMPLES {
                    known.took.pop_front();
                }
                known.took.push_back(sent.elapsed());
            }
            // Those say nothing of the server.
            Err(Error::Invalid(_)) => {}
            Err(error) => {
                let why = error.to_string();
                let since = known.failing.as_ref().map_or(sent, |before| before.since);
                known.failing = Some(Failing {
                    since,
                    latest: Instant::now(),
                    why,
                });
            }
        }
    }

    /// A write to `name` is sent. Unless it ends, the sender did not wait for the server any longer.
    pub(super) fn begin<'a>(&'a self, name: &'a str, what: &'a str) -> Pending<'a> {
        Pending {
            writes: self,
            name,
            what,
            sent: Instant::now(),
            has_ended: false,
        }
    }

    pub(super) fn all(&self) -> Vec<Writing> {
        let writing = |(name, known): (&String, &WriteHealth)| Writing {
            name: name.clone(),
            failing: known
                .failing
                .as_ref()
                .filter(|failing| failing.latest.elapsed() < STALE)
                .map(|failing| (failing.since.elapsed(), failing.why.clone())),
            median: median(&known.took),
        };
        self.0.lock().iter().map(writing).collect()
    }
}

/// A write that is on its way.
pub(super) struct Pending<'a> {
    writes: &'a Writes,
    name: &'a str,
    what: &'a str,
    sent: Instant,
    has_ended: bool,
}

impl Pending<'_> {
    pub(super) fn end<T>(mut self, outcome: &Result<T>) {
        self.has_ended = true;
        self.writes.note(self.name, self.sent, outcome);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let error = Error::Unacknowledged(self.what.to_owned());
            self.writes.note(self.name, self.sent, &Err::<(), _>(error));
        }
    }
}

fn median(took: &VecDeque<Duration>) -> Option<Duration> {
    let mut took: Vec<_> = took.iter().copied().collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_fail_since_the_first_that_did_until_one_is_stored() {
        let writes = Writes::default();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let lost = |what: &str| Err::<(), _>(Error::Unacknowledged(what.to_owned()));
        writes.note("a", long_ago, &lost("first"));
        writes.note("a", Instant::now(), &lost("second"));
        writes.note(
            "a",
            Instant::now(),
            &Err::<(), _>(Error::Invalid("key".to_owned())),
        );
        writes.note("b", Instant::now(), &Ok(()));
        let [a, b] = <[Writing; 2]>::try_from(writes.all()).unwrap();
        let (since, why) = a.failing.unwrap();
        assert!(since >= Duration::from_secs(60));
        assert_eq!((why.as_str(), a.median), ("second was not acknowledged", None));
        assert!(b.failing.is_none() && b.median.is_some());
        writes.note("a", long_ago, &Ok(()));
        let stored = writes.all().remove(0);
        assert_eq!(stored.failing, None);
        drop(writes.begin("b", "a write given up"));
        let (_, why) = writes.all().remove(1).failing.unwrap();
        assert_eq!(why, "a write given up was not acknowledged");
        assert!(stored.median >= Some(Duration::from_secs(60)));
    }
}
