//! Tells commands of orchestrators that no longer owned the partition they decided about.

use std::collections::HashMap;

use crate::{
    subjects::PARTITIONS,
    wire::{BlockCommand, NO_LEASE},
};

/// The highest epoch of each partition, and the revision of the bans bucket from which on it holds.
///
/// The bucket keeps bans of many epochs, and names them again after each connection, but always in the order in which they
/// were written: a command is stale if it was written after one of a higher epoch. Orders of operators carry
/// [`NO_LEASE`] and are never stale.
#[derive(Debug, Default)]
pub struct Fence {
    known: HashMap<u16, Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    since: u64,
}

impl Fence {
    /// Whether `command`, which was written at `revision`, counts.
    pub fn admits(&mut self, command: &BlockCommand, revision: u64) -> bool {
        if command.epoch == NO_LEASE {
            return true;
        }
        let found = Held {
            epoch: command.epoch,
            since: revision,
        };
        let held = self
            .known
            .entry(command.target.partition(PARTITIONS))
            .or_insert(found);
        if held.epoch < command.epoch {
            *held = found;
        }
        held.epoch == command.epoch || revision < held.since
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        prefix::Prefix,
        wire::{Action, Layer, Reason, Scope},
    };

    fn command(target: &str, epoch: u64) -> BlockCommand {
        BlockCommand {
            id: Uuid::from_u128(1),
            action: Action::Block,
            list: None,
            target: target.parse().unwrap(),
            reason: Reason::ErrorFlood,
            note: String::new(),
            evidence: None,
            scope: Scope::Fleet,
            strikes: 0,
            issued_at_ms: 0,
            expires_at_ms: 1,
            issuer: "orchestrator".to_owned(),
            layer: Layer::Kernel,
            epoch,
        }
    }

    #[test]
    fn what_was_written_after_a_higher_epoch_is_stale() {
        let mut fence = Fence::default();
        for (epoch, revision, admitted) in [
            (5, 100, true),
            (9, 200, true),
            (5, 201, false),
            (9, 202, true),
            (8, 203, false),
            (12, 300, true),
            (9, 301, false),
        ] {
            let command = command("198.51.100.7", epoch);
            assert_eq!(
                fence.admits(&command, revision),
                admitted,
                "epoch {epoch} at {revision}"
            );
        }
    }

    #[test]
    fn older_bans_that_are_named_again_are_not_stale() {
        let mut fence = Fence::default();
        for _ in 0..2 {
            assert!(fence.admits(&command("198.51.100.7", 5), 100));
            assert!(fence.admits(&command("198.51.100.7", 9), 200));
        }
    }

    #[test]
    fn partitions_are_apart_and_people_need_no_lease() {
        let mut fence = Fence::default();
        let (one, other) = ("198.51.100.7", "198.51.100.8");
        let partition = |target: &str| target.parse::<Prefix>().unwrap().partition(PARTITIONS);
        assert_ne!(partition(one), partition(other));
        assert!(fence.admits(&command(one, 9), 200));
        assert!(fence.admits(&command(other, 5), 201));
        assert!(fence.admits(&command(one, NO_LEASE), 202));
        assert!(fence.admits(&command(one, 9), 203));
    }
}
