//! Orders of this host's operators.

use secbeat_common::{prefix::Prefix, wire::BlockCommand};

use super::{
    Enforcer,
    effect::{Effect, Fact, OrderError, Reply},
    event::Order,
    id::Ticket,
    writes::{Turn, Waiting},
};
use crate::{
    FilterMode, LocalBan, Refusal,
    reconcile::{Change, Origin},
};

impl Enforcer {
    pub(super) fn order(&mut self, ticket: Ticket, order: Order, turn: &mut Turn<'_>) {
        match order {
            Order::Ban(ban) => self.ban(ticket, ban, turn),
            Order::Unban(target) => self.unban(ticket, target, turn),
            Order::StandIn(command) => self.stand_in(ticket, *command, turn),
            Order::SetMode(mode) => turn.effects.push(Effect::SetMode(ticket, mode)),
        }
    }

    fn ban(&mut self, ticket: Ticket, ban: LocalBan, turn: &mut Turn<'_>) {
        let (allowlist, target) = (&self.allowlist, ban.target);
        let banned = self
            .reconciler
            .ban_locally(ban, turn.now, |target| allowlist.covers(target));
        match banned {
            Ok(change) => {
                turn.report(Fact::BannedHere(target));
                self.apply(&change, turn);
                if let Change::Put(_, ban) = change {
                    turn.when_written(Waiting::Ban(ticket, target, ban));
                }
            }
            Err(refusal) => {
                let reply = Reply::Ban(Err(refusal.into()));
                turn.effects.push(Effect::Reply(ticket, reply));
            }
        }
    }

    fn stand_in(&mut self, ticket: Ticket, command: BlockCommand, turn: &mut Turn<'_>) {
        let allowlist = &self.allowlist;
        let banned = self
            .reconciler
            .stand_in(&command, turn.now, |target| allowlist.covers(target));
        let reply = match banned {
            Ok(Some(change)) => {
                let target = command.target;
                turn.report(Fact::Detected {
                    target,
                    reason: command.reason,
                    note: command.note,
                });
                self.apply(&change, turn);
                if let Change::Put(_, ban) = change {
                    return turn.when_written(Waiting::Ban(ticket, target, ban));
                }
                Reply::Covered
            }
            Ok(None) => Reply::Covered,
            Err(refusal) => Reply::Ban(Err(refusal.into())),
        };
        turn.effects.push(Effect::Reply(ticket, reply));
    }

    /// Goes on with bans from before this host joined the fleet.
    pub(super) fn bring(&mut self, bans: &[BlockCommand], turn: &mut Turn<'_>) {
        let mut brought = 0;
        for command in bans {
            let (allowlist, target) = (&self.allowlist, command.target);
            let taken = self
                .reconciler
                .stand_in(command, turn.now, |target| allowlist.covers(target));
            match taken {
                Ok(Some(change)) => {
                    self.apply(&change, turn);
                    brought += 1;
                }
                Ok(None) | Err(Refusal::Expired) => {}
                Err(refusal) => turn.report(Fact::Refused { target, refusal }),
            }
        }
        turn.report(Fact::Brought { bans: brought });
    }

    fn unban(&mut self, ticket: Ticket, target: Prefix, turn: &mut Turn<'_>) {
        let lifted = self.reconciler.unban_locally(&target);
        let of_kernel = || {
            let is_kept = self.spoiled.remove(&target);
            is_kept.then_some((Origin::Local, Change::Remove(target)))
        };
        let Some((origin, change)) = lifted.or_else(of_kernel) else {
            let reply = Reply::Unban(Ok(None));
            turn.effects.push(Effect::Reply(ticket, reply));
            return;
        };
        turn.report(Fact::LiftedHere(target));
        self.apply(&change, turn);
        turn.when_written(Waiting::Unban(ticket, target, origin));
    }

    pub(super) fn mode_set(
        &mut self,
        ticket: Ticket,
        mode: FilterMode,
        outcome: Result<(), String>,
        turn: &mut Turn<'_>,
    ) {
        if outcome.is_ok() {
            self.mode = mode;
            turn.report(Fact::ModeSwitched(mode));
        }
        let reply = Reply::Mode(outcome.map_err(OrderError::NotWritten));
        turn.effects.push(Effect::Reply(ticket, reply));
    }
}
