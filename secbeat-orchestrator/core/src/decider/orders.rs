//! Orders of operators: bans, one or many at once, and their end.

use std::collections::HashMap;

use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, Decision as Audited},
};

use super::{
    Decider, Turn,
    decisions::{Answer, Importing, Open, Ordered, answer_all, decision},
    event::{Effect, Reply, Ticket},
    order::{Import, ImportMode, Imported, Order, OrderError, Refused, RefusedOrder, Unban},
    protection::Protections,
};
use crate::{
    ledger::{
        ActiveBan, ImportPlan, ManualBan, Refusal, SAME_END_MS, Sifted, WriteState, is_same_ban, obstacle,
    },
    writer::{Urgency, Write, WriteRequest},
};

impl Decider {
    pub(super) fn order(&mut self, ticket: Ticket, order: Order, turn: &mut Turn<'_>) {
        let reply = match order {
            Order::Ban(ban) => self
                .ban(ban, ticket, turn)
                .err()
                .map(|error| Reply::Banned(Err(error))),
            Order::Import(import) => match self.import(import, ticket, turn) {
                Ok(outcome) => outcome.map(|outcome| Reply::Imported(Ok(outcome))),
                Err(error) => Some(Reply::Imported(Err(error))),
            },
            Order::Unban(unban) => match self.lift(unban, vec![ticket], turn) {
                Ok(true) => None,
                Ok(false) => Some(Reply::Unbanned(Ok(None))),
                Err(error) => Some(Reply::Unbanned(Err(error))),
            },
        };
        if let Some(reply) = reply {
            turn.push(Effect::Reply { ticket, reply });
        }
    }

    fn ready(&self) -> Result<(), OrderError> {
        match self.is_restored() {
            true => Ok(()),
            false => Err(OrderError::Restoring),
        }
    }

    fn ban(&mut self, ban: ManualBan, ticket: Ticket, turn: &mut Turn<'_>) -> Result<(), OrderError> {
        self.ready()?;
        if self.join(&ban, ticket, turn) {
            return Ok(());
        }
        let (now_ms, target, actor) = (turn.now.wall_ms, ban.target, ban.issuer.clone());
        let (id, shortens) = (self.ids.next(now_ms), ban.shortens);
        let held = self.ledger.get(&target);
        let replaced = held.filter(|held| held.write == WriteState::Acknowledged);
        let replaced = replaced.map(|held| held.command.clone());
        let command = self.ledger.ban(ban, now_ms, id).map_err(|refusal| {
            let refused = refused(&self.protected, target, refusal);
            OrderError::Refused(Box::new(refused))
        })?;
        self.account_for(&command);
        let ordered = Ordered {
            command: command.clone(),
            shortens,
            replaced,
        };
        let answer = Answer::Ban(vec![ticket], Box::new(ordered));
        self.issue(command, Vec::new(), actor, answer, None, turn);
        Ok(())
    }

    /// Lets the ban in force answer an order that was given twice, at the same time or because its first answer was lost.
    fn join(&mut self, ban: &ManualBan, ticket: Ticket, turn: &mut Turn<'_>) -> bool {
        let Some(active) = self.ledger.get(&ban.target) else {
            return false;
        };
        let command = &active.command;
        let is_same = command.reason == ban.reason
            && command.layer == ban.layer
            && command.note == ban.note
            && command.issuer == ban.issuer
            && ban.strikes.is_none()
            && command.scope == ban.scope
            && command.expires_at_ms.abs_diff(ban.expires_at_ms) <= SAME_END_MS.unsigned_abs()
            && command.expires_at_ms > turn.now.wall_ms;
        if !is_same {
            return false;
        }
        match self.decisions.open.get_mut(&command.id) {
            Some(Open {
                answer: Answer::Ban(tickets, _),
                ..
            }) => tickets.push(ticket),
            Some(_) => return false,
            None if active.write == WriteState::Acknowledged => {
                let reply = Reply::Banned(Ok(Box::new(active.clone())));
                turn.push(Effect::Reply { ticket, reply });
            }
            None => return false,
        }
        true
    }

