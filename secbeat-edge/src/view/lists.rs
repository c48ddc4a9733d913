//! Static lists, as the kernel has them and as they should be.

use secbeat_daemon::time::{rfc3339, wall_ms};
use serde::{Deserialize, Serialize};

use crate::{
    kernel::{ListTables, Listing},
    lists::{ListVerdict, Origin, OwnerState},
};

/// All static lists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ListsView {
    pub lists: Vec<ListView>,
    /// Whether the kernel has just the lists that the daemon put in force; `null` without a daemon.
    pub agrees: Option<bool>,
}

/// A static list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListView {
    pub name: String,
    /// Whether the kernel has it, if not as it should be.
    pub in_force: bool,
    pub verdict: ListVerdict,
    /// Origin of the list: `file`, `feed` or `geo`.
    pub origin: Option<Origin>,
    /// Number of prefixes that it was given.
    pub prefixes: u32,
    /// Time at which it was given.
    pub updated_at: Option<String>,
    pub age_ms: u64,
    /// Packets of addresses that are on it, whatever became of them.
    pub packets: u64,
    pub bytes: u64,
    /// The reason why it is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl ListsView {
    /// Of what the kernel has, and of what its owner says.
    pub(crate) fn new(tables: Option<&ListTables>, owner: Option<&OwnerState>) -> anyhow::Result<Self> {
        let listings = tables.map(ListTables::listings).transpose()?.unwrap_or_default();
        let agrees = owner.map(|owner| {
            let is_owners = |listing: &Listing| {
                let known = owner.in_force.get(&listing.described.name);
                known.is_some_and(|known| known.digest == listing.described.digest)
            };
            listings.len() == owner.in_force.len() && listings.iter().all(is_owners)
        });
        let problem = |name: &str| Some(owner?.problems.get(name)?.text.clone());
        let mut lists: Vec<_> = listings
            .iter()
            .map(|listing| ListView::in_force(listing, problem(&listing.described.name)))
            .collect();
        let is_there = |name: &str| listings.iter().any(|listing| listing.described.name == name);
        let missing = owner
            .iter()
            .flat_map(|owner| &owner.problems)
            .filter(|(name, _)| !is_there(name));
        lists.extend(missing.map(|(name, problem)| ListView {
            name: name.clone(),
            in_force: false,
            verdict: ListVerdict::Observe,
            origin: None,
            prefixes: 0,
            updated_at: None,
            age_ms: 0,
            packets: 0,
            bytes: 0,
            problem: Some(problem.text.clone()),
        }));
        lists.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { lists, agrees })
    }
}

impl ListView {
    fn in_force(
        Listing {
            described, counted, ..
        }: &Listing,
        problem: Option<String>,
    ) -> Self {
        let updated_ms = i64::try_from(described.updated_ms).unwrap_or(i64::MAX);
        Self {
            name: described.name.clone(),
            in_force: true,
            verdict: ListVerdict::of(described.verdict),
            origin: Origin::of(described.origin),
            prefixes: described.prefixes,
            updated_at: Some(rfc3339(updated_ms)),
            age_ms: u64::try_from(wall_ms().saturating_sub(updated_ms)).unwrap_or_default(),
            packets: counted.packets,
            bytes: counted.bytes,
            problem,
        }
    }

    /// Its line in `status`.
    pub(crate) fn line(&self) -> String {
        let Self {
            name,
            verdict,
            prefixes,
            packets,
            bytes,
            ..
        } = self;
        if !self.in_force {
            return format!(
                "{name} is NOT IN FORCE: {}",
                self.problem.as_deref().unwrap_or("it is not in the kernel")
            );
        }
        let hours = self.age_ms / 3_600_000;
        let age = match hours {
            0 => format!("{} min", self.age_ms / 60_000),
            1..48 => format!("{hours} h"),
            _ => format!("{} days", hours / 24),
        };
        let problem = self
            .problem
            .as_ref()
            .map(|why| format!(", NOT UPDATED: {why}"))
            .unwrap_or_default();
        format!(
            "{name}: {verdict}, {prefixes} prefixes, {age} old, {packets} packets ({bytes} bytes) met it{problem}"
        )
    }
}
