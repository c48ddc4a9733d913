//! The store of one host, from which bans go along into a fleet, and which takes over what was in force there.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, bail};
use secbeat_bus::{
    AllowBucket, BanBucket, Bus, Entry, EntryKind, KeyState, MAX_BATCH, Over, Update, WriteOutcome,
};
use secbeat_common::{
    prefix::Prefix,
    sign::{Signer, Trust},
    wire::{AllowEntry, BlockCommand, Layer, Lift},
};
use secbeat_daemon::time::now_ms;
use tokio::time::timeout;

/// Time that the store may take to tell all that it holds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ends of one ban that were reckoned by two clocks.
const SAME_END_MS: u64 = 2_000;

/// What the store held, and what it was made to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredBans {
    /// Bans that it did not hold, or that ended at another time.
    pub(crate) bans: usize,
    /// Those that were lifted meanwhile.
    pub(crate) lifted: usize,
    /// Entries of the allowlist.
    pub(crate) allowed: usize,
}

/// The bans that the store behind `bus` holds and that have not ended.
///
/// # Errors
///
/// Returns an error if the store does not tell in time.
pub(crate) async fn bans_in_force(bus: &Bus) -> anyhow::Result<Vec<BlockCommand>> {
    let now_ms = now_ms();
    let bans = read(bus).await?.bans.into_values().map(|(command, _)| command);
    Ok(bans.filter(|ban| ban.expires_at_ms > now_ms).collect())
}

/// Has the store behind `bus` hold the bans that are `in_force`, no others of the kernel, and also the entries that are `allowed`. `None`
/// if nobody knows what is in force: then what it holds stays.
///
/// # Errors
///
/// Returns an error if the store does not take it.
pub(crate) async fn keep(
    bus: &Bus,
    in_force: Option<Vec<BlockCommand>>,
    allowed: &[AllowEntry],
) -> anyhow::Result<StoredBans> {
    let now_ms = now_ms();
    let bucket = BanBucket::new(bus, Trust::default(), Signer::default());
    let mut kept = StoredBans::default();
    if let Some(in_force) = in_force {
        let Held {
            bans: mut held,
            lifted,
            seen,
        } = read(bus).await?;
        let mut missing = Vec::new();
        for ban in in_force {
            let known = held.remove(&ban.target);
            if let Some((known, _)) = &known
                && known.expires_at_ms.abs_diff(ban.expires_at_ms) <= SAME_END_MS
            {
                continue;
            }
            let unknown = KeyState {
                seen,
                ..KeyState::default()
            };
            let over = known.map(|(_, over)| over);
            let over = over.or_else(|| lifted.get(&ban.target).copied());
            missing.push((ban, over.unwrap_or(unknown)));
        }
        for bans in missing.chunks(MAX_BATCH) {
            if matches!(bucket.put_all(bans, now_ms).await?, WriteOutcome::Conflict) {
                bail!(
                    "the store takes none of {} bans: it was changed meanwhile",
                    bans.len()
                );
            }
        }
        kept.bans = missing.len();
        for (ban, over) in held.into_values() {
            // What reaches clients by the HTTP layer alone, the kernel does not know.
            if ban.layer == Layer::Kernel && ban.expires_at_ms > now_ms {
                bucket.lift(&ban.target, ban.id, over, now_ms).await?;
                kept.lifted += 1;
            }
        }
    }
    let allowlist = AllowBucket::new(bus, Trust::default(), Signer::default());
    for entry in allowed.iter().filter(|entry| entry.holds_at(now_ms)) {
        allowlist.put(entry, Over::Nothing, now_ms).await?;
        kept.allowed += 1;
    }
    Ok(kept)
}

/// What the store holds.
#[derive(Debug, Default)]
struct Held {
    /// Each ban, with what its key holds.
    bans: HashMap<Prefix, (BlockCommand, KeyState)>,
    /// What the keys of lifted bans hold.
    lifted: HashMap<Prefix, KeyState>,
    /// The latest revision.
    seen: u64,
}

