//! Orchestrators that share the partitions, on a simulated bucket and clock.

use std::collections::BTreeMap;

use secbeat_common::subjects::{LeaseKey, PARTITIONS};

use super::{Entry, Identity, Keeper, Ownership, Standing, Terms, Write};

const TERMS: Terms = Terms {
    lease_ms: 3_000,
    margin_ms: 500,
    renew_ms: 500,
};
/// Between two looks at the clock.
const STEP: i64 = 100;

/// The bucket as the server keeps it.
#[derive(Default)]
struct Bucket {
    now_ms: i64,
    revision: u64,
    partitions: BTreeMap<u16, (Option<String>, u64)>,
    /// With the time of the last write.
    members: BTreeMap<String, i64>,
}

struct Node {
    core: Keeper,
    id: String,
    /// Neither hears nor writes, as when stopped or cut off.
    cut_off: bool,
}

struct Fleet {
    bucket: Bucket,
    nodes: Vec<Node>,
    /// Who acted for a partition last, and at which epoch.
    acted: BTreeMap<u16, u64>,
}

fn identity(name: &str, process: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        process: process.to_owned(),
    }
}

impl Fleet {
    fn new(names: &[&str]) -> Self {
        let mut fleet = Self {
            bucket: Bucket::default(),
            nodes: Vec::new(),
            acted: BTreeMap::new(),
        };
        for name in names {
            fleet.join(identity(name, "1"));
        }
        fleet
    }

    fn join(&mut self, identity: Identity) {
        let id = identity.id();
        let mut core = Keeper::new(identity, TERMS);
        core.heard_all(self.bucket.entries());
        self.nodes.push(Node {
            core,
            id,
            cut_off: false,
        });
    }

    fn tell(&mut self, entry: &Entry) {
        for node in self.nodes.iter_mut().filter(|node| !node.cut_off) {
            node.core.heard(entry.clone());
        }
    }

    /// Lets `ms` pass, and everybody do what is due; checks that no two own a partition for certain.
    fn run(&mut self, ms: i64) {
        let end = self.bucket.now_ms + ms;
        while self.bucket.now_ms < end {
            self.bucket.now_ms += STEP;
            let now = self.bucket.now_ms;
            let (bucket, revision) = (&mut self.bucket, &mut Vec::new());
            bucket.members.retain(|id, at| {
                let lives = now - *at < TERMS.lease_ms;
                if !lives {
                    revision.push(id.clone());
                }
                lives
            });
            for id in std::mem::take(revision) {
                self.bucket.revision += 1;
                let entry = Entry {
                    key: LeaseKey::Member(id),
                    holder: None,
                    revision: self.bucket.revision,
                };
                self.tell(&entry);
            }
            for n in 0..self.nodes.len() {
                if !self.nodes[n].cut_off {
                    for write in self.nodes[n].core.due(now) {
                        self.write(n, &write);
                    }
                }
            }
            self.check();
        }
    }

    fn write(&mut self, n: usize, write: &Write) {
        let now = self.bucket.now_ms;
        let id = self.nodes[n].id.clone();
        self.bucket.revision += 1;
        let revision = self.bucket.revision;
        let entry = match write {
            Write::Renew => {
                self.bucket.members.insert(id.clone(), now);
                self.nodes[n].core.renewed(now, now);
                Entry {
                    key: LeaseKey::Member(id.clone()),
                    holder: Some(id),
                    revision,
                }
            }
            Write::Take { partition, over } | Write::Release { partition, over } => {
                let holder = matches!(write, Write::Take { .. }).then_some(id);
                let known = self.bucket.partitions.get(partition).map_or(0, |(_, at)| *at);
                if known != *over {
                    return;
                }
                self.bucket
                    .partitions
                    .insert(*partition, (holder.clone(), revision));
                match write {
                    Write::Take { .. } => self.nodes[n].core.taken(*partition, revision, now),
                    _ => self.nodes[n].core.released(*partition, revision),
                }
                Entry {
                    key: LeaseKey::Partition(*partition),
                    holder,
                    revision,
                }
            }
        };
        self.tell(&entry);
    }

    /// What node `n` may act for.
    fn owned(&self, n: usize) -> Vec<u16> {
        let Node { core, id, .. } = &self.nodes[n];
        let table = core.table();
        let holders = (0..PARTITIONS).zip(core.holders());
        holders
            .filter(|(partition, holder)| {
                let now_ms = self.bucket.now_ms;
                let owned = matches!(table.standing(*partition, now_ms), Standing::Owner { .. });
                // A lease that has just run out is noticed at the next look at the clock.
                assert!(!owned || *holder == Some(id), "what it does is not what it says");
                owned
            })
            .map(|(partition, _)| partition)
            .collect()
    }

    fn counts(&self) -> Vec<usize> {
        (0..self.nodes.len()).map(|n| self.owned(n).len()).collect()
    }

    /// No two act for one partition, and epochs only grow.
    fn check(&mut self) {
        let mut owners = BTreeMap::new();
        for n in 0..self.nodes.len() {
            for partition in self.owned(n) {
                let other = owners.insert(partition, n);
                assert_eq!(other, None, "partition {partition} at {} ms", self.bucket.now_ms);
            }
            for change in self.nodes[n].core.changes() {
                if let Ownership::Taken { partition, epoch } = change {
                    let before = self.acted.insert(partition, epoch);
                    assert!(before.is_none_or(|before| before < epoch));
                }
            }
        }
    }
}

