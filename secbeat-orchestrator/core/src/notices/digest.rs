//! Few messages for many notices: what comes within a while is one message, and of messages there are only so many an hour.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{LeftOut, Notice, Summary, Trouble, What};
use crate::{Moment, millis};

const HOUR_MS: i64 = 3600 * 1000;
/// Troubles wait this long at most: edges that go down together are one message.
const TOGETHER: Duration = Duration::from_secs(2);

/// How few messages are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What comes within this of the first notice is one message.
    pub gather: Duration,
    /// Messages in an hour; past it, what happens is gathered until there may be one more.
    pub max_per_hour: u32,
}

/// Gathers notices. The deliverer takes a message at a time.
#[derive(Debug)]
pub struct Digest {
    terms: Terms,
    pending: Summary,
    /// Time at which the pending message should go, by the clock that only moves forward, if the hour has room for it.
    wanted_ms: Option<i64>,
    /// Whether it has the end of a trouble that was told, which no cap holds back.
    is_relief: bool,
    /// When the messages of the last hour were taken.
    taken_ms: VecDeque<i64>,
    /// Troubles that were told and have not ended.
    told: BTreeSet<Trouble>,
}

impl Digest {
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            pending: Summary::default(),
            wanted_ms: None,
            is_relief: false,
            taken_ms: VecDeque::new(),
            told: BTreeSet::new(),
        }
    }

    /// Takes a notice in.
    pub fn add(&mut self, notice: Notice, now: Moment) {
        let patience = match &notice.what {
            What::Banned(_) | What::Unbanned(_) => self.terms.gather,
            What::Begun { .. } | What::Reported(_) => self.terms.gather.min(TOGETHER),
            What::Over { trouble, .. } => {
                self.is_relief |= self.told.contains(trouble);
                self.terms.gather.min(TOGETHER)
            }
        };
        let wanted_ms = now.boot_ms.saturating_add(millis(patience));
        self.wanted_ms = Some(self.wanted_ms.map_or(wanted_ms, |sooner| sooner.min(wanted_ms)));
        self.pending.add(notice);
    }

    /// Notices that were not taken in: the next message says how many.
    pub fn missed(&mut self, notices: u64) {
        self.pending.left_out.missed += notices;
    }

    /// A message could not be delivered: the next one says what was in it.
    pub fn gave_up(&mut self, summary: &Summary) {
        let left_out = &mut self.pending.left_out;
        let LeftOut {
            missed,
            crowded,
            messages,
            undelivered,
        } = summary.left_out;
        left_out.missed += missed;
        left_out.crowded += crowded;
        left_out.messages += messages + 1;
        left_out.undelivered += undelivered + summary.notices();
    }

    /// Returns when there will be a message, by the clock that only moves forward; `None` if there is nothing to tell.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        let wanted_ms = self.wanted_ms?;
        let cap = self.terms.max_per_hour as usize;
        let of_the_hour = self.taken_ms.len().checked_sub(cap);
        match of_the_hour.and_then(|first| self.taken_ms.get(first)) {
            Some(taken_ms) if !self.is_relief => Some(wanted_ms.max(taken_ms.saturating_add(HOUR_MS))),
            _ => Some(wanted_ms),
        }
    }

    /// The message, once it is due.
    pub fn take(&mut self, now: Moment) -> Option<Summary> {
        self.due_ms().filter(|due_ms| *due_ms <= now.boot_ms)?;
        self.wanted_ms = None;
        self.is_relief = false;
        while self
            .taken_ms
            .front()
            .is_some_and(|taken_ms| taken_ms.saturating_add(HOUR_MS) <= now.boot_ms)
        {
            self.taken_ms.pop_front();
        }
        self.taken_ms.push_back(now.boot_ms);
        let summary = std::mem::take(&mut self.pending);
        for state in &summary.states {
            match &state.what {
                What::Begun { trouble, .. } => drop(self.told.insert(trouble.clone())),
                What::Over { trouble, .. } => drop(self.told.remove(trouble)),
                What::Banned(_) | What::Unbanned(_) | What::Reported(_) => {}
            }
        }
        Some(summary)
    }

    /// All that is left to tell, due or not: at the end.
    pub fn take_all(&mut self) -> Summary {
        self.wanted_ms = None;
        std::mem::take(&mut self.pending)
    }

    /// Notices that wait for the next message.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.pending.notices()
    }
}
