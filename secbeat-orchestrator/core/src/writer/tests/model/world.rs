//! A writer, a server, and what is between them.

use std::collections::BTreeMap;

use super::{server::Server, *};
use crate::ledger::SAME_END_MS;

pub(super) struct World {
    rig: Rig,
    server: Server,
    tenure: Tenure,
    /// With their answers, once they are carried out.
    under_way: Vec<(Operation, Option<Event>)>,
    pub(super) given_up: Vec<Operation>,
    /// The latest request for each target, and what became of it.
    latest: BTreeMap<Prefix, (Write, Option<Fate>)>,
    /// On which revision each request was made, and whether it shortens.
    made_on: BTreeMap<Uuid, (u64, bool)>,
    /// When the latest end of a ban of each target was requested.
    lifted_ms: BTreeMap<Prefix, i64>,
    ids: u128,
}

fn targets_of(operation: &Operation) -> Vec<Prefix> {
    match operation {
        Operation::Put { command, .. } => vec![command.target],
        Operation::Read { target } | Operation::Remove { target, .. } => vec![*target],
        Operation::PutAll { commands, .. } => commands.iter().map(|(command, _)| command.target).collect(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            rig: Rig::new(),
            server: Server::default(),
            tenure: Tenure::Owned { epoch: 9 },
            under_way: Vec::new(),
            given_up: Vec::new(),
            latest: BTreeMap::new(),
            made_on: BTreeMap::new(),
            lifted_ms: BTreeMap::new(),
            ids: 1_000,
        }
    }

    fn command(&mut self, target: u32, lasts_ms: i64) -> BlockCommand {
        self.ids += 1;
        BlockCommand {
            issued_at_ms: self.rig.now.wall_ms,
            expires_at_ms: self.rig.now.wall_ms + lasts_ms,
            ..renamed(&manual(target), self.ids)
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Ban {
                target,
                automatic,
                urgency,
                lasts_ms,
                shortens,
            } => {
                let mut command = self.command(target, lasts_ms);
                command.epoch = if automatic { 8 } else { NO_LEASE };
                self.request(command.target, Write::Ban(Box::new(command)), urgency, shortens);
            }
            Step::Lift { target } => {
                let target = manual(target).target;
                if let Some((Write::Ban(command), _)) = self.latest.get(&target) {
                    let lift = Write::Lift {
                        id: command.id,
                        at_ms: self.rig.now.wall_ms,
                        expires_at_ms: command.expires_at_ms,
                    };
                    self.server.lifts.insert(command.id, self.rig.now.wall_ms);
                    self.lifted_ms.insert(target, self.rig.now.wall_ms);
                    self.request(target, lift, Urgency::Now, false);
                }
            }
            Step::CarryOut(n) => {
                let waiting = self.under_way.iter_mut().filter(|(_, answer)| answer.is_none());
                if let Some((operation, answer)) = waiting.cycle_to(n) {
                    *answer = Some(self.server.carry_out(operation));
                }
            }
            Step::Answer(n) => {
                let answered = |(_, answer): &(Operation, Option<Event>)| answer.is_some();
                let all: Vec<_> = (0..self.under_way.len())
                    .filter(|index| answered(&self.under_way[*index]))
                    .collect();
                if let Some(&index) = all.iter().cycle_to(n)
                    && let (_, Some(answer)) = self.under_way.remove(index)
                {
                    self.handle(answer);
                }
            }
            Step::GiveUp(n) => {
                if self.under_way.is_empty() {
                    return;
                }
                let (operation, answer) = self.under_way.remove(n % self.under_way.len());
                let failed = match &operation {
                    Operation::PutAll { batch, .. } => Event::BatchFailed { batch: *batch },
                    one => Event::Failed {
                        target: targets_of(one)[0],
                    },
                };
                if answer.is_none() {
                    self.given_up.push(operation);
                }
                self.handle(failed);
            }
            Step::CarryOutLate(n) => {
                if !self.given_up.is_empty() {
                    let operation = self.given_up.remove(n % self.given_up.len());
                    self.server.carry_out(&operation);
                }
            }
            Step::TheirBan { target, lasts_ms } => {
                let command = self.command(target, lasts_ms);
                self.server
                    .write(command.target, Found::Ban(Box::new(command)), false);
            }
            Step::TheirLift { target } => {
                let target = manual(target).target;
                if let (_, Found::Ban(command)) = self.server.key(&target) {
                    self.server.write(target, Found::Lifted(command.id), false);
                }
            }
            Step::Hear { target } => self.hear(manual(target).target),
            Step::Pass(ms) => {
                self.rig.now.wall_ms += ms;
                self.rig.now.boot_ms += ms;
                self.handle(Event::Tick);
            }
            Step::Lease(tenure) => {
                self.tenure = tenure;
                self.rig.leases = leases(tenure);
            }
            Step::TakesBatches(takes) => self.rig.takes_batches = takes,
        }
    }

    fn hear(&mut self, target: Prefix) {
        match self.server.key(&target) {
            (0, _) => {}
            (revision, Found::Ban(command)) => {
                self.rig.revisions.holds(target, revision, command.expires_at_ms);
            }
            (revision, Found::Lifted(_) | Found::Nothing) => self.rig.revisions.deleted(&target, revision),
        }
    }

    fn request(&mut self, target: Prefix, write: Write, urgency: Urgency, shortens: bool) {
        let id = write.id();
        let before = self.latest.insert(target, (write.clone(), None));
        let basis = self.rig.revisions.of(&target).revision;
        self.made_on.insert(id, (basis, shortens));
        let request = WriteRequest {
            target,
            write,
            urgency,
            basis,
            shortens,
        };
        let mut effects = self.rig.handle(Event::Request(request));
        // One that has no fate yet, of another ban, gets its fate first.
        if let Some((before, None)) = before
            && before.id() != id
        {
            let superseded = Effect::Report {
                id: before.id(),
                fate: Fate::Superseded,
            };
            assert_eq!(effects.remove(0), superseded);
        }
        self.take(effects);
    }

    fn handle(&mut self, event: Event) {
        let effects = self.rig.handle(event);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Operate(operation) => {
                    match &operation {
                        Operation::Put { command, over } => self.check_put(command, *over),
                        Operation::PutAll { commands, .. } => {
                            commands
                                .iter()
                                .for_each(|(command, over)| self.check_put(command, *over));
                        }
                        Operation::Read { .. } | Operation::Remove { .. } => {}
                    }
                    for target in targets_of(&operation) {
                        let busy = self.under_way.iter().flat_map(|(other, _)| targets_of(other));
                        assert_eq!(busy.filter(|busy| *busy == target).count(), 0, "{operation:?}");
                    }
                    self.under_way.push((operation, None));
                }
                Effect::Report { id, fate } => self.report(id, fate),
            }
        }
        assert_eq!(
            self.rig.writer.is_idle(),
            self.latest.values().all(|(_, fate)| fate.is_some())
        );
    }

    /// What `command` takes the place of does not last longer, unless it was known or may be shortened.
    fn check_put(&self, command: &BlockCommand, over: Held) {
        let (basis, shortens) = self.made_on[&command.id];
        let Some(index) = over
            .revision
            .checked_sub(1)
            .filter(|_| over.revision != basis && !shortens)
        else {
            return;
        };
        if let Found::Ban(held) = &self.server.log[index as usize].found {
            let is_over = held.expires_at_ms <= self.rig.now.wall_ms;
            let is_shorter = held.expires_at_ms <= command.expires_at_ms + SAME_END_MS;
            // The end of a ban that was not made yet counts with the request that took its place.
            let is_lifted = self.lifted_ms.get(&held.target) >= Some(&held.issued_at_ms);
            assert!(
                is_over || is_shorter || is_lifted || held.id == command.id,
                "{command:?} ends {held:?} earlier"
            );
        }
    }

    /// A request has come to an end: it is the latest of its target, and its fate is true.
    fn report(&mut self, id: Uuid, fate: Fate) {
        let now_ms = self.rig.now.wall_ms;
        let latest = self.latest.iter_mut().find(|(_, (write, _))| write.id() == id);
        let Some((target, (write, known))) = latest else {
            panic!("{id}: {fate:?} of a request that is not the latest");
        };
        assert_eq!(*known, None, "{id} has come to an end already");
        let server = &self.server;
        let is_true = match (&*write, &fate) {
            (Write::Ban(_), Fate::Written { revision }) => {
                let entry = &server.log[*revision as usize - 1];
                entry.is_ours && matches!(&entry.found, Found::Ban(command) if command.id == id)
            }
            (Write::Ban(command), Fate::Ended) => command.expires_at_ms <= now_ms,
            (Write::Lift { expires_at_ms, .. }, Fate::Ended) => *expires_at_ms <= now_ms,
            (Write::Ban(command), Fate::Fenced) => command.epoch != NO_LEASE && self.tenure == Tenure::None,
            (Write::Ban(command), Fate::Outrun(theirs)) => {
                let is_longer = theirs.expires_at_ms >= command.expires_at_ms - SAME_END_MS;
                (command.epoch != NO_LEASE || is_longer)
                    && theirs.id != id
                    && theirs.expires_at_ms > now_ms
                    && server.had(target, |found, _| *found == Found::Ban(theirs.clone()))
            }
            (Write::Ban(_), Fate::Revoked) => {
                server.had(target, |found, is_ours| !is_ours && *found == Found::Lifted(id))
            }
            (Write::Lift { at_ms, .. }, Fate::Lifted) => server.had(target, |found, is_ours| match found {
                Found::Lifted(lifted) => is_ours && *lifted == id,
                Found::Ban(newer) => newer.issued_at_ms > *at_ms,
                Found::Nothing => false,
            }),
            _ => false,
        };
        assert!(is_true, "{write:?}: {fate:?} of {:?}", server.log);
        *known = Some(fate);
    }

    /// Lets all come to an end.
    pub(super) fn finish(&mut self) {
        for _ in 0..200 {
            if self.rig.writer.is_idle() && self.under_way.is_empty() {
                return;
            }
            while !self.under_way.is_empty() {
                self.step(&Step::CarryOut(0));
                self.step(&Step::Answer(0));
            }
            self.step(&Step::Lease(Tenure::Owned { epoch: 12 }));
            self.step(&Step::Pass(LAST_RETRY_MS));
        }
        panic!("it does not come to an end: {:?}", self.rig.writer);
    }

    /// What stands in the bucket, if this writer wrote it, is what the latest request says.
    pub(super) fn check_bucket(&self) {
        for (target, (write, fate)) in &self.latest {
            let (revision, found) = self.server.key(target);
            let Some(entry) = revision
                .checked_sub(1)
                .map(|index| &self.server.log[index as usize])
            else {
                continue;
            };
            if !entry.is_ours {
                continue;
            }
            let fate = fate.as_ref().unwrap();
            let agrees = match (write, &found, fate) {
                (Write::Ban(ban), Found::Ban(found), Fate::Written { revision: written }) => {
                    found.id == ban.id && revision == *written
                }
                (Write::Lift { id, .. }, Found::Lifted(lifted), Fate::Lifted | Fate::Ended) => id == lifted,
                (Write::Ban(_), Found::Lifted(_), Fate::Ended | Fate::Fenced | Fate::Outrun(_)) => true,
                // It says what an earlier request said, or this one, whose acknowledgement was lost.
                (Write::Ban(_), Found::Ban(_), Fate::Ended | Fate::Fenced | Fate::Outrun(_)) => true,
                _ => false,
            };
            assert!(agrees, "{write:?}: {fate:?}, but {found:?} at {revision}");
        }
    }
}

/// The item `n`, counted past the end from the beginning again.
trait CycleTo: Iterator + Sized {
    fn cycle_to(self, n: usize) -> Option<Self::Item> {
        let mut all: Vec<_> = self.collect();
        let index = n.checked_rem(all.len())?;
        Some(all.swap_remove(index))
    }
}

impl<I: Iterator> CycleTo for I {}
