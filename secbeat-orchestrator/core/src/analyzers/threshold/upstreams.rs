//! Short names of upstreams.

use std::hash::RandomState;

use hashlink::LinkedHashMap;
use secbeat_common::wire::cut;

/// Upstreams known at a time, over all edges.
pub(super) const MAX_UPSTREAMS: usize = 1024;

/// Stands for one upstream of one edge; see [`Upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub(super) u32);

/// Hands out [`UpstreamId`]s. It knows at most 1024 upstreams; past that, the one not asked for longest is forgotten
/// and gets a new id when it comes back, since edges come and go.
#[derive(Debug, Default)]
pub struct Upstreams {
    ids: LinkedHashMap<(String, String), UpstreamId, RandomState>,
    next: u32,
}

impl Upstreams {
    /// The id of the upstream that the edge `edge_id` calls `name`, of which [`MAX_TEXT`](secbeat_common::wire::MAX_TEXT) bytes count.
    pub fn intern(&mut self, edge_id: &str, name: &str) -> UpstreamId {
        let key = (edge_id.to_owned(), cut(name).to_owned());
        if let Some(id) = self.ids.to_back(&key) {
            return *id;
        }
        if self.ids.len() >= MAX_UPSTREAMS {
            self.ids.pop_front();
        }
        let id = UpstreamId(self.next);
        self.next = self.next.wrapping_add(1);
        self.ids.insert(key, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::MAX_TEXT;

    use super::*;

    #[test]
    fn an_upstream_is_an_edge_and_a_name() {
        let mut upstreams = Upstreams::default();
        let first = upstreams.intern("edge-1", "app");
        assert_ne!(upstreams.intern("edge-2", "app"), first);
        assert_ne!(upstreams.intern("edge-1", "api"), first);
        assert_eq!(upstreams.intern("edge-1", "app"), first);
    }

    #[test]
    fn past_the_bound_the_one_not_asked_for_longest_is_forgotten() {
        let mut upstreams = Upstreams::default();
        let first = upstreams.intern("edge", "0");
        let second = upstreams.intern("edge", "1");
        for n in 2..MAX_UPSTREAMS {
            upstreams.intern("edge", &n.to_string());
        }
        assert_eq!(upstreams.intern("edge", "0"), first);
        upstreams.intern("edge", "one too many");
        assert_eq!(upstreams.ids.len(), MAX_UPSTREAMS);
        assert_eq!(upstreams.intern("edge", "0"), first);
        assert_ne!(upstreams.intern("edge", "1"), second);
    }

    #[test]
    fn a_name_is_kept_no_longer_than_other_texts_of_edges() {
        let mut upstreams = Upstreams::default();
        let long = "x".repeat(1_000_000);
        let id = upstreams.intern("edge-1", &long);
        assert_eq!(upstreams.intern("edge-1", &long[..MAX_TEXT]), id);
        assert!(upstreams.ids.keys().all(|(_, name)| name.len() == MAX_TEXT));
    }
}
