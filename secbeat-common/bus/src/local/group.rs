//! Jobs that are done in one transaction.
//!
//! A commit costs more than most of what it commits. So the jobs that came while the last commit ran are done in one
//! transaction, in the order in which they came, and answered once that is committed. If one of them fails, or the commit does,
//! all are undone and each is done again by itself: what fails then has failed by itself.

use std::collections::VecDeque;

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::{job::Job, store::Store};
use crate::error::Result;

/// Most jobs of a group: the one who waits for the first waits for all.
const TOGETHER: usize = 256;

/// A job that was sent.
pub(super) struct Waiting {
    pub(super) job: Box<dyn Job>,
    /// It was part of a group that failed.
    pub(super) by_itself: bool,
    /// Lets another job be sent once this one is over.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Takes what is to be done next from the front.
pub(super) fn next(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let shares = |waiting: &&Waiting| !waiting.by_itself && !waiting.job.is_alone();
    let group = waiting.iter().take(TOGETHER).take_while(shares).count();
    waiting.drain(..group.max(1).min(waiting.len())).collect()
}

impl Store {
    /// Does `jobs` and answers them. Returns them instead if they cannot be done together.
    pub(super) fn work(&mut self, mut jobs: Vec<Waiting>) -> Vec<Waiting> {
        // Whatever has ended is not to be met.
        drop(self.expire());
        if jobs.iter().any(|waiting| waiting.job.is_alone()) {
            jobs.iter_mut().for_each(|waiting| waiting.job.work(self));
            self.note_writes();
        } else if let Err(error) = self.transact(&mut jobs) {
            if jobs.len() > 1 {
                jobs.iter_mut().for_each(|waiting| waiting.by_itself = true);
                return jobs;
            }
            jobs.iter_mut()
                .for_each(|waiting| waiting.job.fail(error.clone()));
        }
        for waiting in jobs {
            waiting.job.answer(&self.topics);
        }
        Vec::new()
    }

    /// All or none.
    fn transact(&mut self, jobs: &mut [Waiting]) -> Result<()> {
        let next_end = self.next_end;
        self.spoiled = None;
        let done = self.try_to_transact(jobs);
        if done.is_err() {
            self.undo();
            self.next_end = next_end;
        }
        done
    }

    fn try_to_transact(&mut self, jobs: &mut [Waiting]) -> Result<()> {
        let begun = control(&self.db, "BEGIN");
        self.checked("a transaction", begun)?;
        for waiting in jobs {
            waiting.job.work(self);
            if let Some(error) = self.spoiled.take() {
                return Err(error);
            }
        }
        let written = self.settle().and_then(|()| control(&self.db, "COMMIT"));
        self.checked("what was written", written)?;
        #[cfg(test)]
        {
            self.commits += 1;
        }
        self.buckets.values().for_each(|keys| keys.tell());
        self.logs.values_mut().for_each(|records| records.tell());
        self.note_writes();
        Ok(())
    }

    /// Writes how far what was written to has come.
    fn settle(&mut self) -> rusqlite::Result<()> {
        let now_ms = self.clock.now_ms();
        for records in self.logs.values_mut().filter(|records| records.is_changed()) {
            records.prune(&self.db, now_ms)?;
            records.remember(&self.db)?;
        }
        let mut changed = self.buckets.values().filter(|keys| keys.is_changed());
        changed.try_for_each(|keys| keys.remember(&self.db))
    }

    /// Goes back to what was committed last.
    fn undo(&mut self) {
        // SQLite may have done so by itself.
        if !self.db.is_autocommit() {
            let undone = control(&self.db, "ROLLBACK");
            drop(self.checked("a transaction", undone));
        }
        self.spoiled = None;
        self.is_lasting = false;
        self.buckets.values_mut().for_each(|keys| keys.undo());
        self.logs.values_mut().for_each(|records| records.undo());
    }
}

fn control(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}
