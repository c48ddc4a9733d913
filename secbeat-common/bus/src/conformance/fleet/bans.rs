//! The bucket of bans.

use secbeat_common::{
    subjects,
    wire::{BlockCommand, PERMANENT},
};
use uuid::Uuid;

use super::*;
use crate::{BanBucket, Found, KeyState};

impl Fleet {
    fn bans(&self) -> BanBucket {
        BanBucket::new(&self.bus, self.trust.clone(), self.signer.clone())
    }
}

fn ban(n: u8, lasts_ms: i64) -> BlockCommand {
    crate::samples::ban(network(n), Uuid::from_u128(n.into()), NOW_MS, lasts_ms)
}

fn over(revision: u64, expires_at_ms: i64) -> KeyState {
    KeyState {
        revision,
        expires_at_ms,
        seen: revision,
    }
}

pub async fn a_ban_is_put_read_and_lifted(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let bans = fleet.bans();
    let command = ban(7, 3_600_000);
    assert_eq!(bans.get(&command.target).await, Ok((0, Found::Nothing)));
    assert_eq!(
        bans.put(&command, KeyState::default(), NOW_MS).await,
        Ok(WriteOutcome::Written(1))
    );
    assert_eq!(
        bans.get(&command.target).await,
        Ok((1, Found::Ban(Box::new(command.clone()))))
    );
    assert_eq!(
        bans.put(&command, KeyState::default(), NOW_MS).await,
        Ok(WriteOutcome::Conflict)
    );
    let held = over(1, command.expires_at_ms);
    assert_eq!(
        bans.lift(&command.target, command.id, held, NOW_MS).await,
        Ok(WriteOutcome::Written(2))
    );
    assert_eq!(
        bans.get(&command.target).await,
        Ok((2, Found::Lifted(command.id)))
    );
}

pub async fn a_ban_that_replaced_a_longer_one_stays_as_long(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let bans = fleet.bans();
    bans.put(&ban(7, 3_600_000), KeyState::default(), NOW_MS)
        .await
        .unwrap();
    let short = ban(7, 500);
    let held = over(1, NOW_MS + 3_600_000);
    assert_eq!(bans.put(&short, held, NOW_MS).await, Ok(WriteOutcome::Written(2)));
    // One that replaced nothing ends a second after its time at the latest.
    bans.put(&ban(8, 500), KeyState::default(), NOW_MS).await.unwrap();
    let ended = Ok((4, Found::Nothing));
    until("the other ban has ended", async || {
        bans.get(&network(8)).await == ended
    })
    .await;
    assert_eq!(bans.get(&network(7)).await, Ok((2, Found::Ban(Box::new(short)))));
}

pub async fn bans_are_put_together(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let bans = fleet.bans();
    let for_ever = BlockCommand {
        expires_at_ms: PERMANENT,
        ..ban(2, 0)
    };
    let commands = [
        (ban(1, 3_600_000), KeyState::default()),
        (for_ever.clone(), KeyState::default()),
    ];
    assert_eq!(
        bans.put_all(&commands, NOW_MS).await,
        Ok(WriteOutcome::Written(1))
    );
    assert_eq!(
        bans.get(&network(2)).await,
        Ok((2, Found::Ban(Box::new(for_ever))))
    );
    let again = [
        (ban(3, 3_600_000), KeyState::default()),
        (ban(1, 3_600_000), over(9, 0)),
    ];
    assert_eq!(bans.put_all(&again, NOW_MS).await, Ok(WriteOutcome::Conflict));
    assert_eq!(bans.get(&network(3)).await, Ok((0, Found::Nothing)));
}

pub async fn what_nobody_trusts_is_no_ban(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let intruder = BanBucket::new(&fleet.bus, Trust::default(), Signer::default());
    let command = ban(7, 3_600_000);
    intruder.put(&command, KeyState::default(), NOW_MS).await.unwrap();
    assert_eq!(fleet.bans().get(&command.target).await, Ok((1, Found::Nothing)));
    // One of another target, moved under this key.
    let other = fleet.signer.seal(&ban(8, 3_600_000), 0).unwrap();
    let bucket = fleet.bus.bucket(subjects::BANS_BUCKET);
    write(&bucket, Write::put(network(7).key(), other)).await;
    assert_eq!(fleet.bans().get(&network(7)).await, Ok((2, Found::Nothing)));
}
