//! One ledger among several: what other orchestrators decide, and under which lease this one does.

use secbeat_common::{prefix::Prefix, subjects::PARTITIONS, wire::BlockCommand};
use uuid::Uuid;

use super::{ActiveBan, Ledger, WriteState};

impl Ledger {
    /// The fencing epoch of automatic bans of targets in `partition` from now on; [`NO_LEASE`] at first. Orders of
    /// operators carry none.
    ///
    /// [`NO_LEASE`]: secbeat_common::wire::NO_LEASE
    pub fn set_epoch(&mut self, partition: u16, epoch: u64) {
        if let Some(slot) = self.epochs.get_mut(usize::from(partition)) {
            *slot = epoch;
        }
    }

    pub(super) fn epoch(&self, target: &Prefix) -> u64 {
        self.epochs[usize::from(target.partition(PARTITIONS))]
    }

    /// Takes back the ban `id` of `target`, which no bucket has and nobody shall hear of; leaves no strike.
    pub fn discard(&mut self, target: &Prefix, id: Uuid) {
        if self.get(target).is_some_and(|ban| ban.command.id == id) {
            self.remove(target);
        }
    }

    /// Bans in the bucket, as far as is known, of targets in the partitions for which `owned` holds.
    pub fn written(&self, owned: impl Fn(u16) -> bool) -> impl Iterator<Item = &ActiveBan> {
        self.active()
            .filter(|ban| ban.write == WriteState::Acknowledged)
            .filter(move |ban| owned(ban.command.target.partition(PARTITIONS)))
    }

    /// Replaces a ban that still has to be written by the one that the bucket has.
    pub fn yield_to(&mut self, command: BlockCommand) {
        self.insert(command, WriteState::Acknowledged);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use secbeat_common::wire::NO_LEASE;

    use super::*;
    use crate::ledger::{LedgerConfig, ManualBan};

    fn banned(ledger: &mut Ledger, id: u128) -> BlockCommand {
        let target = Prefix::single(IpAddr::from([198, 51, 100, 7]));
        let ban = ManualBan::new(target, 3_600_000, String::new(), "me".to_owned());
        ledger.ban(ban, 0, Uuid::from_u128(id)).unwrap()
    }

    #[test]
    fn what_people_order_carries_no_epoch() {
        let mut ledger = Ledger::new(LedgerConfig::default());
        (0..PARTITIONS).for_each(|partition| ledger.set_epoch(partition, 9));
        assert_eq!(banned(&mut ledger, 1).epoch, NO_LEASE);
    }

    #[test]
    fn a_discarded_ban_leaves_no_trace() {
        let mut ledger = Ledger::new(LedgerConfig::default());
        let command = banned(&mut ledger, 1);
        ledger.discard(&command.target, Uuid::from_u128(2));
        assert_eq!(ledger.len(), 1, "another ban");
        ledger.discard(&command.target, command.id);
        assert_eq!(
            (ledger.len(), ledger.pending().count(), ledger.history_len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn the_ban_that_the_bucket_has_holds() {
        let mut ledger = Ledger::new(LedgerConfig::default());
        let mine = banned(&mut ledger, 1);
        let theirs = BlockCommand {
            id: Uuid::from_u128(2),
            ..mine.clone()
        };
        assert!(!ledger.restore(theirs.clone()), "while it is being written");
        ledger.yield_to(theirs.clone());
        assert_eq!(ledger.get(&mine.target).map(|ban| &ban.command), Some(&theirs));
        assert_eq!((ledger.len(), ledger.pending().count()), (1, 0));
        let partition = mine.target.partition(PARTITIONS);
        assert_eq!(ledger.written(|n| n == partition).count(), 1);
        assert_eq!(ledger.written(|n| n != partition).count(), 0);
    }
}
