//! The bus's server, as far as the fleet can tell: keys with revisions that expire, and records in order.

use std::collections::{BTreeMap, HashSet};

use secbeat_common::{
    prefix::Prefix,
    subjects::{LeaseKey, PARTITIONS},
    wire::{AuditRecord, BlockCommand, Decision, PERMANENT, TelemetryBatch},
};
use secbeat_orchestrator_core::{
    bucket::{Change, Found, Gone, Held, Put, Written},
    leases,
};
use uuid::Uuid;

/// How long a key that has ended is remembered, in milliseconds.
const MARKER_MS: i64 = 60_000;
/// How long an orchestrator's heartbeat is kept, in milliseconds.
pub(super) const LEASE_MS: i64 = 3_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Server {
    /// Of the bucket of bans.
    revision: u64,
    bans: BTreeMap<Prefix, Key>,
    /// Every change of the bucket, in order.
    pub(super) changes: Vec<Change>,
    lease_revision: u64,
    members: BTreeMap<String, Member>,
    partitions: BTreeMap<u16, (Option<String>, u64)>,
    /// Every change of the leases, in order.
    pub(super) lease_changes: Vec<leases::Entry>,
    pub(super) telemetry: Vec<Record>,
    pub(super) audit: Vec<AuditRecord>,
    audited: HashSet<String>,
    /// Every command that ever stood in the bucket, by its id, as it stood there first.
    pub(super) seen: BTreeMap<Uuid, BlockCommand>,
    /// Commands in force that another one took the place of, each with that one and when.
    pub(super) replaced: Vec<(BlockCommand, BlockCommand, i64)>,
    pub(super) conflicts: usize,
}

#[derive(Clone)]
struct Key {
    revision: u64,
    value: Value,
    /// When the server forgets it.
    until_ms: i64,
}

#[derive(Clone)]
enum Value {
    Ban(Box<BlockCommand>),
    /// Deleted, by whoever lifted this ban or because its time was over.
    Deleted(Option<Uuid>, i64),
}

struct Member {
    revision: u64,
    renewed_ms: i64,
}

/// A batch of telemetry, as the server keeps it.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) partition: u16,
    pub(super) batch: TelemetryBatch,
    pub(super) received_ms: i64,
}

impl Server {
    /// Lets time pass to `now_ms`: keys end.
    pub(super) fn pass(&mut self, now_ms: i64) {
        let over: Vec<_> = self
            .bans
            .iter()
            .filter(|(_, key)| key.until_ms <= now_ms)
            .map(|(target, key)| (*target, matches!(key.value, Value::Ban(_))))
            .collect();
        for (target, was_ban) in over {
            match was_ban {
                true => self.delete(target, None, now_ms, now_ms + MARKER_MS),
                false => drop(self.bans.remove(&target)),
            }
        }
        let dead = self
            .members
            .iter()
            .filter(|(_, member)| member.renewed_ms + LEASE_MS <= now_ms);
        let dead: Vec<_> = dead.map(|(id, _)| id.clone()).collect();
        for id in dead {
            self.members.remove(&id);
            self.lease_revision += 1;
            self.lease_changes.push(leases::Entry {
                key: LeaseKey::Member(id),
                holder: None,
                revision: self.lease_revision,
            });
        }
    }

    /// Writes a ban on top of what its key holds.
    pub(super) fn put(&mut self, command: &BlockCommand, over: Held, now_ms: i64) -> Put {
        if self.revision_of(&command.target) != over.revision {
            self.conflicts += 1;
            return Put::Conflict;
        }
        if let Some(Key {
            value: Value::Ban(before),
            ..
        }) = self.bans.get(&command.target)
        {
            let replaced = ((**before).clone(), command.clone(), now_ms);
            self.replaced.push(replaced);
        }
        self.revision += 1;
        let ends_ms = command.expires_at_ms.max(over.expires_at_ms);
        let until_ms = match ends_ms {
            PERMANENT => i64::MAX,
            ends_ms => ends_ms.max(now_ms) + 1_000,
        };
        let key = Key {
            revision: self.revision,
            value: Value::Ban(Box::new(command.clone())),
            until_ms,
        };
        self.bans.insert(command.target, key);
        self.seen.entry(command.id).or_insert_with(|| command.clone());
        self.changes.push(Change::Written(Box::new(Written {
            command: command.clone(),
            revision: self.revision,
        })));
        Put::Written {
            revision: self.revision,
        }
    }

    /// Writes all or none; returns the first revision.
    pub(super) fn put_all(&mut self, commands: &[(BlockCommand, Held)], now_ms: i64) -> Option<u64> {
        let fits =
            |(command, over): &(BlockCommand, Held)| self.revision_of(&command.target) == over.revision;
        if !commands.iter().all(fits) {
            self.conflicts += 1;
            return None;
        }
        let first = self.revision + 1;
        for (command, over) in commands {
            self.put(command, *over, now_ms);
        }
        Some(first)
    }

