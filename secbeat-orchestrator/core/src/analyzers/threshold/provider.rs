//! Clients of one provider (AS) that count together.
//!
//! Many addresses of one provider that each do little are one attack, and no threshold of a single client finds it. A rule
//! over clients counts how many of one provider did what it counts. From its threshold on, it finds those that go on: each
//! at its own next event, and never at its first one within the window. So a provider's other clients are never found, and
//! neither is one that once mistyped a password while others attacked.

use std::{collections::HashMap, fmt, sync::Arc};

use ahash::RandomState;
use secbeat_common::prefix::Prefix;

use super::{
    source::RuleIndex,
    window::{Crossing, Limit, Tag, Window},
};

/// Events of a client itself, before which it is never found.
pub(super) const OWN_EVENTS: u32 = 2;
/// Age of an event, from the provider's latest one, past which it finds nobody. Partitions come apart from each other, and one
/// that another orchestrator had comes again from the beginning of the window: it shows what clients did before the others came.
const MAX_LATE_MS: i64 = 30_000;

/// The lookup of a source's provider (AS), which may be unknown.
#[derive(Clone, Default)]
pub struct Providers(Option<Arc<Lookup>>);

type Lookup = dyn Fn(&Prefix) -> Option<u32> + Send + Sync;

impl Providers {
    /// The lookup that `of` makes.
    #[must_use]
    pub fn new(of: impl Fn(&Prefix) -> Option<u32> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(of)))
    }

    fn of(&self, source: &Prefix) -> Option<u32> {
        self.0.as_ref()?(source)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Providers").field(&self.0.is_some()).finish()
    }
}

/// Clients of each provider that did what a rule counts.
#[derive(Debug, Default)]
pub(super) struct ByProvider {
    pub(super) providers: Providers,
    /// By rule and AS, of which there are some 80,000. Each holds as many clients as its rule needs at most.
    clients: HashMap<(RuleIndex, u32), Window, RandomState>,
}

impl ByProvider {
    /// Counts a client, which is `tag`, at `at_ms`. Returns whether as many as the limit are there now, unless that was too long
    /// ago to say so.
    pub(super) fn record(
        &mut self,
        rule: RuleIndex,
        source: &Prefix,
        at_ms: i64,
        tag: Tag,
        limit: Limit,
    ) -> Option<Crossing> {
        let asn = self.providers.of(source)?;
        let clients = self.clients.entry((rule, asn)).or_default();
        let crossing = clients.record_distinct(at_ms, tag, limit);
        // Whether enough are there does not go by more of them.
        clients.keep_latest(limit.count as usize);
        crossing.filter(|crossing| crossing.at_ms.saturating_sub(at_ms) <= MAX_LATE_MS)
    }

    /// How many clients of the provider of `source` a rule has counted after `start_ms`, up to its limit.
    pub(super) fn count(&self, rule: RuleIndex, source: &Prefix, start_ms: i64) -> u64 {
        let asn = self.providers.of(source);
        let clients = asn.and_then(|asn| self.clients.get(&(rule, asn)));
        clients.map_or(0, |clients| clients.since(start_ms).entries)
    }

    /// Forgets clients that were last counted so long before that they count for no rule any more; `start_ms` is where the window of a
    /// rule begins.
    pub(super) fn cleanup(&mut self, start_ms: impl Fn(RuleIndex) -> i64) {
        self.clients
            .retain(|(rule, _), clients| clients.since(start_ms(*rule)).entries > 0);
    }
}
