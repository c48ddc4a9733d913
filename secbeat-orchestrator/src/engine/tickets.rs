//! Waiters for orders.

use std::collections::HashMap;

use secbeat_orchestrator_core::{
    decider::{Imported, Reply as Answer, Ticket},
    ledger::ActiveBan,
};
use tokio::sync::oneshot;

use super::Reply;

/// Orders that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    given: u64,
    pub(super) bans: HashMap<Ticket, Reply<ActiveBan>>,
    pub(super) unbans: HashMap<Ticket, Reply<Option<ActiveBan>>>,
    pub(super) imports: HashMap<Ticket, Reply<Imported>>,
    pub(super) drains: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Tickets {
    pub(super) fn next(&mut self) -> Ticket {
        self.given += 1;
        Ticket(self.given)
    }

    /// Hands an answer over.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        match answer {
            Answer::Banned(answer) => {
                if let Some(waiting) = self.bans.remove(&ticket) {
                    let _ = waiting.send(answer.map(|ban| *ban).map_err(Into::into));
                }
            }
            Answer::Unbanned(answer) => {
                if let Some(waiting) = self.unbans.remove(&ticket) {
                    let answer = answer.map(|ban| ban.map(|ban| *ban));
                    let _ = waiting.send(answer.map_err(Into::into));
                }
            }
            Answer::Imported(answer) => {
                if let Some(waiting) = self.imports.remove(&ticket) {
                    let _ = waiting.send(answer.map_err(Into::into));
                }
            }
            Answer::Drained => {
                if let Some(waiting) = self.drains.remove(&ticket) {
                    let _ = waiting.send(());
                }
            }
        }
    }
}
