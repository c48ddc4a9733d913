//! Jobs of the store.

use tokio::sync::oneshot;

use super::{store::Store, topics::Topics};
use crate::{
    backend::Published,
    error::{Error, Result},
};

/// Something for the store to do.
pub(super) trait Job: Send {
    /// Whether it has to be done outside of a transaction with others.
    fn is_alone(&self) -> bool;

    /// Does it. What an earlier call did has been rolled back.
    fn work(&mut self, store: &mut Store);

    /// What it did could not be committed.
    fn fail(&mut self, error: Error);

    /// Tells what came of it, once that cannot be lost any more.
    fn answer(self: Box<Self>, topics: &Topics);
}

/// A job whose caller waits for what comes of it.
pub(super) struct Call<T, W> {
    work: W,
    is_alone: bool,
    outcome: Option<Result<T>>,
    /// What subscribers are told.
    told: Vec<Published>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, W> Call<T, W> {
    /// The call, and where its answer comes.
    pub(super) fn new(work: W, is_alone: bool) -> (Self, oneshot::Receiver<Result<T>>) {
        let (answer, answered) = oneshot::channel();
        let call = Self {
            work,
            is_alone,
            outcome: None,
            told: Vec::new(),
            answer,
        };
        (call, answered)
    }
}

impl<T: Send, W: FnMut(&mut Store) -> Result<T> + Send> Job for Call<T, W> {
    fn is_alone(&self) -> bool {
        self.is_alone
    }

    fn work(&mut self, store: &mut Store) {
        self.outcome = Some((self.work)(store));
        self.told = std::mem::take(&mut store.told);
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>, topics: &Topics) {
        let Some(outcome) = self.outcome else { return };
        if outcome.is_ok() {
            self.told.iter().for_each(|message| topics.publish(message));
        }
        // The caller may have given up.
        drop(self.answer.send(outcome));
    }
}

/// A message for its subscribers, and for the log that keeps it. Nobody waits.
pub(super) struct Publication {
    message: Published,
    lost: Option<Error>,
}

impl From<Published> for Publication {
    fn from(message: Published) -> Self {
        Self { message, lost: None }
    }
}

impl Job for Publication {
    fn is_alone(&self) -> bool {
        false
    }

    fn work(&mut self, store: &mut Store) {
        let kept = store.append_to_its_log(&self.message, None);
        self.lost = kept.and_then(Result::err);
    }

    fn fail(&mut self, error: Error) {
        self.lost = Some(error);
    }

    fn answer(self: Box<Self>, topics: &Topics) {
        if let Some(error) = self.lost {
            tracing::warn!(subject = self.message.subject, %error, "a message is lost");
        }
        topics.publish(&self.message);
    }
}
