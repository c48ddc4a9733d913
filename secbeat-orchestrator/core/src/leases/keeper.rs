//! Choice of the partitions to take, keep and give back: a pure core. What the bucket says and the time go in, writes to make
//! come out.
//!
//! An orchestrator says that it lives under a key of its own, which it writes again every [`Terms::renew_ms`] and which the
//! server deletes [`Terms::lease_ms`] after the last write. A partition's key names its owner and is written only when
//! that changes, each time on top of the revision that the writer knows, so that of two takers one fails. A partition is
//! free when its owner no longer lives.
//!
//! **Fencing.** The owner of a partition may act for it until [its table](Keeper::table) says: [`Terms::margin_ms`] before the
//! server can delete its key. Past that time it owns nothing, also if its next write succeeds, and has to take each
//! partition again; the revision of that write is the partition's new epoch, and a greater one.

use std::collections::BTreeMap;

use secbeat_common::subjects::{LeaseKey, PARTITIONS};

use super::{LeaseTable, Ownership, Tenure};

/// Lengths of time, in milliseconds of a clock that no correction moves.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The server deletes the key of an orchestrator so long after its last write.
    pub lease_ms: i64,
    /// So long before that it stops to act.
    pub margin_ms: i64,
    pub renew_ms: i64,
}

/// One orchestrator process. Written as `<name>-<process>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The same after a restart; no two processes of one name run at a time on one host.
    pub name: String,
    /// Another one in every process.
    pub process: String,
}

impl Identity {
    /// Returns the name by which others know it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.process)
    }

    /// Whether `id` is one of an earlier process of the same name.
    fn is_predecessor(&self, id: &str) -> bool {
        id.rsplit_once('-')
            .is_some_and(|(name, process)| name == self.name && process != self.process)
    }
}

/// One key of the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: LeaseKey,
    /// Its holder; `None` if there is none, or if the key was deleted.
    pub holder: Option<String>,
    pub revision: u64,
}

/// A write to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Say that this orchestrator lives.
    Renew,
    /// Put this orchestrator's name on `partition`, if its key is still at revision `over` (0: never written).
    Take { partition: u16, over: u64 },
    /// Put nobody's name there, likewise.
    Release { partition: u16, over: u64 },
}

/// State of one partition.
#[derive(Clone, Debug, Default)]
struct Slot {
    holder: Option<String>,
    revision: u64,
    /// The revision at which it was taken, while it is owned.
    tenure: Option<u64>,
    /// Whether it was taken, and not lost since.
    kept: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Keeper {
    identity: Identity,
    me: String,
    terms: Terms,
    slots: Vec<Slot>,
    /// Orchestrators that are up, with the revision of the latest heartbeat.
    members: BTreeMap<String, u64>,
    heard: bool,
    renewal_sent_ms: Option<i64>,
    sure_until_ms: Option<i64>,
    changes: Vec<Ownership>,
    /// Time at which the bucket was made, milliseconds since the Unix epoch.
    made_ms: Option<u64>,
}

impl Keeper {
    #[must_use]
    pub fn new(identity: Identity, terms: Terms) -> Self {
        Self {
            me: identity.id(),
            identity,
            terms,
            slots: vec![Slot::default(); usize::from(PARTITIONS)],
            members: BTreeMap::new(),
            heard: false,
            renewal_sent_ms: None,
            sure_until_ms: None,
            changes: Vec::new(),
            made_ms: None,
        }
    }

    /// All that the bucket holds, after each time that it was out of sight.
    pub fn heard_all(&mut self, entries: Vec<Entry>) {
        self.members.clear();
        for entry in entries {
            // The one that had this name before is dead, even if its key still lies there: it would have been renewed by now.
            let dead = matches!(&entry.key, LeaseKey::Member(id) if self.identity.is_predecessor(id));
            if !dead || self.heard {
                self.heard(entry);
            }
        }
        self.heard = true;
    }

