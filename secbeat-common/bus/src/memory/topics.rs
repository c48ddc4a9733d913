//! Subscriptions.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use super::Link;
use crate::{
    backend::{Messages, Published},
    subject::matches,
};

#[derive(Default)]
pub(super) struct Topics(Vec<Subscription>);

struct Subscription {
    subject: String,
    link: Arc<Link>,
    messages: UnboundedSender<(Instant, Published)>,
}

impl Topics {
    /// Hands `message` to all who are connected.
    pub(super) fn publish(&mut self, message: &Published, arrives: Instant) {
        self.0.retain(|subscription| !subscription.messages.is_closed());
        for subscription in &self.0 {
            if subscription.link.is_connected() && matches(&subscription.subject, &message.subject) {
                let _ = subscription.messages.send((arrives, message.clone()));
            }
        }
    }

    pub(super) fn subscribe(&mut self, subject: &str, link: Arc<Link>) -> Messages<Published> {
        let (messages, waiting) = unbounded_channel();
        self.0.push(Subscription {
            subject: subject.to_owned(),
            link,
            messages,
        });
        stream::unfold(waiting, async |mut waiting| {
            let (arrives, message) = waiting.recv().await?;
            sleep_until(arrives).await;
            Some((Ok(message), waiting))
        })
        .boxed()
    }
}
