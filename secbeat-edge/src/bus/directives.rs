//! Directives of the fleet: which responses edges report one by one, and by which prefixes clients are counted.

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

use crate::telemetry::TelemetryFilter;

/// Follows the directives for ever. Those that were read last hold while the bus is away.
pub(crate) async fn follow_directives(bus: Bus, filter: TelemetryFilter, trust: Trust, garbage: &Garbage) {
    let mut follower = DirectiveBucket::follow(&bus);
    loop {
        let entries = match follower.next().await {
            Update::Held(entries) => entries,
            Update::Changed(entry) => vec![entry],
            Update::Begin(_) | Update::Complete => continue,
        };
        for entry in &entries {
            take(entry, &filter, &trust, garbage);
        }
    }
}

/// Keys that this release does not know are a later one's.
fn take(entry: &Entry, filter: &TelemetryFilter, trust: &Trust, garbage: &Garbage) {
    let report = |what: &str, error: &dyn Display| garbage.report(&entry.key, what, error);
    if entry.kind != EntryKind::Put {
        // Orchestrators never remove a directive; the one that was read last holds.
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
                    info!(filters = interest.len(), "read what rules ask for");
                    filter.set_interest(interest);
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
                filter.set_sources(sources);
            }
            Err(error) => report("what counts as one source", &error),
        },
        _ => {}
    }
}
