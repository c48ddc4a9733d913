//! One look at a source: what it has, what of that would be taken, and what that would change.

use secbeat_bus::pack;
use secbeat_common::{
    prefix::Prefix,
    wire::{FeedContent, FleetFeed, MAX_FEED_BYTES},
};
use secbeat_daemon::{
    http::{Got, Validators},
    time::now_ms,
};
use secbeat_lists::changes;

use super::{
    entry::FeedEntry,
    fetch::{fetch, unpacked},
    sift::{Sifted, sift},
};

/// What a source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// What it had.
    Unchanged,
    /// A list that is taken.
    Taken(Box<Taken>),
    /// Something that is not taken.
    Refused(String),
    /// Nothing came.
    Unreadable(String),
}

/// A list that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) sifted: Sifted,
    pub(super) packed: Vec<u8>,
    settings: u64,
    pub(super) validators: Validators,
}

impl Taken {
    /// Returns what is known of it at its `place` on the bus, since `taken_at_ms`. Networks of `before` that it does not have
    /// were removed.
    pub(super) fn content(&self, place: &FeedContent, before: &[Prefix], taken_at_ms: i64) -> FeedContent {
        let Sifted {
            networks,
            format,
            entries,
            invalid,
            unusable,
            ..
        } = &self.sifted;
        let ipv4 = networks.partition_point(|network| network.addr().is_ipv4());
        let (added, removed) = changes(before, networks);
        FeedContent {
            settings: self.settings,
            networks_v4: count(ipv4),
            networks_v6: count(networks.len() - ipv4),
            format: format.clone(),
            taken_at_ms,
            entries: count(*entries),
            invalid: count(*invalid),
            unusable: count(*unusable),
            added: count(added.len()),
            removed: count(removed.len()),
            ..place.clone()
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Looks at the source of `entry`, of which `known` was taken before. Whatever is forced is taken, unless it is not a list.
/// Blocks.
pub(super) fn look(entry: &FeedEntry, known: Option<&FleetFeed>, is_forced: bool) -> Looked {
    let content = known.and_then(|known| known.content.as_ref());
    let is_sifted_so = content.is_some_and(|content| content.settings == entry.settings());
    let validators = match known {
        Some(known) if is_sifted_so && !is_forced => Validators {
            etag: known.etag.clone(),
            last_modified: known.last_modified.clone(),
        },
        _ => Validators::default(),
    };
    let (body, validators) = match fetch(entry, &validators) {
        Ok(Got::Unchanged) => return Looked::Unchanged,
        Ok(Got::New { body, validators }) => (body, validators),
        Err(why) => return Looked::Unreadable(why),
    };
    // Another list than that of before is not measured by it.
    let is_same = known.is_some_and(|known| known.source == entry.place().to_string());
    let before = content
        .filter(|_| is_same && !is_forced)
        .map_or(0, |content| content.entries as usize);
    let taken = unpacked(body).and_then(|list| {
        let sifted = sift(&list, entry, before, now_ms())?;
        let packed = pack(&sifted.networks).map_err(|error| error.to_string())?;
        if packed.len() as u64 > MAX_FEED_BYTES {
            return Err(format!(
                "its networks take {} bytes, {MAX_FEED_BYTES} at most",
                packed.len()
            ));
        }
        Ok(Taken {
            sifted,
            packed,
            settings: entry.settings(),
            validators,
        })
    });
    taken.map_or_else(Looked::Refused, |taken| Looked::Taken(Box::new(taken)))
}

/// Looks at the list at `place`, a URL or a file, as at a feed with defaults. Blocks.
///
/// # Errors
///
/// Why it would not be taken.
pub(crate) fn try_here(place: &str) -> Result<Sifted, String> {
    if let Some((scheme, _)) = place.split_once("://")
        && !matches!(scheme, "http" | "https")
    {
        return Err(format!(
            "{place}: `{scheme}://` is not supported: name a URL with https://, or the path of a file"
        ));
    }
    let entry = FeedEntry::trial(place);
    super::check(std::slice::from_ref(&entry)).map_err(|(_, why)| why)?;
    match look(&entry, None, false) {
        Looked::Taken(taken) => Ok(taken.sifted),
        Looked::Refused(why) => Err(format!("{place}: not taken: {why}")),
        Looked::Unreadable(why) => Err(format!("{place}: {why}")),
        Looked::Unchanged => Err(format!("{place}: it answered as if it had been asked before")),
    }
}
