//! Brings messages to one receiver, one at a time: what happens meanwhile is in the next one.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use secbeat_daemon::{geo::Geo, time::now_ms};
use secbeat_orchestrator_core::notices::{Digest, Notice, Summary};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::{
    message::Message,
    outcome::{Failure, Retry},
    receiver::Receiver,
    stats::Tally,
};
use crate::clock::moment;

/// Attempts for one message: with the pauses between them, some eight minutes.
const ATTEMPTS: u32 = 9;
/// Pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

pub(super) struct Courier {
    pub(super) receiver: Arc<Receiver>,
    pub(super) notices: mpsc::Receiver<Notice>,
    /// Notices that did not come through.
    pub(super) missed: Arc<std::sync::atomic::AtomicU64>,
    pub(super) tally: Arc<Tally>,
    /// Who tells.
    pub(super) orchestrator: String,
    /// Where addresses belong.
    pub(super) geo: Geo,
}

/// A message on its way, and whether it was taken.
type Delivery = BoxFuture<'static, (Summary, bool)>;

impl Courier {
    /// Works until nobody hands over any more; then what is left is tried once.
    pub(super) async fn run(mut self) {
        let mut digest = Digest::new(self.receiver.terms);
        let mut delivery: Option<Delivery> = None;
        loop {
            self.tally.count(|counts| counts.waiting = digest.waiting());
            let due_ms = digest.due_ms().filter(|_| delivery.is_none());
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.add(&mut digest, notice),
                    None => break,
                },
                (summary, is_taken) = pending_or(&mut delivery) => {
                    delivery = None;
                    if !is_taken {
                        digest.gave_up(&summary);
                    }
                }
                () = until(due_ms) => {
                    delivery = digest.take(moment()).map(|summary| self.deliver(summary, ATTEMPTS));
                }
            }
        }
        if let Some(delivery) = delivery.take() {
            delivery.await;
        }
        let rest = digest.take_all();
        if !rest.is_empty() {
            self.deliver(rest, 1).await;
        }
    }

    fn add(&self, digest: &mut Digest, notice: Notice) {
        let missed = self.missed.swap(0, std::sync::atomic::Ordering::Relaxed);
        if missed > 0 {
            digest.missed(missed);
            self.tally.count(|counts| counts.missed += missed);
        }
        digest.add(notice, moment());
    }

    fn deliver(&self, summary: Summary, attempts: u32) -> Delivery {
        let (receiver, tally) = (self.receiver.clone(), self.tally.clone());
        let message = Arc::new(Message::new(&summary, &self.orchestrator, &self.geo, now_ms()));
        async move {
            let is_taken = attempt(&receiver, &message, &tally, attempts).await;
            (summary, is_taken)
        }
        .boxed()
    }
}

/// Tries up to `attempts` times.
async fn attempt(receiver: &Arc<Receiver>, message: &Arc<Message>, tally: &Tally, attempts: u32) -> bool {
    let name = receiver.name.as_str();
    let mut pause = FIRST_PAUSE;
    for left in (0..attempts).rev() {
        let failure = match tell(receiver, message).await {
            Ok(answer) => {
                debug!(receiver = name, answer, "a notification was delivered");
                let mut was_failing = false;
                tally.count(|counts| {
                    counts.sent += 1;
                    counts.sent_ms = Some(now_ms());
                    was_failing = counts.failing.take().is_some();
                });
                if was_failing {
                    info!(receiver = name, "notifications are delivered again");
                }
                return true;
            }
            Err(failure) => failure,
        };
        let is_last = left == 0 || failure.retry == Retry::Never;
        let mut is_new = false;
        tally.count(|counts| {
            counts.failed += 1;
            counts.given_up += u64::from(is_last);
            is_new = counts.failing.replace(failure.why.clone()).is_none();
        });
        let why = failure.why.as_str();
        if is_last {
            error!(
                receiver = name,
                why, "a notification could not be delivered; the next one says so"
            );
            return false;
        }
        if is_new {
            warn!(
                receiver = name,
                why, "a notification was not delivered, and is tried again"
            );
        }
        let wait = match failure.retry {
            Retry::After(seconds) => Duration::from_secs(seconds).clamp(pause, LONGEST_PAUSE),
            _ => pause,
        };
        tokio::time::sleep(wait).await;
        pause *= 2;
    }
    false
}

/// One attempt, on a thread that may block.
pub(super) async fn tell(receiver: &Arc<Receiver>, message: &Arc<Message>) -> Result<String, Failure> {
    let (receiver, message) = (receiver.clone(), message.clone());
    let told = tokio::task::spawn_blocking(move || receiver.tell(&message)).await;
    told.unwrap_or_else(|error| {
        Err(Failure {
            why: format!("telling it died: {error}"),
            retry: Retry::Never,
        })
    })
}

async fn pending_or(delivery: &mut Option<Delivery>) -> (Summary, bool) {
    match delivery {
        Some(delivery) => delivery.await,
        None => std::future::pending().await,
    }
}

/// Waits until `due_ms` of the clock that only moves forward.
async fn until(due_ms: Option<i64>) {
    let Some(due_ms) = due_ms else {
        return std::future::pending().await;
    };
    let wait_ms = due_ms.saturating_sub(moment().boot_ms);
    tokio::time::sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))).await;
}