    /// Lifts a ban for those with `tickets`. Returns whether there was one, which is then answered later.
    pub(super) fn lift(
        &mut self,
        Unban {
            target,
            actor,
            note,
            list,
        }: Unban,
        tickets: Vec<Ticket>,
        turn: &mut Turn<'_>,
    ) -> Result<bool, OrderError> {
        self.ready()?;
        let now_ms = turn.now.wall_ms;
        let Some(ban) = self.ledger.revoke(&target, now_ms) else {
            return Ok(self.join_unban(&target, tickets));
        };
        self.forget(target, now_ms);
        let ActiveBan { command, .. } = &ban;
        let (id, expires_at_ms) = (command.id, command.expires_at_ms);
        self.propagation.void(id);
        let decision = Audited::Unban {
            command_id: id,
            strikes: command.strikes,
            note,
            list,
        };
        let lifting = Open {
            target,
            actor,
            decision,
            answer: Answer::Unban(tickets, Box::new(ban)),
            since_ms: now_ms,
        };
        self.decisions.lifting.insert(target, id);
        if let Some(Open { answer, .. }) = self.decisions.open.insert(id, lifting) {
            // A ban that was still on its way is not waited for any more.
            self.decisions.close(id, Some(OrderError::Superseded), turn);
            match answer {
                Answer::Import(import, _) => self.imported(import, turn),
                Answer::Ban(tickets, _) => {
                    let reply = Reply::Banned(Err(OrderError::Superseded));
                    answer_all(tickets, &reply, turn);
                }
                Answer::Nobody | Answer::Unban(..) => {}
            }
        }
        turn.push(Effect::Write(WriteRequest {
            target,
            write: Write::Lift {
                id,
                at_ms: now_ms,
                expires_at_ms,
            },
            urgency: Urgency::Now,
            basis: 0,
            shortens: false,
        }));
        Ok(true)
    }

    /// Lets the latest unban of `target` that is on its way answer the same order; returns whether there is one.
    fn join_unban(&mut self, target: &Prefix, joining: Vec<Ticket>) -> bool {
        let id = self.decisions.lifting.get(target);
        match id.and_then(|id| self.decisions.open.get_mut(id)) {
            Some(Open {
                answer: Answer::Unban(tickets, _),
                ..
            }) => {
                tickets.extend(joining);
                true
            }
            _ => false,
        }
    }

