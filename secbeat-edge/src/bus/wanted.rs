//! What the fleet's rules want of an edge's telemetry.

#[cfg(test)]
mod tests;

use std::fmt::Display;

use secbeat_bus::{Bus, DirectiveBucket, Entry, EntryKind, Garbage, Update};
use secbeat_common::{
    sign::{Opened, Trust},
    sources::SourceLengths,
    subjects,
    wire::{Interest, TooInterested},
};
use tracing::info;

use crate::telemetry::Wanted;

/// Follows what is wanted for ever. What was read last stays while the bus is away.
pub(crate) async fn watch_wanted(bus: Bus, wanted: Wanted, trust: Trust, garbage: &Garbage) {
    let mut follower = DirectiveBucket::follow(&bus);
    loop {
        let entries = match follower.next().await {
            Update::Held(entries) => entries,
            Update::Changed(entry) => vec![entry],
            Update::Begin(_) | Update::Complete => continue,
        };
        for entry in &entries {
            take(entry, &wanted, &trust, garbage);
        }
    }
}

/// Keys that this release does not know are a later one's.
fn take(entry: &Entry, wanted: &Wanted, trust: &Trust, garbage: &Garbage) {
    let report = |what: &str, error: &dyn Display| garbage.report(&entry.key, what, error);
    if entry.kind != EntryKind::Put {
        // Nobody removes it; what was read last stays.
        return;
    }
    match entry.key.as_str() {
        subjects::INTEREST_KEY => {
            let opened = trust.open::<Interest>(&entry.value).map_err(TooInterested::from);
            let checked = opened.and_then(|opened| {
                garbage.skip(opened.skipped);
                opened.command.checked()
            });
            match checked {
                Ok(interest) => {
                    info!(filters = interest.filters().len(), "read what rules ask for");
                    wanted.set_interest(interest);
                }
                Err(error) => report("what rules ask for", &error),
            }
        }
        subjects::SOURCES_KEY => match trust.open::<SourceLengths>(&entry.value) {
            Ok(Opened {
                command: sources,
                skipped,
                ..
            }) => {
                garbage.skip(skipped);
                info!(%sources, "read what counts as one source");
                wanted.set_sources(sources);
            }
            Err(error) => report("what counts as one source", &error),
        },
        _ => {}
    }
}