    /// The bucket that is followed from now on was made at `made_ms`, milliseconds since the Unix epoch. In another one revisions
    /// begin again, and nothing that was known holds. Returns whether it is another one.
    pub fn bucket_made(&mut self, made_ms: u64) -> bool {
        let is_new = self
            .made_ms
            .replace(made_ms)
            .is_some_and(|before| before != made_ms);
        if is_new {
            self.lapse();
            for partition in 0..PARTITIONS {
                self.lose(partition);
            }
            self.slots.fill(Slot::default());
        }
        is_new
    }

    /// The epoch that a revision of the bucket stands for: greater in a bucket that was made later, as long as fewer than a
    /// thousand writes a second are made.
    fn epoch(&self, revision: u64) -> u64 {
        self.made_ms.unwrap_or(0).saturating_add(revision)
    }

    /// One change of the bucket.
    pub fn heard(&mut self, entry: Entry) {
        let Entry {
            key,
            holder,
            revision,
        } = entry;
        match key {
            LeaseKey::Member(id) => match holder {
                Some(_) => drop(self.members.insert(id, revision)),
                None => drop(self.members.remove(&id)),
            },
            LeaseKey::Partition(partition) => {
                let Some(slot) = self.slots.get_mut(usize::from(partition)) else {
                    return;
                };
                // This orchestrator's own writes are known before they are heard.
                if revision <= slot.revision {
                    return;
                }
                let mine = holder.as_ref() == Some(&self.me);
                slot.holder = holder;
                slot.revision = revision;
                if !mine {
                    self.lose(partition);
                }
            }
        }
    }

    /// Returns what to write at `now_ms`.
    pub fn due(&mut self, now_ms: i64) -> Vec<Write> {
        if !self.is_sure(now_ms) {
            self.lapse();
        }
        let mut writes = Vec::new();
        let renewal_ms = self
            .renewal_sent_ms
            .map(|sent| sent.saturating_add(self.terms.renew_ms));
        if renewal_ms.is_none_or(|at| at <= now_ms) {
            self.renewal_sent_ms = Some(now_ms);
            writes.push(Write::Renew);
        }
        if self.heard && self.is_sure(now_ms) {
            self.share(&mut writes);
        }
        writes
    }

    /// Returns when [`due`](Self::due) has something to do though nothing is heard.
    #[must_use]
    pub fn next_due_ms(&self) -> i64 {
        let sent_ms = self.renewal_sent_ms.unwrap_or(i64::MIN);
        let renewal_ms = sent_ms.saturating_add(self.terms.renew_ms);
        self.sure_until_ms
            .map_or(renewal_ms, |until_ms| until_ms.min(renewal_ms))
    }

    /// Gives everything back; nothing is taken until the next [`heard_all`](Self::heard_all).
    pub fn resign(&mut self) {
        self.heard = false;
        self.sure_until_ms = None;
        for partition in 0..PARTITIONS {
            self.lose(partition);
        }
    }

    /// The server has a [`Write::Renew`] that was sent at `sent_ms`.
    pub fn renewed(&mut self, sent_ms: i64, now_ms: i64) {
        if !self.is_sure(now_ms) {
            self.lapse();
        }
        let until = sent_ms + self.terms.lease_ms - self.terms.margin_ms;
        // An answer that took longer than the lease says nothing of now.
        if until > now_ms {
            self.sure_until_ms = Some(self.sure_until_ms.map_or(until, |known| known.max(until)));
        }
    }

    /// The server has a [`Write::Take`] at `revision`.
    pub fn taken(&mut self, partition: u16, revision: u64, now_ms: i64) {
        let sure = self.is_sure(now_ms) && self.heard;
        let Some(slot) = self.slots.get_mut(usize::from(partition)) else {
            return;
        };
        // Somebody wrote over it before the answer came. (It may have been heard of before, too.)
        if revision < slot.revision {
            return;
        }
        slot.revision = revision;
        slot.holder = Some(self.me.clone());
        if sure {
            slot.tenure = Some(revision);
            slot.kept = true;
            let epoch = self.epoch(revision);
            self.changes.push(Ownership::Taken { partition, epoch });
        }
    }

    /// The server has a [`Write::Release`] at `revision`.
    pub fn released(&mut self, partition: u16, revision: u64) {
        self.heard(Entry {
            key: LeaseKey::Partition(partition),
            holder: None,
            revision,
        });
    }

