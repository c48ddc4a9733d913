//! Bans that something else took out of the kernel's maps, or ended there, between two reconciliations.

use std::time::Duration;

use secbeat_common::prefix::Prefix;
use secbeat_edge_core::{BootTime, KernelBan};

/// Bans that are looked at in one go.
const AT_ONCE: usize = 4096;
/// Difference between two ends of one ban that means nothing: the express lane has them to 64 jiffies.
const SLACK: Duration = Duration::from_secs(2);

/// Looks for lost bans, a few thousand at a time.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Bans that were passed since the first one.
    passed: usize,
}

impl Losses {
    /// Whether one of the next few thousand of `bans`, which come with their ends, is not as it should be in the kernel. `held` asks the
    /// kernel; what it does not answer is not a loss.
    pub(super) fn find<'a>(
        &mut self,
        bans: impl Iterator<Item = (&'a Prefix, BootTime)>,
        held: impl Fn(&Prefix) -> anyhow::Result<Option<KernelBan>>,
    ) -> bool {
        let mut looked_at = 0;
        for (target, ends) in bans.skip(self.passed).take(AT_ONCE) {
            looked_at += 1;
            if held(target).is_ok_and(|ban| ban.is_none_or(|ban| ban.ends.plus(SLACK) < ends)) {
                return true;
            }
        }
        self.passed = match looked_at {
            AT_ONCE => self.passed + AT_ONCE,
            _ => 0,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::anyhow;

    use super::*;

    const ENDS: BootTime = BootTime(3_600_000_000_000);

    fn ban(ends: BootTime) -> KernelBan {
        KernelBan {
            ends,
            reason: 1,
            origin: 1,
            strikes: 0,
            unallowed_in: 0,
            dropped_packets: 0,
            dropped_bytes: 0,
        }
    }

    #[test]
    fn a_ban_that_is_gone_or_ends_too_soon_is_lost() {
        let target: Prefix = "203.0.113.0/24".parse().unwrap();
        let sooner = |seconds: u64| BootTime(ENDS.0 - seconds * 1_000_000_000);
        for (held, is_lost) in [
            (None, true),
            (Some(ENDS), false),
            (Some(ENDS.plus(Duration::from_secs(60))), false),
            (Some(sooner(1)), false),
            (Some(sooner(60)), true),
        ] {
            let bans = [(&target, ENDS)];
            let found = Losses::default().find(bans.into_iter(), |_| Ok(held.map(ban)));
            assert_eq!(found, is_lost, "{held:?}");
        }
        let bans = [(&target, ENDS)];
        assert!(!Losses::default().find(bans.into_iter(), |_| Err(anyhow!("it cannot be read"))));
        assert!(!Losses::default().find(std::iter::empty(), |_| Ok(None)));
    }

    #[test]
    fn all_bans_have_their_turn() {
        let targets: Vec<Prefix> = (0..2 * AT_ONCE as u32 + 9)
            .map(|number| Prefix::host(std::net::Ipv4Addr::from(0x0a00_0000 + number).into()))
            .collect();
        let mut losses = Losses::default();
        let asked = RefCell::new(Vec::new());
        let mut rounds = Vec::new();
        for _ in 0..4 {
            let bans = targets.iter().map(|target| (target, ENDS));
            let held = |target: &Prefix| {
                asked.borrow_mut().push(*target);
                Ok(Some(ban(ENDS)))
            };
            assert!(!losses.find(bans, held));
            rounds.push(asked.take());
        }
        assert_eq!(
            rounds.iter().map(Vec::len).collect::<Vec<_>>(),
            [AT_ONCE, AT_ONCE, 9, AT_ONCE]
        );
        assert_eq!(rounds[..3].concat(), targets);
        assert_eq!(rounds[3], rounds[0]);
    }
}
