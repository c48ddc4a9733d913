//! Contents of one message.

use std::collections::BTreeMap;

use secbeat_common::wire::Reason;

use super::{Banned, Notice, Reported, Trouble, Unbanned, What};

/// Targets of bans, and as many of unbans, that a message names; the others are counted.
pub const NAMED: usize = 5;
/// Troubles and ends of troubles that a message has room for; the others are counted.
const STATES: usize = 50;
/// Reports that wait for a receiver at most; then the oldest is left out.
const REPORTS: usize = 8;

/// What happened since the last message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of the first notice and the last, milliseconds since the Unix epoch.
    pub first_ms: i64,
    pub last_ms: i64,
    /// How many bans, by reason.
    pub bans: BTreeMap<String, u64>,
    /// Those among them that operators made.
    pub manual: u64,
    /// The first few.
    pub banned: Vec<Banned>,
    pub unbans: u64,
    /// The first few.
    pub unbanned: Vec<Unbanned>,
    /// Troubles that began or ended, in order.
    pub states: Vec<Notice>,
    /// The oldest first.
    pub reports: Vec<Reported>,
    pub left_out: LeftOut,
}

/// What nobody was told of, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Notices that came faster than they could be taken in.
    pub missed: u64,
    /// Troubles and reports for which a message had no room.
    pub crowded: u64,
    /// Messages that could not be delivered, and the notices in them.
    pub messages: u64,
    pub undelivered: u64,
}

impl LeftOut {
    /// All notices that nobody was told of.
    #[must_use]
    pub const fn notices(&self) -> u64 {
        self.missed
            .saturating_add(self.crowded)
            .saturating_add(self.undelivered)
    }
}

impl Summary {
    /// All bans.
    #[must_use]
    pub fn ban_count(&self) -> u64 {
        self.bans.values().sum()
    }

    /// All notices that it tells.
    #[must_use]
    pub fn notices(&self) -> u64 {
        self.ban_count() + self.unbans + (self.states.len() + self.reports.len()) as u64
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notices() == 0 && self.left_out == LeftOut::default()
    }

    pub(super) fn add(&mut self, notice: Notice) {
        let at_ms = notice.at_ms;
        if self.notices() == 0 {
            self.first_ms = at_ms;
        }
        self.last_ms = self.last_ms.max(at_ms);
        match notice.what {
            What::Banned(ban) => {
                self.manual += u64::from(ban.reason == Reason::Manual);
                *self.bans.entry(ban.reason.name().to_owned()).or_default() += 1;
                if self.banned.len() < NAMED {
                    self.banned.push(ban);
                }
            }
            What::Unbanned(unban) => {
                self.unbans += 1;
                if self.unbanned.len() < NAMED {
                    self.unbanned.push(unban);
                }
            }
            What::Reported(report) => {
                if self.reports.len() >= REPORTS {
                    self.reports.remove(0);
                    self.left_out.crowded += 1;
                }
                self.reports.push(report);
            }
            What::Begun { .. } if self.states.len() < STATES => self.states.push(notice),
            What::Begun { .. } => self.left_out.crowded += 1,
            What::Over { ref trouble, .. } => {
                let trouble = trouble.clone();
                self.end(&trouble, notice);
            }
        }
    }

    /// An end is told even where there is no room: in the place of what it ends, or of the oldest beginning.
    fn end(&mut self, trouble: &Trouble, notice: Notice) {
        if self.states.len() >= STATES {
            let is_begun =
                |told: &Notice| matches!(&told.what, What::Begun { trouble: begun, .. } if begun == trouble);
            let any = |told: &Notice| matches!(told.what, What::Begun { .. });
            let states = &self.states;
            let place = states
                .iter()
                .position(is_begun)
                .or_else(|| states.iter().position(any));
            self.states.remove(place.unwrap_or_default());
            self.left_out.crowded += 1;
        }
        self.states.push(notice);
    }
}