impl Bucket {
    fn entries(&self) -> Vec<Entry> {
        let members = self.members.keys().map(|id| Entry {
            key: LeaseKey::Member(id.clone()),
            holder: Some(id.clone()),
            revision: 1,
        });
        let partitions = self
            .partitions
            .iter()
            .map(|(partition, (holder, revision))| Entry {
                key: LeaseKey::Partition(*partition),
                holder: holder.clone(),
                revision: *revision,
            });
        members.chain(partitions).collect()
    }
}

#[test]
fn one_owns_all_at_once() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.run(2 * STEP);
    assert_eq!(fleet.counts(), [16]);
}

#[test]
fn shares_are_fair_whoever_comes_and_goes() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.run(1_000);
    for (name, shares) in [("b", &[8, 8][..]), ("c", &[6, 5, 5]), ("d", &[4, 4, 4, 4])] {
        fleet.join(identity(name, "1"));
        fleet.run(1_000);
        assert_eq!(fleet.counts(), shares);
    }
    fleet.nodes.remove(0);
    fleet.run(TERMS.lease_ms + 500);
    assert_eq!(fleet.counts(), [6, 5, 5]);
}

#[test]
fn what_a_dead_one_owned_is_taken_once_its_lease_is_over_and_not_before() {
    let mut fleet = Fleet::new(&["a", "b"]);
    fleet.run(1_000);
    fleet.nodes.remove(0);
    fleet.run(TERMS.lease_ms - 2 * TERMS.renew_ms);
    assert_eq!(fleet.counts(), [8]);
    fleet.run(2 * TERMS.renew_ms + 200);
    assert_eq!(fleet.counts(), [16]);
}

#[test]
fn a_restarted_one_does_not_wait_for_the_lease_of_the_process_before_it() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.run(1_000);
    fleet.nodes.clear();
    fleet.join(identity("a", "2"));
    fleet.run(2 * STEP);
    assert_eq!(fleet.counts(), [16]);
}

#[test]
fn two_of_one_name_that_both_live_share_as_any_two() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.run(1_000);
    fleet.join(identity("a", "2"));
    fleet.run(2_000);
    assert_eq!(fleet.counts(), [8, 8]);
}

#[test]
fn one_that_is_cut_off_stops_before_others_begin_and_begins_anew() {
    let mut fleet = Fleet::new(&["a", "b"]);
    fleet.run(1_000);
    fleet.nodes[0].cut_off = true;
    fleet.run(TERMS.lease_ms - TERMS.margin_ms);
    assert_eq!(fleet.counts(), [0, 8], "acts on, or was replaced too soon");
    fleet.run(1_000);
    assert_eq!(fleet.counts(), [0, 16]);
    // It wakes, and believes what it last heard until it hears more.
    fleet.nodes[0].cut_off = false;
    let now = fleet.bucket.now_ms;
    let stale = fleet.nodes[0].core.due(now);
    stale.iter().for_each(|write| fleet.write(0, write));
    fleet.check();
    assert_eq!(fleet.counts()[0], 0);
    let entries = fleet.bucket.entries();
    fleet.nodes[0].core.heard_all(entries);
    fleet.run(1_000);
    assert_eq!(fleet.counts(), [8, 8]);
}

#[test]
fn an_outage_of_the_bus_loses_nothing_if_nobody_else_was_there() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.run(1_000);
    fleet.nodes[0].cut_off = true;
    fleet.run(10_000);
    assert_eq!(fleet.counts(), [0]);
    fleet.nodes[0].cut_off = false;
    let entries = fleet.bucket.entries();
    fleet.nodes[0].core.heard_all(entries);
    let now = fleet.bucket.now_ms;
    let writes = fleet.nodes[0].core.due(now);
    assert_eq!(
        writes,
        [Write::Renew],
        "what lapsed cannot be kept by a sign of life"
    );
    fleet.write(0, &writes[0]);
    for write in fleet.nodes[0].core.due(now) {
        fleet.write(0, &write);
    }
    let changes = fleet.nodes[0].core.changes();
    assert_eq!(changes.len(), 16);
    assert!(
        changes
            .iter()
            .all(|change| matches!(change, Ownership::Taken { .. })),
        "{changes:?}"
    );
    assert_eq!(fleet.counts(), [16]);
}

#[test]
fn what_is_given_back_is_not_taken_again() {
    let mut fleet = Fleet::new(&["a"]);
    fleet.run(1_000);
    let core = &mut fleet.nodes[0].core;
    core.resign();
    assert_eq!(core.changes().len(), 16);
    fleet.run(1_000);
    assert_eq!(fleet.counts(), [0]);
}

#[test]
fn a_bucket_made_anew_is_a_new_beginning() {
    let mut fleet = Fleet::new(&["a"]);
    assert!(
        !fleet.nodes[0].core.bucket_made(1_795_000_000_000),
        "the first one"
    );
    fleet.run(1_000);
    let now_ms = fleet.bucket.now_ms;
    fleet.bucket = Bucket {
        now_ms,
        ..Bucket::default()
    };
    fleet.acted.clear();
    let core = &mut fleet.nodes[0].core;
    assert!(
        core.bucket_made(1_795_168_800_000),
        "the first one was made before"
    );
    assert_eq!(core.changes().len(), 16);
    assert!(!core.bucket_made(1_795_168_800_000));
    core.heard_all(Vec::new());
    fleet.run(1_000);
    assert_eq!(fleet.counts(), [16]);
}
