//! A bucket on a server.

use std::collections::BTreeMap;

use super::*;

/// One write that the server took.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) target: Prefix,
    pub(super) found: Found,
    pub(super) is_ours: bool,
}

/// A bucket; the entry of revision n is at n - 1.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) log: Vec<Entry>,
    /// When each ban was lifted.
    pub(super) lifts: BTreeMap<Uuid, i64>,
}

impl Server {
    pub(super) fn key(&self, target: &Prefix) -> (u64, Found) {
        let latest = self.log.iter().rposition(|entry| entry.target == *target);
        latest.map_or((0, Found::Nothing), |index| {
            (index as u64 + 1, self.log[index].found.clone())
        })
    }

    pub(super) fn write(&mut self, target: Prefix, found: Found, is_ours: bool) -> u64 {
        self.log.push(Entry {
            target,
            found,
            is_ours,
        });
        self.log.len() as u64
    }

    pub(super) fn write_over(&mut self, target: Prefix, over: u64, found: Found) -> Put {
        match self.key(&target).0 == over {
            true => Put::Written {
                revision: self.write(target, found, true),
            },
            false => Put::Conflict,
        }
    }

    pub(super) fn carry_out(&mut self, operation: &Operation) -> Event {
        match operation.clone() {
            Operation::Put { command, over } => {
                let target = command.target;
                let put = self.write_over(target, over.revision, Found::Ban(command));
                Event::Done { target, put }
            }
            Operation::Remove { target, id, over } => {
                let before = self.key(&target).1;
                let put = self.write_over(target, over.revision, Found::Lifted(id));
                if let (Put::Written { .. }, Found::Ban(removed)) = (put, before) {
                    assert!(removed.issued_at_ms <= self.lifts[&id], "a newer ban was removed");
                }
                Event::Done { target, put }
            }
            Operation::Read { target } => {
                let (revision, found) = self.key(&target);
                Event::Read {
                    target,
                    revision,
                    found,
                }
            }
            Operation::PutAll { batch, commands } => {
                let is_free =
                    |(command, over): &(BlockCommand, Held)| self.key(&command.target).0 == over.revision;
                if !commands.iter().all(is_free) {
                    return Event::BatchFailed { batch };
                }
                let first_revision = self.log.len() as u64 + 1;
                for (command, _) in commands {
                    self.write(command.target, Found::Ban(Box::new(command)), true);
                }
                Event::AllPut {
                    batch,
                    first_revision,
                }
            }
        }
    }

    /// Whether somebody wrote `found` under the key of `target`.
    pub(super) fn had(&self, target: &Prefix, is_it: impl Fn(&Found, bool) -> bool) -> bool {
        let mut of_target = self.log.iter().filter(|entry| entry.target == *target);
        of_target.any(|entry| is_it(&entry.found, entry.is_ours))
    }
}
