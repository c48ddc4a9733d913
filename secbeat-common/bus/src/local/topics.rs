//! Subscriptions.

use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{
    backend::{Messages, Published},
    subject::matches,
};

#[derive(Debug, Default)]
pub(super) struct Topics(Mutex<Vec<Subscription>>);

#[derive(Debug)]
struct Subscription {
    subject: String,
    messages: UnboundedSender<Published>,
}

impl Topics {
    pub(super) fn publish(&self, message: &Published) {
        let mut subscriptions = self.0.lock();
        subscriptions.retain(|subscription| !subscription.messages.is_closed());
        for subscription in &*subscriptions {
            if matches(&subscription.subject, &message.subject) {
                let _ = subscription.messages.send(message.clone());
            }
        }
    }

    pub(super) fn subscribe(&self, subject: &str) -> Messages<Published> {
        let (messages, waiting) = unbounded_channel();
        self.0.lock().push(Subscription {
            subject: subject.to_owned(),
            messages,
        });
        stream::unfold(waiting, async |mut waiting| {
            let message = waiting.recv().await?;
            Some((Ok(message), waiting))
        })
        .boxed()
    }
}
