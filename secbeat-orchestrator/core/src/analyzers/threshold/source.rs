//! One source: what is known of it, in 96 bytes unless it does much.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secbeat_common::{
    prefix::Prefix,
    wire::{Layer, LearnedFrom},
};

use super::{Sighting, Window};

/// Position of a rule in the list of rules.
pub(super) type RuleIndex = u8;

/// No rule: there are fewer.
const NO_RULE: RuleIndex = RuleIndex::MAX;
/// Rules whose windows are in place. By default only those that a web application firewall reports have a third one.
const IN_PLACE: usize = 2;

/// In the order in which they are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// One request so far.
    Once,
    /// More than that.
    Returning,
    /// Banned before.
    Convicted,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Once, Self::Returning, Self::Convicted];
}

/// A source's address, without the bits that all of its family have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The IPv4 address, or the upper half of the IPv6 one.
    pub(super) bits: u64,
    /// As in the kernel's tries: of an IPv4 prefix, 96 more.
    len: u8,
}

/// Length of the IPv6 prefix that holds all of IPv4.
const MAPPED_LEN: u8 = 96;

impl Key {
    /// `None` if `prefix` is narrower than any source.
    pub(super) fn of(prefix: &Prefix) -> Option<Self> {
        match prefix.addr() {
            IpAddr::V4(v4) => Some(Self {
                bits: u64::from(v4.to_bits()),
                len: MAPPED_LEN + prefix.len(),
            }),
            IpAddr::V6(v6) => (prefix.len() <= 64).then_some(Self {
                bits: (v6.to_bits() >> 64) as u64,
                len: prefix.len(),
            }),
        }
    }

    pub(super) fn prefix(self) -> Prefix {
        let (single, len) = match self.len.checked_sub(MAPPED_LEN) {
            Some(len) => (Ipv4Addr::from_bits(self.bits as u32).into(), len),
            None => (Ipv6Addr::from_bits(u128::from(self.bits) << 64).into(), self.len),
        };
        // Not its source: a release that knew no translators sends their /64.
        Prefix::new(single, len).unwrap_or_else(|_| Prefix::host(single))
    }
}

/// That a source was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) source: Prefix,
    /// Event time, milliseconds since the Unix epoch.
    pub(super) at_ms: i64,
    pub(super) learned_from: LearnedFrom,
}

impl From<Sighting> for Seen {
    fn from(sighting: Sighting) -> Self {
        Self {
            source: sighting.source,
            at_ms: sighting.at_ms,
            learned_from: sighting.learned_from,
        }
    }
}

/// Outcome of an event.
#[derive(Debug)]
pub(super) struct Judged<R> {
    pub(super) verdict: Option<R>,
    /// Whether a window that it stands in holds something else, too.
    pub(super) holds_several: bool,
}

/// Position of a source in the list of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) previous: u32,
    pub(super) next: u32,
    /// When it was moved to the back, as the shard counts time.
    pub(super) moved_at: u32,
}

/// State of one source.
#[derive(Debug)]
pub(super) struct Source {
    /// Its key, apart so that nothing is padded.
    bits: u64,
    len: u8,
    /// `None` while the place is free.
    pub(super) class: Option<Class>,
    pub(super) links: Links,
    rules: [RuleIndex; IN_PLACE],
    /// Windows of `rules`, in the order in which the source was seen under them.
    windows: [Window; IN_PLACE],
    /// Latest event time, in milliseconds; `i64::MIN` before the first.
    latest_ms: i64,
    /// The same of the events in which it was a TCP peer, since the windows were last emptied.
    latest_as_peer_ms: i64,
    more: Option<Box<More>>,
}

/// State that few sources have.
#[derive(Debug)]
struct More {
    /// Windows of further rules.
    windows: Vec<(RuleIndex, Window)>,
    /// Rules that ignore its events before a time, since they would have banned it until then.
    observed: Vec<(RuleIndex, i64)>,
    /// Events before this time are ignored.
    ignore_before_ms: i64,
    /// So are events before this one whose address a proxy told.
    ignore_forwarded_before_ms: i64,
}

impl Default for More {
    fn default() -> Self {
        Self {
            windows: Vec::new(),
            observed: Vec::new(),
            ignore_before_ms: i64::MIN,
            ignore_forwarded_before_ms: i64::MIN,
        }
    }
}

impl Source {
    pub(super) fn new(key: Key, class: Class, links: Links) -> Self {
        let Key { bits, len } = key;
        Self {
            bits,
            len,
            class: Some(class),
            links,
            rules: [NO_RULE; IN_PLACE],
            windows: Default::default(),
            latest_ms: i64::MIN,
            latest_as_peer_ms: i64::MIN,
            more: None,
        }
    }

    pub(super) const fn key(&self) -> Key {
        Key {
            bits: self.bits,
            len: self.len,
        }
    }

    /// Gives its memory back; the place is free.
    pub(super) fn free(&mut self) {
        self.class = None;
        self.windows = Default::default();
        self.more = None;
    }

    /// Latest event time, in milliseconds; `i64::MIN` before the first.
    pub(super) const fn latest_ms(&self) -> i64 {
        self.latest_ms
    }

