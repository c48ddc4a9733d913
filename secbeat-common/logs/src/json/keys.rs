//! Key paths of JSON objects, as a tree that a scan walks down.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    /// A list of addresses, of which clients may write all. It counts where there is no client and no other address.
    Forwarded,
    Time,
    Status,
    /// A whole request line.
    Request,
    Method,
    Path,
    Host,
    UserAgent,
    Referer,
    /// A day in UTC, beside a clock.
    Date,
    /// The time of a day.
    Clock,
    /// Of a program that takes its client from a header which any client may write.
    AnyHeader,
    /// A key that only one server writes, whatever its value.
    Mark,
    /// What the line is about.
    Message,
}

impl Role {
    /// Whether it says what a client asked for.
    pub(super) const fn is_of_request(self) -> bool {
        matches!(self, Self::Request | Self::Method | Self::Path)
    }
}

/// Number of roles.
pub(super) const ROLES: usize = Role::Message as usize + 1;

/// Segments that a path may have. A path of so many is found in twice as many shapes with each of them.
pub(super) const MAX_SEGMENTS: usize = 6;

/// Longest name of a key that can be found, in bytes. A name is never longer than what a config states.
pub(super) const MAX_NAME: usize = 256;

/// Tells trees of keys apart: no two ever have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TreeId(u64);

impl TreeId {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(1 + LAST.fetch_add(1, Relaxed))
    }
}

/// Keys of an object and of the objects in it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(super) id: TreeId,
    /// Whether a key is [`Forwarded`](Role::Forwarded), so that other addresses are looked for.
    pub(super) has_forwarded: bool,
    /// The first is the object of the line.
    nodes: Vec<Node>,
}

/// Keys of one object.
#[derive(Debug)]
struct Node {
    entries: Vec<Entry>,
    /// Entries by the hash of their names, from 1; 0 is a free place. As long as a power of two.
    places: Vec<u8>,
}

/// A key.
#[derive(Debug)]
pub(super) struct Entry {
    name: Box<[u8]>,
    /// What its value is, if it is none with keys of its own: roles, each with its rank among the keys of that role.
    pub(super) roles: Vec<(Role, u8)>,
    /// The keys of the object that it may be.
    pub(super) inside: Option<u16>,
}

/// The place of an [`Entry`] in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    node: u16,
    entry: u8,
}

impl Tree {
    /// Takes the paths of each role, the first of which counts most. Dots divide a path into names; a name of the object may
    /// have dots itself, so that `a.b` is the key `b` of the object `a` or the key `a.b`.
    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = (Role, &'p str)>) -> Self {
        let mut tree = Self {
            id: TreeId::new(),
            has_forwarded: false,
            nodes: vec![Node::new()],
        };
        let mut ranks = [0_u8; ROLES];
        for (role, path) in paths {
            let rank = ranks[role as usize];
            ranks[role as usize] = rank.saturating_add(1);
            tree.has_forwarded |= role == Role::Forwarded;
            tree.add(0, path, role, rank);
        }
        tree.nodes.iter_mut().for_each(Node::index);
        tree
    }

    fn add(&mut self, node: usize, path: &str, role: Role, rank: u8) {
        let entry = self.nodes[node].entry(path);
        self.nodes[node].entries[entry].roles.push((role, rank));
        for (dot, _) in path.match_indices('.') {
            let (name, rest) = (&path[..dot], &path[dot + 1..]);
            if name.is_empty() || rest.is_empty() {
                continue;
            }
            let entry = self.nodes[node].entry(name);
            let inside = match self.nodes[node].entries[entry].inside {
                Some(inside) => usize::from(inside),
                None => {
                    self.nodes.push(Node::new());
                    let inside = self.nodes.len() - 1;
                    self.nodes[node].entries[entry].inside = u16::try_from(inside).ok();
                    inside
                }
            };
            self.add(inside, rest, role, rank);
        }
    }

    /// The key `name` of an object.
    #[inline]
    pub(super) fn find(&self, node: u16, name: &[u8]) -> Option<Place> {
        let keys = &self.nodes[usize::from(node)];
        let mask = keys.places.len() - 1;
        let mut at = hash(name) & mask;
        loop {
            let entry = keys.places[at].checked_sub(1)?;
            if *keys.entries[usize::from(entry)].name == *name {
                return Some(Place { node, entry });
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    pub(super) fn entry(&self, place: Place) -> &Entry {
        &self.nodes[usize::from(place.node)].entries[usize::from(place.entry)]
    }
}

impl Node {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            places: Vec::new(),
        }
    }

    /// The entry of that name, which is made if there is none.
    fn entry(&mut self, name: &str) -> usize {
        let found = self
            .entries
            .iter()
            .position(|entry| *entry.name == *name.as_bytes());
        found.unwrap_or_else(|| {
            self.entries.push(Entry {
                name: name.as_bytes().into(),
                roles: Vec::new(),
                inside: None,
            });
            self.entries.len() - 1
        })
    }

    fn index(&mut self) {
        let size = (4 * self.entries.len()).next_power_of_two().max(4);
        self.places = vec![0; size];
        for (number, entry) in (1..=u8::MAX).zip(&self.entries) {
            let mut at = hash(&entry.name) & (size - 1);
            while self.places[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.places[at] = number;
        }
    }
}

/// Tells most keys of a server's object apart by their length and three of their bytes.
#[inline]
fn hash(name: &[u8]) -> usize {
    let [first, .., last] = name else {
        return name.len();
    };
    let middle = name[name.len() / 2];
    let all = u32::from_le_bytes([*first, *last, middle, name.len() as u8]);
    (all.wrapping_mul(0x9e37_79b1) >> 20) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roles and ranks of the value at the end of `names`.
    fn found(tree: &Tree, names: &[&str]) -> Option<Vec<(Role, u8)>> {
        let (last, before) = names.split_last().unwrap();
        let mut node = 0;
        for name in before {
            node = tree.entry(tree.find(node, name.as_bytes())?).inside?;
        }
        Some(tree.entry(tree.find(node, last.as_bytes())?).roles.clone())
    }

    #[test]
    fn a_path_leads_through_objects_and_through_names_with_dots() {
        let tree = Tree::new([
            (Role::Client, "client.ip"),
            (Role::Status, "http.response.status_code"),
            (Role::Client, "http"),
        ]);
        let client = Some(vec![(Role::Client, 0)]);
        assert_eq!(found(&tree, &["client", "ip"]), client);
        assert_eq!(found(&tree, &["client.ip"]), client);
        let status = Some(vec![(Role::Status, 0)]);
        for names in [
            &["http", "response", "status_code"][..],
            &["http", "response.status_code"],
            &["http.response", "status_code"],
            &["http.response.status_code"],
        ] {
            assert_eq!(found(&tree, names), status, "{names:?}");
        }
        assert_eq!(found(&tree, &["http"]), Some(vec![(Role::Client, 1)]));
        assert_eq!(found(&tree, &["client"]), Some(vec![]));
        for names in [&["ip"][..], &["client", "ip", "x"], &["client.i"], &[""]] {
            assert_eq!(found(&tree, names), None, "{names:?}");
        }
    }
}