impl Held {
    /// Takes in an entry; what this release does not understand, the orchestrator's part will not, either.
    fn take(&mut self, entry: &Entry) {
        let (trust, seen) = (Trust::default(), self.seen);
        let state = |expires_at_ms| KeyState {
            revision: entry.revision,
            expires_at_ms,
            seen,
        };
        match entry.kind {
            EntryKind::Put => {
                if let Ok(opened) = trust.open::<BlockCommand>(&entry.value) {
                    let state = state(opened.command.expires_at_ms);
                    self.bans.insert(opened.command.target, (opened.command, state));
                }
            }
            EntryKind::Delete | EntryKind::Purge => {
                if let Ok(opened) = trust.open::<Lift>(&entry.value) {
                    let state = state(opened.command.expires_at_ms);
                    self.lifted.insert(opened.command.target, state);
                }
            }
        }
    }
}

/// Reads the store.
async fn read(bus: &Bus) -> anyhow::Result<Held> {
    let mut follower = BanBucket::follow(bus);
    let reading = async {
        let mut held = Held::default();
        loop {
            match follower.next().await {
                Update::Begin(snapshot) => {
                    held = Held {
                        seen: snapshot.last_revision,
                        ..Held::default()
                    };
                }
                Update::Held(entries) => entries.iter().for_each(|entry| held.take(entry)),
                Update::Complete => return held,
                Update::Changed(_) => {}
            }
        }
    };
    timeout(PATIENCE, reading)
        .await
        .context("cannot list the store's bans")
}

#[cfg(test)]
mod tests {
    use secbeat_bus::local::LocalServer;
    use secbeat_common::wire::{Action, NO_LEASE, Reason, Scope};
    use uuid::Uuid;

    use super::*;

    fn ban(target: &str, left_ms: i64) -> BlockCommand {
        let now_ms = now_ms();
        BlockCommand {
            id: Uuid::now_v7(),
            action: Action::Block,
            target: target.parse().unwrap(),
            reason: Reason::ErrorFlood,
            note: "50 errors".to_owned(),
            evidence: None,
            list: None,
            scope: Scope::Fleet,
            strikes: 1,
            issued_at_ms: now_ms,
            expires_at_ms: now_ms + left_ms,
            issuer: "web-1".to_owned(),
            layer: Layer::Kernel,
            epoch: NO_LEASE,
        }
    }

    #[tokio::test]
    async fn what_is_in_force_is_kept_and_what_was_lifted_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let server = LocalServer::open(&folder.path().join("store.db")).unwrap();
        let bus = server.join().bus();
        secbeat_bus::make_all(&bus, Duration::from_secs(60))
            .await
            .unwrap();
        let [same, longer, lifted, again] = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.5"]
            .map(|target| ban(target, 60_000));
        let mut at_l7 = ban("198.51.100.4", 60_000);
        at_l7.layer = Layer::L7;
        let all = vec![same.clone(), longer.clone(), lifted, at_l7.clone(), again.clone()];
        let bucket = BanBucket::new(&bus, Trust::default(), Signer::default());
        // As if they had been there before.
        for ban in &all {
            let written = bucket.put(ban, KeyState::default(), now_ms()).await.unwrap();
            assert!(matches!(written, WriteOutcome::Written(_)));
        }
        // One was lifted, and banned again elsewhere.
        let (_, over) = read(&bus).await.unwrap().bans[&again.target];
        bucket
            .lift(&again.target, again.id, over, now_ms())
            .await
            .unwrap();
        let again = ban("198.51.100.5", 90_000);
        let kept = keep(&bus, None, &[]).await.unwrap();
        assert_eq!(
            (kept, bans_in_force(&bus).await.unwrap().len()),
            (StoredBans::default(), 4)
        );

        let (new, mut extended) = (ban("2001:db8::/64", 60_000), longer);
        extended.expires_at_ms += 600_000;
        let entry = AllowEntry {
            network: "203.0.113.0/24".parse().unwrap(),
            comment: "office".to_owned(),
            until_ms: None,
            added_by: "operator".to_owned(),
            added_at_ms: 0,
        };
        let in_force = vec![same.clone(), extended.clone(), new.clone(), again.clone()];
        let kept = keep(&bus, Some(in_force), std::slice::from_ref(&entry))
            .await
            .unwrap();
        let expected = StoredBans {
            bans: 3,
            lifted: 1,
            allowed: 1,
        };
        assert_eq!(kept, expected);
        let mut held = bans_in_force(&bus).await.unwrap();
        held.sort_by_key(|ban| ban.target);
        let mut expected = [same, extended, new, at_l7, again];
        expected.sort_by_key(|ban| ban.target);
        assert_eq!(held, expected);
    }
}
