//! Directives of the fleet: which responses edges report one by one, by which prefixes clients are counted, which signatures are
//! looked for, and what the detector goes by.

#[cfg(test)]
mod tests;

use std::fmt::Display;

use secbeat_bus::{Bus, DirectiveBucket, Entry, EntryKind, Garbage, SignatureBucket, Update};
use secbeat_common::{
    sign::{Opened, Trust},
    sources::SourceLengths,
    subjects,
    wire::{Interest, TooInterested},
};
use tokio::{sync::watch, task::spawn_blocking};
use tracing::{info, warn};

use crate::{
    signatures::{FleetFile, NotTaken, Signatures},
    stand_in::DetectionRecord,
    telemetry::TelemetryFilter,
};

/// What follows directives.
#[derive(Clone, Debug)]
pub(crate) struct Directed {
    pub(crate) filter: TelemetryFilter,
    pub(crate) signatures: Signatures,
    /// Copy of the signatures that the fleet published.
    pub(crate) file: FleetFile,
    /// What goes by the fleet's word on the detector.
    pub(crate) heard: watch::Sender<Option<DetectionRecord>>,
}

/// Follows the directives for ever. Those that were read last hold while the bus is away.
pub(crate) async fn follow_directives(bus: Bus, directed: Directed, trust: Trust, garbage: &Garbage) {
    let mut follower = DirectiveBucket::follow(&bus);
    loop {
        let entries = match follower.next().await {
            Update::Held(entries) => entries,
            Update::Changed(entry) => vec![entry],
            Update::Begin(_) | Update::Complete => continue,
        };
        for entry in &entries {
            match entry.key.as_str() {
                subjects::SIGNATURES_KEY => take_signatures(entry, &directed, &trust, garbage).await,
                _ => take(entry, &directed.filter, &directed.heard, &trust, garbage),
            }
        }
    }
}

/// Keys that this release does not know are a later one's.
fn take(
    entry: &Entry,
    filter: &TelemetryFilter,
    heard: &watch::Sender<Option<DetectionRecord>>,
    trust: &Trust,
    garbage: &Garbage,
) {
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
                    info!(filters = interest.len(), "read telemetry filters");
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
                info!(%sources, "read source prefixes");
                filter.set_sources(sources);
            }
            Err(error) => report("what counts as one source", &error),
        },
        subjects::DETECTION_KEY => match DetectionRecord::open(&entry.value, trust) {
            Ok(told) => {
                info!(rules = told.orders.detect.rules.len(), "read rules");
                heard.send_replace(Some(told));
            }
            Err(error) => report("what the detector goes by", &error),
        },
        _ => {}
    }
}

/// Takes over what the fleet published of signatures, and keeps a copy.
async fn take_signatures(entry: &Entry, directed: &Directed, trust: &Trust, garbage: &Garbage) {
    if entry.kind != EntryKind::Put {
        return;
    }
    let report = |error: &dyn Display| garbage.report(&entry.key, "the fleet's signatures", error);
    let set = match SignatureBucket::open(&entry.value, trust) {
        Ok(opened) => {
            garbage.skip(opened.skipped);
            opened.command
        }
        Err(error) => return report(&error),
    };
    let (Directed { signatures, file, .. }, sealed) = (directed.clone(), entry.value.clone());
    // A matcher of many signatures takes a moment.
    let taken = spawn_blocking(move || {
        let is_news = signatures.publish(set)?;
        if is_news && let Err(error) = file.write(&sealed) {
            warn!("a restart without NATS will forget what the fleet published of signatures: {error}");
        }
        Ok::<_, NotTaken>(())
    });
    if let Ok(Err(error)) = taken.await {
        report(&error);
    }
}
