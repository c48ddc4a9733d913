//! Cuts bodies off of which nothing moves.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// The reason why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("no byte of the body arrived in time")]
    Stalled,
    #[error("the body is larger than it may be")]
    TooLarge,
    #[error("the client is banned")]
    Banned,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    #[error("the body was reset before its end")]
    Reset,
}

/// Fires once a sender was silent for a while.
pub(super) struct Silence {
    pub(super) idle: Duration,
    /// Made when the sender first lets us wait, and kept for the next times.
    timer: Option<Pin<Box<Sleep>>>,
    silent: bool,
}

impl Silence {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            timer: None,
            silent: false,
        }
    }

    pub(super) fn broken(&mut self) {
        self.silent = false;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = Instant::now() + self.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if !std::mem::replace(&mut self.silent, true) {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx)
    }
}
