//! What people ask for: bans, one or many at once, and their end.

use std::collections::HashMap;

use secbeat_common::{prefix::Prefix, wire::Decision as Audited};
use secbeat_daemon::time::now_ms;
use tracing::info;
use uuid::Uuid;

use super::{
    Engine, Reply,
    open::{Answer, Open},
    protection::Protections,
};
use crate::{
    api::view::{BanView, Imported, Refused},
    explain::because,
    ledger::{ManualBan, Refusal, Sift, Sifted},
    writer::{Urgency, Wish},
};

/// Refused bans that an error names.
const NAMED: usize = 3;

/// Bans to make together.
#[derive(Clone, Debug)]
pub struct Import {
    pub bans: Vec<ManualBan>,
    pub mode: ImportMode,
    pub actor: String,
}

/// What an import does if some of its bans cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Nothing in any case: it only tells.
    DryRun,
    AllOrNothing,
    SkipRefused,
}

/// Imports whose bans are on their way to the bus.
pub(super) type Imports = HashMap<Uuid, Importing>;

pub(super) struct Importing {
    unwritten: usize,
    outcome: Imported,
    reply: Reply<Imported>,
}

impl Engine {
    /// Why nothing can be changed right now, if so.
    pub(super) fn unready(&self) -> Result<(), String> {
        if !self.bus.is_connected() {
            return Err("NATS is unreachable, so no edge would hear of it; nothing was changed".to_owned());
        }
        if !self.is_restored() {
            return Err("the ledger is still being read from NATS; nothing was changed".to_owned());
        }
        Ok(())
    }

    pub(super) fn ban(&mut self, ban: ManualBan, reply: Reply<BanView>) {
        let (now, target, actor) = (now_ms(), ban.target, ban.issuer.clone());
        let banned = self.unready().and_then(|()| {
            self.ledger
                .ban(ban, now, Uuid::now_v7())
                .map_err(|refusal| refused(&self.protected, &target, refusal))
        });
        let command = match banned {
            Ok(command) => command,
            Err(error) => return drop(reply.send(Err(error))),
        };
        self.pay_for(&command);
        let Some(view) = self.ledger.get(&target).map(|ban| BanView::new(ban, now)) else {
            return drop(reply.send(Err("the ban has ended already".to_owned())));
        };
        let view = BanView {
            state: "issued".to_owned(),
            ..view
        };
        self.issue(command, Vec::new(), actor, Answer::Ban(reply, view));
    }

    pub(super) fn unban(&mut self, target: Prefix, actor: String, reply: Reply<Option<BanView>>) {
        if let Err(error) = self.unready() {
            return drop(reply.send(Err(error)));
        }
        let now = now_ms();
        let Some(ban) = self.ledger.revoke(&target, now) else {
            return drop(reply.send(Ok(None)));
        };
        self.forget(target, now);
        info!(target: "audit", %target, actor, "ban lifted");
        let id = ban.command.id;
        self.propagation.void(id);
        self.traces
            .closed(id, Some("it was lifted before the bus had it"));
        let decision = Audited::Unban {
            command_id: id,
            strikes: ban.command.strikes,
        };
        let answer = Answer::Unban(reply, BanView::new(&ban, now));
        let lifting = Open {
            target,
            actor,
            decision,
            answer,
        };
        // A ban that was still on its way from an import is not waited for any more.
        if let Some(Open {
            answer: Answer::Import(import),
            ..
        }) = self.open.insert(id, lifting)
        {
            self.imported(import);
        }
        let wish = Wish::Lift {
            id,
            at_ms: now,
            expires_at_ms: ban.command.expires_at_ms,
        };
        self.writer.wish(target, wish, Urgency::Now);
    }

    pub(super) fn import(&mut self, Import { bans, mode, actor }: Import, reply: Reply<Imported>) {
        if let Err(error) = self.unready() {
            return drop(reply.send(Err(error)));
        }
        let now = now_ms();
        let sift = self.ledger.sift(&bans, now);
        let outcome = self.outcome(&bans, &sift);
        match mode {
            ImportMode::DryRun => return drop(reply.send(Ok(outcome))),
            ImportMode::AllOrNothing if !outcome.refused.is_empty() => {
                return drop(reply.send(Err(all_refused(&outcome.refused, bans.len()))));
            }
            ImportMode::AllOrNothing | ImportMode::SkipRefused => {}
        }
        let import = Uuid::now_v7();
        let mut unwritten = 0;
        let new = bans
            .into_iter()
            .zip(sift.bans)
            .filter(|(_, sifted)| *sifted == Sifted::New);
        for (ban, _) in new {
            let Ok(command) = self.ledger.ban(ban, now, Uuid::now_v7()) else {
                continue;
            };
            self.pay_for(&command);
            unwritten += 1;
            let answer = Answer::Import(import);
            self.send(command, Vec::new(), actor.clone(), answer, Urgency::Bulk);
        }
        info!(target: "audit", actor, bans = unwritten, kept = outcome.kept, refused = outcome.refused.len(), "bans imported");
        if unwritten == 0 {
            return drop(reply.send(Ok(outcome)));
        }
        let importing = Importing {
            unwritten,
            outcome,
            reply,
        };
        self.imports.insert(import, importing);
    }

    /// One ban of an import has reached the bus, or came to nothing because another order took its place.
    pub(super) fn imported(&mut self, import: Uuid) {
        let Some(importing) = self.imports.get_mut(&import) else {
            return;
        };
        importing.unwritten -= 1;
        if importing.unwritten == 0
            && let Some(Importing { outcome, reply, .. }) = self.imports.remove(&import)
        {
            let _ = reply.send(Ok(outcome));
        }
    }

    fn outcome(&self, bans: &[ManualBan], sift: &Sift) -> Imported {
        let mut outcome = Imported {
            new_networks: sift.new_nets,
            free_networks: self.ledger.free_nets(),
            ..Imported::default()
        };
        for (index, (ban, sifted)) in bans.iter().zip(&sift.bans).enumerate() {
            match *sifted {
                Sifted::New => outcome.banned += 1,
                Sifted::Kept => outcome.kept += 1,
                Sifted::Ended => outcome.ended += 1,
                Sifted::Refused(refusal) => outcome.refused.push(Refused {
                    index,
                    target: ban.target.to_string(),
                    why: refused(&self.protected, &ban.target, refusal),
                }),
            }
        }
        outcome
    }
}

/// What people read for a refusal.
fn refused(protected: &Protections, target: &Prefix, refusal: Refusal) -> String {
    match refusal {
        Refusal::Unbannable(why) => format!("{target} is never banned: {why}"),
        Refusal::Protected(net) => match protected.all().find(|protected| protected.network == net) {
            Some(protected) => format!("{target} is protected, because of {}", because(protected)),
            None => format!("{target} is protected ({net} is)"),
        },
        Refusal::TooManyNets | Refusal::Ended => format!("{target}: {refusal}"),
    }
}

fn all_refused(refused: &[Refused], bans: usize) -> String {
    let named: Vec<_> = refused
        .iter()
        .take(NAMED)
        .map(|refused| refused.why.as_str())
        .collect();
    let more = match refused.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "nothing was imported, since {} of {bans} cannot be banned: {}{more}",
        refused.len(),
        named.join("; ")
    )
}