    /// Returns what has changed since the last call.
    pub fn changes(&mut self) -> Vec<Ownership> {
        std::mem::take(&mut self.changes)
    }

    /// Returns how this orchestrator holds each partition, and until when that is certain.
    #[must_use]
    pub fn table(&self) -> LeaseTable {
        let tenures = self.slots.iter().map(|slot| match slot.tenure {
            Some(revision) => Tenure::Owned {
                epoch: self.epoch(revision),
            },
            None if slot.kept => Tenure::Lapsed,
            None => Tenure::None,
        });
        LeaseTable::new(tenures, self.sure_until_ms)
    }

    /// Every orchestrator that lives, this one included.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        let others = self.members.keys().filter(|id| **id != self.me);
        std::iter::once(&self.me).chain(others).map(String::as_str)
    }

    /// Returns who owns each partition.
    pub fn holders(&self) -> impl Iterator<Item = Option<&str>> {
        self.slots.iter().map(|slot| {
            let holder = slot.holder.as_deref()?;
            let holds = match holder == self.me {
                true => slot.tenure.is_some(),
                false => self.members.contains_key(holder),
            };
            holds.then_some(holder)
        })
    }

    fn is_sure(&self, now_ms: i64) -> bool {
        self.sure_until_ms.is_some_and(|until| now_ms < until)
    }

    fn lapse(&mut self) {
        self.sure_until_ms = None;
        for slot in &mut self.slots {
            slot.tenure = None;
        }
    }

    fn lose(&mut self, partition: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(partition)) {
            slot.tenure = None;
            if std::mem::take(&mut slot.kept) {
                self.changes.push(Ownership::Lost { partition });
            }
        }
    }

    /// Takes what is free up to this orchestrator's share, or gives back what is above it.
    fn share(&mut self, writes: &mut Vec<Write>) {
        let mut members: Vec<_> = self.members().map(str::to_owned).collect();
        members.sort_unstable();
        let rank = members.iter().position(|id| *id == self.me).unwrap_or(0);
        let quota = usize::from(PARTITIONS) / members.len()
            + usize::from(rank < usize::from(PARTITIONS) % members.len());
        let owned: Vec<_> = (0..PARTITIONS).filter(|n| self.owns(*n)).collect();
        let abandoned: Vec<_> = (0..PARTITIONS).filter(|n| self.is_abandoned(*n)).collect();
        for &partition in owned.iter().skip(quota) {
            let over = self.slots[usize::from(partition)].revision;
            // First it stops, then it says so.
            self.lose(partition);
            writes.push(Write::Release { partition, over });
        }
        let wanted = quota.saturating_sub(owned.len());
        // Each begins elsewhere, so that they rarely want the same one.
        let start = rank * usize::from(PARTITIONS) / members.len();
        let order = (0..PARTITIONS).cycle().skip(start).take(usize::from(PARTITIONS));
        let free: Vec<_> = order.filter(|n| self.is_free(*n)).take(wanted).collect();
        let over = |partition: u16| self.slots[usize::from(partition)].revision;
        // Others take them for this orchestrator's until the bucket says otherwise: the write that gave one back was lost.
        let abandoned = abandoned
            .into_iter()
            .filter(|partition| !free.contains(partition));
        writes.extend(abandoned.map(|partition| Write::Release {
            partition,
            over: over(partition),
        }));
        writes.extend(free.iter().map(|&partition| Write::Take {
            partition,
            over: over(partition),
        }));
    }

    /// Whether the bucket says that this orchestrator owns `partition`, though it does not.
    fn is_abandoned(&self, partition: u16) -> bool {
        let Slot { holder, tenure, .. } = &self.slots[usize::from(partition)];
        tenure.is_none() && holder.as_ref() == Some(&self.me)
    }

    fn owns(&self, partition: u16) -> bool {
        self.slots[usize::from(partition)].tenure.is_some()
    }

    fn is_free(&self, partition: u16) -> bool {
        let Slot { holder, tenure, .. } = &self.slots[usize::from(partition)];
        match holder {
            Some(holder) if *holder == self.me => tenure.is_none(),
            Some(holder) => !self.members.contains_key(holder),
            None => true,
        }
    }
}