    /// Empties all windows.
    pub(super) fn clear(&mut self) {
        self.windows.iter_mut().for_each(Window::clear);
        if let Some(more) = &mut self.more {
            more.windows.iter_mut().for_each(|(_, window)| window.clear());
            more.observed.clear();
        }
        self.latest_as_peer_ms = i64::MIN;
    }

    /// Returns where a ban can meet the source, by what was seen of it after `start_ms`.
    pub(super) fn layer_since(&self, start_ms: i64) -> Layer {
        match self.latest_as_peer_ms > start_ms {
            true => Layer::Kernel,
            false => Layer::L7,
        }
    }

    /// The window of a rule, unless the rule ignores the source's events of that time.
    pub(super) fn window(&mut self, rule: RuleIndex, at_ms: i64) -> Option<&mut Window> {
        let is_ignored = |(observed, until_ms): &(RuleIndex, i64)| *observed == rule && at_ms < *until_ms;
        if self
            .more
            .as_ref()
            .is_some_and(|more| more.observed.iter().any(is_ignored))
        {
            return None;
        }
        for (place, window) in self.rules.iter_mut().zip(&mut self.windows) {
            if *place == NO_RULE {
                *place = rule;
            }
            if *place == rule {
                return Some(window);
            }
        }
        let windows = &mut self.more.get_or_insert_default().windows;
        let index = match windows.iter().position(|(known, _)| *known == rule) {
            Some(index) => index,
            None => {
                windows.push((rule, Window::default()));
                windows.len() - 1
            }
        };
        windows.get_mut(index).map(|(_, window)| window)
    }

    /// Reads its beginning and its end, which are not in one line of the caches.
    pub(super) fn touch(&self) -> usize {
        self.bits as usize
            ^ self.links.moved_at as usize
            ^ self.latest_ms as usize
            ^ usize::from(self.more.is_some())
    }

    /// Those that are in place.
    pub(super) const fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The window of a rule, if one has begun.
    pub(super) fn window_of(&self, rule: RuleIndex) -> Option<&Window> {
        let in_place = self.rules.iter().zip(&self.windows);
        let further = self.more.iter().flat_map(|more| &more.windows);
        in_place
            .chain(further.map(|(known, window)| (known, window)))
            .find_map(|(known, window)| (*known == rule).then_some(window))
    }

    /// Runs `judge` unless such an event is ignored; also says whether the source was seen apart from one request at that
    /// time, which may stand in all windows.
    pub(super) fn judge<R>(
        &mut self,
        seen: &Seen,
        judge: impl FnOnce(&mut Self) -> Judged<R>,
    ) -> (Option<R>, bool) {
        let layer = seen.learned_from.layer();
        if self
            .more
            .as_ref()
            .is_some_and(|more| more.ignores(seen.at_ms, layer))
        {
            return (None, false);
        }
        if layer == Layer::Kernel {
            self.latest_as_peer_ms = self.latest_as_peer_ms.max(seen.at_ms);
        }
        let Judged {
            verdict,
            holds_several,
        } = judge(self);
        let returned = holds_several || (self.latest_ms != i64::MIN && self.latest_ms != seen.at_ms);
        self.latest_ms = self.latest_ms.max(seen.at_ms);
        (verdict, returned)
    }

    /// Empties all windows, and ignores the events before `until_ms` that came in at `layer`: at the kernel's, all of them.
    pub(super) fn ignore_before(&mut self, until_ms: i64, layer: Layer) {
        self.clear();
        let more = self.more.get_or_insert_default();
        match layer {
            Layer::Kernel => {
                more.ignore_before_ms = until_ms;
                more.ignore_forwarded_before_ms = i64::MIN;
            }
            Layer::L7 => more.ignore_forwarded_before_ms = until_ms,
        }
    }

    /// Counts as seen at `at_ms`, so that [`is_over`](Self::is_over) does not hold while older events may still come.
    pub(super) fn keep_until(&mut self, at_ms: i64) {
        self.latest_ms = self.latest_ms.max(at_ms);
    }

    /// Lets `rule` ignore the events before `until_ms`.
    pub(super) fn observe_until(&mut self, rule: RuleIndex, until_ms: i64) {
        let observed = &mut self.more.get_or_insert_default().observed;
        observed.retain(|(known, _)| *known != rule);
        observed.push((rule, until_ms));
    }

    /// Whether it was last seen at or before `seen_by_ms`, and nothing ignores it at `now_ms`.
    pub(super) fn is_over(&self, seen_by_ms: i64, now_ms: i64) -> bool {
        let is_ignored = || {
            self.more
                .as_ref()
                .is_some_and(|more| more.ignores_until_ms() > now_ms)
        };
        self.latest_ms <= seen_by_ms && !is_ignored()
    }
}

impl More {
    fn ignores(&self, at_ms: i64, layer: Layer) -> bool {
        at_ms < self.ignore_before_ms || (layer == Layer::L7 && at_ms < self.ignore_forwarded_before_ms)
    }

    fn ignores_until_ms(&self) -> i64 {
        let observed = self.observed.iter().map(|(_, until_ms)| *until_ms);
        let ignored = self.ignore_before_ms.max(self.ignore_forwarded_before_ms);
        observed.fold(ignored, i64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_96_bytes() {
        assert_eq!(size_of::<Source>(), 96);
    }
}
