//! Who waits for which order.

use std::collections::HashMap;

use secbeat_orchestrator_core::{
    decider::{Imported, Reply as Answer, Ticket},
    ledger::ActiveBan,
};
use tokio::sync::oneshot;

use super::Reply;
use crate::auditor::Auditor;

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

    /// Hands an answer over. An order that was carried out is answered once the audit has it.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer, auditor: &Auditor) {
        match answer {
            Answer::Banned(answer) => {
                let answer = answer.map(|ban| *ban).map_err(Into::into);
                send(self.bans.remove(&ticket), answer, auditor);
            }
            Answer::Unbanned(Ok(None)) => {
                if let Some(waiting) = self.unbans.remove(&ticket) {
                    let _ = waiting.send(Ok(None));
                }
            }
            Answer::Unbanned(answer) => {
                let answer = answer.map(|ban| ban.map(|ban| *ban)).map_err(Into::into);
                send(self.unbans.remove(&ticket), answer, auditor);
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

fn send<T: Send + 'static>(
    waiting: Option<Reply<T>>,
    answer: Result<T, super::OrderFailure>,
    auditor: &Auditor,
) {
    let Some(waiting) = waiting else { return };
    match answer {
        Ok(_) => auditor.then(move || drop(waiting.send(answer))),
        Err(_) => drop(waiting.send(answer)),
    }
}
