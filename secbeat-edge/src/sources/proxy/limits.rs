//! Limit of connections of one source.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;
use secbeat_common::prefix::Prefix;

/// Open connections by source: an IPv4 address, an IPv6 /64.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<HashMap<Prefix, u32>>);

/// One open connection of a source.
#[derive(Debug)]
pub(super) struct Held {
    sources: Arc<Sources>,
    source: Prefix,
}

impl Sources {
    /// Counts a connection of `client` until the result is dropped; `None` when its source has `most` already.
    pub(super) fn hold(self: &Arc<Self>, client: IpAddr, most: u32) -> Option<Held> {
        let source = Prefix::single(client);
        let mut open = self.0.lock();
        let count = open.entry(source).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Held {
            sources: self.clone(),
            source,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.sources.0.lock().entry(self.source) {
            match *count.get() {
                1 => drop(count.remove()),
                many => *count.get_mut() = many - 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_holds_so_many_and_leaves_nothing_behind() {
        let sources = Arc::<Sources>::default();
        let hold = |client: &str| sources.hold(client.parse().unwrap(), 2);
        let first = hold("2001:db8::1");
        let second = hold("2001:db8::2");
        assert!(first.is_some() && second.is_some());
        assert!(hold("2001:db8::3").is_none(), "the same /64");
        assert!(hold("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(hold("2001:db8::3").is_some());
        drop(second);
        assert!(sources.0.lock().is_empty());
    }
}
