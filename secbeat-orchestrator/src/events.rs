//! Live events of the fleet: a bounded history that any number of readers follow, each at its own pace.
//! Nobody who writes waits for a reader; a reader that falls behind the history is told how much it missed.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, fmt, str::FromStr, sync::Arc};

use parking_lot::Mutex;
use secbeat_daemon::time::now_ms;
use tokio::sync::watch;

/// Events kept for readers that come back.
const HISTORY: usize = 10_000;

/// Identifier of an event: the process that reported it, by its start in milliseconds since the Unix epoch, and a number in it from 0 on.
/// As text `1795168807000-17`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventId {
    process: i64,
    number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.process, self.number)
    }
}

impl FromStr for EventId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (process, number) = text.split_once('-')?;
            Some(Self {
                process: process.parse().ok()?,
                number: number.parse().ok()?,
            })
        };
        parse().ok_or_else(|| format!("invalid event id `{text}`"))
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// Resumes the stream after this event.
    pub id: EventId,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub what: T,
}

/// The next item of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextEvent<T> {
    Event(Arc<Event<T>>),
    /// It came too late for so many events; `None` if they were another process's.
    Lagged(Option<u64>),
}

/// Where events go and come from; clones share them.
#[derive(Debug)]
pub(crate) struct Events<T> {
    process: i64,
    history: Arc<Mutex<History<T>>>,
    /// The number of the next event; closed at the daemon's end.
    next: Arc<watch::Sender<Next>>,
}

#[derive(Debug)]
struct History<T> {
    events: VecDeque<Arc<Event<T>>>,
    /// The number of the oldest event kept.
    first: u64,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    number: u64,
    ended: bool,
}

impl<T> Clone for Events<T> {
    fn clone(&self) -> Self {
        Self {
            process: self.process,
            history: self.history.clone(),
            next: self.next.clone(),
        }
    }
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        Self::new(HISTORY, now_ms())
    }
}

impl<T> Events<T> {
    /// Keeps the last `capacity` events of the process that started at `process`, milliseconds since the Unix epoch.
    #[must_use]
    pub(crate) fn new(capacity: usize, process: i64) -> Self {
        Self {
            process,
            history: Arc::new(Mutex::new(History {
                events: VecDeque::new(),
                first: 0,
                capacity,
            })),
            next: Arc::new(watch::Sender::new(Next {
                number: 0,
                ended: false,
            })),
        }
    }

    /// Tells all readers. Never waits for one.
    pub(crate) fn tell(&self, what: T) {
        let mut history = self.history.lock();
        let id = EventId {
            process: self.process,
            number: history.first + history.events.len() as u64,
        };
        if history.events.len() == history.capacity {
            history.events.pop_front();
            history.first += 1;
        }
        history.events.push_back(Arc::new(Event {
            id,
            at_ms: now_ms(),
            what,
        }));
        self.next.send_modify(|next| next.number += 1);
    }

    /// Ends all readers once they have read what there is.
    pub(crate) fn end(&self) {
        self.next.send_modify(|next| next.ended = true);
    }

    /// A reader of what comes from now on, or of what came after an event that it has seen.
    #[must_use]
    pub(crate) fn follow(&self, after: Option<EventId>) -> Reader<T> {
        let news = self.next.subscribe();
        let next = news.borrow().number;
        let (position, stranger) = match after {
            None => (next, false),
            Some(EventId { process, number }) if process == self.process => {
                (number.saturating_add(1).min(next), false)
            }
            Some(_) => (0, true),
        };
        Reader {
            history: self.history.clone(),
            news,
            position,
            stranger,
        }
    }
}

/// One reader.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    history: Arc<Mutex<History<T>>>,
    news: watch::Receiver<Next>,
    /// The number of the event to be read next.
    position: u64,
    /// It comes from another process, and has not been told what that means.
    stranger: bool,
}

impl<T> Reader<T> {
    /// Returns what comes next; `None` at the daemon's end.
    pub(crate) async fn next(&mut self) -> Option<NextEvent<T>> {
        let position = self.position;
        if !self.stranger {
            self.news
                .wait_for(|next| next.number > position || next.ended)
                .await
                .ok()?;
        }
        let history = self.history.lock();
        if std::mem::take(&mut self.stranger) {
            self.position = history.first;
            return Some(NextEvent::Lagged(None));
        }
        if let Some(missed @ 1..) = history.first.checked_sub(position) {
            self.position = history.first;
            return Some(NextEvent::Lagged(Some(missed)));
        }
        let index = usize::try_from(position - history.first).ok()?;
        let event = history.events.get(index)?.clone();
        self.position += 1;
        Some(NextEvent::Event(event))
    }
}