    /// Takes the ban `id` out, on top of what its key holds.
    pub(super) fn remove(&mut self, target: Prefix, id: Uuid, over: Held, now_ms: i64) -> Put {
        if self.revision_of(&target) != over.revision {
            self.conflicts += 1;
            return Put::Conflict;
        }
        let until_ms = match over.expires_at_ms {
            PERMANENT => i64::MAX,
            ends_ms => (now_ms + MARKER_MS).max(ends_ms + 1_000),
        };
        self.delete(target, Some(id), now_ms, until_ms);
        Put::Written {
            revision: self.revision,
        }
    }

    fn delete(&mut self, target: Prefix, id: Option<Uuid>, at_ms: i64, until_ms: i64) {
        self.revision += 1;
        let key = Key {
            revision: self.revision,
            value: Value::Deleted(id, at_ms),
            until_ms,
        };
        self.bans.insert(target, key);
        self.changes.push(Change::Gone(Gone {
            target,
            at_ms,
            revision: self.revision,
        }));
    }

    fn revision_of(&self, target: &Prefix) -> u64 {
        self.bans.get(target).map_or(0, |key| key.revision)
    }

    /// What the key of `target` holds.
    pub(super) fn read(&self, target: &Prefix) -> (u64, Found) {
        let Some(key) = self.bans.get(target) else {
            return (0, Found::Nothing);
        };
        let found = match &key.value {
            Value::Ban(command) => Found::Ban(command.clone()),
            Value::Deleted(Some(id), _) => Found::Lifted(*id),
            Value::Deleted(None, _) => Found::Nothing,
        };
        (key.revision, found)
    }

    /// What each key holds, and the bucket's latest revision.
    pub(super) fn snapshot(&self) -> (Vec<Change>, u64) {
        let entries = self.bans.iter().map(|(target, key)| match &key.value {
            Value::Ban(command) => Change::Written(Box::new(Written {
                command: (**command).clone(),
                revision: key.revision,
            })),
            Value::Deleted(_, at_ms) => Change::Gone(Gone {
                target: *target,
                at_ms: *at_ms,
                revision: key.revision,
            }),
        });
        (entries.collect(), self.revision)
    }

    /// The bans that the bucket holds.
    pub(super) fn held(&self) -> impl Iterator<Item = &BlockCommand> {
        self.bans.values().filter_map(|key| match &key.value {
            Value::Ban(command) => Some(&**command),
            Value::Deleted(..) => None,
        })
    }

    /// Takes a record once, however often it comes.
    pub(super) fn audit(&mut self, record: &AuditRecord) {
        if self.audited.insert(record.id()) {
            self.audit.push(record.clone());
        }
    }

    /// Findings in the audit that led to no ban.
    pub(super) fn held_back(&self) -> usize {
        let is_held = |record: &&AuditRecord| matches!(record.decision, Decision::Suppressed { .. });
        self.audit.iter().filter(is_held).count()
    }

    /// Does one write of an orchestrator's leases; the revision, unless another one was there.
    pub(super) fn lease(&mut self, id: &str, write: &leases::Write, now_ms: i64) -> Option<u64> {
        let (key, holder) = match write {
            leases::Write::Renew => {
                let member = Member {
                    revision: self.lease_revision + 1,
                    renewed_ms: now_ms,
                };
                self.members.insert(id.to_owned(), member);
                (LeaseKey::Member(id.to_owned()), Some(id.to_owned()))
            }
            leases::Write::Take { partition, over } => {
                self.take(*partition, *over, Some(id.to_owned()))?;
                (LeaseKey::Partition(*partition), Some(id.to_owned()))
            }
            leases::Write::Release { partition, over } => {
                self.take(*partition, *over, None)?;
                (LeaseKey::Partition(*partition), None)
            }
        };
        self.lease_revision += 1;
        self.lease_changes.push(leases::Entry {
            key,
            holder,
            revision: self.lease_revision,
        });
        Some(self.lease_revision)
    }

    fn take(&mut self, partition: u16, over: u64, holder: Option<String>) -> Option<()> {
        let known = self
            .partitions
            .get(&partition)
            .map_or(0, |(_, revision)| *revision);
        if known != over || partition >= PARTITIONS {
            return None;
        }
        self.partitions
            .insert(partition, (holder, self.lease_revision + 1));
        Some(())
    }

    /// What each key of the leases holds.
    pub(super) fn leases(&self) -> Vec<leases::Entry> {
        let members = self.members.iter().map(|(id, member)| leases::Entry {
            key: LeaseKey::Member(id.clone()),
            holder: Some(id.clone()),
            revision: member.revision,
        });
        let partitions = self
            .partitions
            .iter()
            .map(|(partition, (holder, revision))| leases::Entry {
                key: LeaseKey::Partition(*partition),
                holder: holder.clone(),
                revision: *revision,
            });
        members.chain(partitions).collect()
    }
}
