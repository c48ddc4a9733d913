//! Consequences of a look at a source: the next record of the feed, when it is asked again, and what the log says.

use std::hash::{Hash as _, Hasher as _};

use secbeat_common::wire::{FeedContent, FeedTrouble, FleetFeed, MAX_FEED_TEXT};
use tracing::{info, warn};

use super::{entry::FeedEntry, look::Looked};

/// Pause after a first attempt that failed, in milliseconds; it doubles with each further one.
const RETRY_MS: i64 = 60_000;

/// Returns when `entry`, of which `known` is the record, is to be asked next.
pub(super) fn next_ms(entry: &FeedEntry, known: Option<&FleetFeed>) -> i64 {
    let Some(known) = known else {
        return 0;
    };
    match known.asked == entry.asked() {
        true => known.next_at_ms,
        false => 0,
    }
}

/// The record of `entry` after a look at its source at `now_ms`.
pub(super) fn next_record(
    entry: &FeedEntry,
    known: Option<&FleetFeed>,
    looked: &Looked,
    content: Option<FeedContent>,
    now_ms: i64,
) -> FleetFeed {
    let mut next = known.cloned().unwrap_or_default();
    next.name.clone_from(&entry.name);
    next.source = cut(&entry.place().to_string());
    next.asked = entry.asked();
    next.every_ms = entry.every_ms();
    next.ttl_ms = entry.ttl_ms();
    next.changed_at_ms = now_ms.max(next.changed_at_ms + 1);
    next.tried_at_ms = now_ms;
    let trouble = match looked {
        Looked::Unchanged | Looked::Taken(_) => None,
        Looked::Refused(why) => Some((why, true)),
        Looked::Unreadable(why) => Some((why, false)),
    };
    next.trouble = trouble.map(|(why, is_refused)| {
        let before = next.trouble.take();
        FeedTrouble {
            why: cut(why),
            is_refused,
            since_ms: before.as_ref().map_or(now_ms, |before| before.since_ms),
            attempts: before.map_or(0, |before| before.attempts).saturating_add(1),
        }
    });
    match looked {
        Looked::Taken(taken) => {
            next.etag.clone_from(&taken.validators.etag);
            next.last_modified.clone_from(&taken.validators.last_modified);
            next.content = content;
            next.fresh_at_ms = now_ms;
        }
        Looked::Unchanged => next.fresh_at_ms = now_ms,
        // The last list counts on.
        Looked::Refused(_) | Looked::Unreadable(_) => {}
    }
    // A list of another source, or for something else, keeps the verdict that was meant for it until the next one comes.
    if next
        .content
        .as_ref()
        .is_none_or(|content| content.settings == entry.settings())
    {
        next.verdict = entry.mode.into();
    }
    next.ends_at_ms = next.fresh_at_ms.saturating_add(entry.ttl_ms());
    next.next_at_ms = now_ms.saturating_add(match &next.trouble {
        None => jittered(entry, now_ms),
        Some(trouble) => pause_ms(trouble.attempts).min(entry.every_ms()),
    });
    next
}

/// Pause after so many attempts that failed.
fn pause_ms(attempts: u32) -> i64 {
    let doublings = attempts.saturating_sub(1).min(20);
    RETRY_MS.saturating_mul(1 << doublings)
}

/// Up to a tenth later than configured, so that not all fleets ask at once.
fn jittered(entry: &FeedEntry, now_ms: i64) -> i64 {
    let mut hasher = ahash::AHasher::default();
    (&entry.name, now_ms, std::process::id()).hash(&mut hasher);
    let tenth = (entry.every_ms() / 10).max(1).unsigned_abs();
    entry.every_ms().saturating_add_unsigned(hasher.finish() % tenth)
}

fn cut(text: &str) -> String {
    let end = text
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| *at > MAX_FEED_TEXT - 4);
    end.map_or_else(
        || text.to_owned(),
        |end| text.get(..end).unwrap_or_default().to_owned(),
    )
}

pub(super) fn tell(feed: &FleetFeed, before: Option<&FleetFeed>) {
    let name = &feed.name;
    let had_trouble = before.is_some_and(|before| before.trouble.is_some());
    match (&feed.trouble, &feed.content) {
        (Some(trouble), content) => {
            let kept = match content {
                Some(content) => format!("the last list counts, with {} networks", content.networks()),
                None => "there is no list".to_owned(),
            };
            let what = if trouble.is_refused {
                "was not taken"
            } else {
                "could not be read"
            };
            warn!(
                feed = name,
                attempts = trouble.attempts,
                "the list {what}, and {kept}: {}",
                trouble.why
            );
        }
        (None, Some(content)) => {
            let old = before.and_then(|before| before.content.as_ref());
            if had_trouble || old.is_none_or(|old| old.digest != content.digest) {
                info!(
                    feed = name,
                    mode = feed.verdict.name(),
                    networks = content.networks(),
                    added = content.added,
                    removed = content.removed,
                    invalid = content.invalid,
                    "a list was taken"
                );
            }
        }
        (None, None) => {}
    }
}