    /// Returns the outcome unless it is answered later.
    fn import(
        &mut self,
        Import {
            bans,
            mode,
            actor,
            nets_before,
        }: Import,
        ticket: Ticket,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Imported>, OrderError> {
        self.ready()?;
        let now_ms = turn.now.wall_ms;
        let sift = self.ledger.sift(&bans, nets_before, now_ms);
        let outcome = self.outcome(&bans, &sift);
        match mode {
            ImportMode::DryRun => {
                return Ok(Some(Imported {
                    fates: sift.bans,
                    ..outcome
                }));
            }
            ImportMode::AllOrNothing if !outcome.refused.is_empty() => {
                return Err(OrderError::SomeRefused {
                    refused: outcome.refused,
                    of: bans.len(),
                });
            }
            ImportMode::AllOrNothing | ImportMode::SkipRefused => {}
        }
        let import = self.ids.next(now_ms);
        let mut unwritten = 0;
        let strikes = most_strikes(&bans, &sift.bans);
        let new = bans
            .into_iter()
            .zip(sift.bans)
            .filter(|(_, sifted)| sifted.is_ban());
        for (mut ban, sifted) in new {
            ban.strikes = strikes.get(&ban.target).copied();
            let id = self.ids.next(now_ms);
            let Ok(command) = self.ledger.ban(ban, now_ms, id) else {
                continue;
            };
            self.account_for(&command);
            unwritten += 1;
            let open = Open {
                target: command.target,
                actor: actor.clone(),
                decision: decision(&command, Vec::new()),
                answer: Answer::Import(import, sifted),
                since_ms: now_ms,
            };
            self.send(command, open, None, Urgency::Bulk, turn);
        }
        let importing = Importing {
            unwritten,
            outcome,
            ticket,
            actor,
        };
        if unwritten == 0 {
            importing.tell();
            return Ok(Some(importing.outcome));
        }
        self.decisions.imports.insert(import, importing);
        Ok(None)
    }

    /// One ban of an import has reached the bus, or came to nothing because another order took its place.
    pub(super) fn imported(&mut self, import: uuid::Uuid, turn: &mut Turn<'_>) {
        let imports = &mut self.decisions.imports;
        let Some(importing) = imports.get_mut(&import) else {
            return;
        };
        importing.unwritten -= 1;
        if importing.unwritten == 0
            && let Some(importing) = imports.remove(&import)
        {
            importing.tell();
            let Importing { outcome, ticket, .. } = importing;
            let reply = Reply::Imported(Ok(outcome));
            turn.push(Effect::Reply { ticket, reply });
        }
    }

    /// One ban of an import, which was sifted so, gave way to another orchestrator's: its target keeps that one.
    pub(super) fn kept(&mut self, import: uuid::Uuid, sifted: Sifted, target: &Prefix) {
        let exempts = self.ledger.exempt_within(target).next().is_some();
        let Some(Importing { outcome, .. }) = self.decisions.imports.get_mut(&import) else {
            return;
        };
        let less =
            |count: &mut usize, is_counted: bool| *count = count.saturating_sub(usize::from(is_counted));
        less(&mut outcome.banned, true);
        less(&mut outcome.longer, sifted == Sifted::Longer);
        less(
            &mut outcome.new_networks,
            sifted == Sifted::New && !target.is_single(),
        );
        less(&mut outcome.exempting, exempts);
        outcome.kept += 1;
    }

    /// Returns what the order of `ban` led to, which gave way to `theirs`: that one, if it is the same.
    pub(super) fn gave_way(
        &self,
        ban: &BlockCommand,
        theirs: BlockCommand,
    ) -> Result<BlockCommand, OrderError> {
        if is_same_ban(ban, &theirs) {
            return Ok(theirs);
        }
        Err(match obstacle(&theirs, &ban.scope, ban.expires_at_ms, false) {
            Some(refusal) => OrderError::Refused(Box::new(refused(&self.protected, ban.target, refusal))),
            None => OrderError::Outrun,
        })
    }

    fn outcome(&self, bans: &[ManualBan], sift: &ImportPlan) -> Imported {
        let mut outcome = Imported {
            new_networks: sift.new_nets,
            free_networks: self.ledger.free_nets(),
            ..Imported::default()
        };
        for (index, (ban, sifted)) in bans.iter().zip(&sift.bans).enumerate() {
            match *sifted {
                Sifted::New | Sifted::Longer => {
                    outcome.banned += 1;
                    outcome.longer += usize::from(*sifted == Sifted::Longer);
                    let mut exempt = self.ledger.exempt_within(&ban.target);
                    outcome.exempting += usize::from(exempt.next().is_some());
                }
                Sifted::Kept => outcome.kept += 1,
                Sifted::Ended => outcome.ended += 1,
                Sifted::Refused(refusal) => outcome.refused.push(RefusedOrder {
                    index,
                    refused: refused(&self.protected, ban.target, refusal),
                }),
            }
        }
        outcome
    }
}

/// The most strikes that an import says of each target: one of its bans is made, and the others' strikes count with it.
fn most_strikes(bans: &[ManualBan], sifted: &[Sifted]) -> HashMap<Prefix, u32> {
    let mut most = HashMap::new();
    let lasting = bans
        .iter()
        .zip(sifted)
        .filter(|(_, sifted)| **sifted != Sifted::Ended);
    for (ban, _) in lasting {
        if let Some(strikes) = ban.strikes {
            let known: &mut u32 = most.entry(ban.target).or_default();
            *known = strikes.max(*known);
        }
    }
    most
}

fn refused(protected: &Protections, target: Prefix, refusal: Refusal) -> Refused {
    let protected = match refusal {
        Refusal::Protected(net) => protected
            .all()
            .find(|protected| protected.network == net)
            .cloned(),
        Refusal::Unbannable(_)
        | Refusal::TooManyNets
        | Refusal::Ended
        | Refusal::Outlasted(_)
        | Refusal::Outreached(_) => None,
    };
    Refused {
        target,
        refusal,
        protected,
    }
}
