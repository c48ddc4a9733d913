//! Accepted entries of a list, or the reason why there are none.

use jiff::tz::TimeZone;
use secbeat_common::{coverage::Coverage, prefix::Prefix, wire::MAX_FEED_NETWORKS};
use secbeat_lists::{Listed, Purpose, Ranges, Request};

use super::entry::{FeedEntry, FeedMode};

/// A list with a larger share of invalid lines is none: one in so many.
const INVALID: usize = 10;

/// The shortest prefixes that may be banned.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 19;

/// Networks that no client of the internet has (RFC 6890), beside those that nobody may ban.
const PRIVATE: [&str; 15] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "240.0.0.0/4",
    "0.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/4",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The networks of a list, and how it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sifted {
    /// Sorted, none within another, IPv4 first.
    pub(crate) networks: Vec<Prefix>,
    pub(crate) format: String,
    /// Networks that the list names, each once.
    pub(crate) entries: usize,
    pub(crate) invalid: usize,
    /// The first invalid line, and why.
    pub(crate) first_invalid: Option<String>,
    /// Entries that are excluded, not public, or must not be banned.
    pub(crate) unusable: usize,
}

/// Sifts `list`, which came in the place of one with so many entries.
///
/// # Errors
///
/// Why it is not taken.
pub(crate) fn sift(list: &[u8], entry: &FeedEntry, before: usize, now_ms: i64) -> Result<Sifted, String> {
    if is_page(list) {
        return Err("it is a page of HTML, and no list".to_owned());
    }
    let request = Request {
        format: entry.format,
        purpose: match entry.mode {
            FeedMode::Observe | FeedMode::Ban => Purpose::Bans,
            FeedMode::Allow => Purpose::Allowlist,
        },
        zone: TimeZone::UTC,
    };
    let reading = secbeat_lists::read(list, &request)?;
    let first_invalid = reading.bad.first().map(ToString::to_string);
    let lasting = |listed: &&Listed| listed.about.end.is_none_or(|end| end.ms(now_ms) > now_ms);
    let mut listed: Vec<_> = reading
        .entries
        .iter()
        .filter(lasting)
        .map(|listed| listed.network)
        .collect();
    let (lines, invalid) = (listed.len(), reading.bad.len());
    // A list that says one thing many times is as short as one that says it once.
    listed.sort();
    listed.dedup();
    let entries = listed.len();
    if entries == 0 {
        let why = first_invalid.map_or_else(String::new, |first| format!("; line {first}"));
        return Err(format!("it has no entry{why}"));
    }
    if invalid * INVALID > lines + invalid {
        let first = first_invalid.unwrap_or_default();
        return Err(format!(
            "{invalid} of {} lines are invalid; line {first}",
            lines + invalid
        ));
    }
    if entry.min_share.forbids(entries, before) {
        return Err(format!("it has {entries} entries, and had {before}"));
    }
    // What is not public is cut out of wider networks.
    let private: &[&str] = if entry.include_private { &[] } else { &PRIVATE };
    let private = private.iter().filter_map(|network| network.parse().ok());
    let left_out = Ranges::of(entry.exclude.iter().copied().chain(private));
    let is_left = |network: &&Prefix| !left_out.covers(network);
    if let Some(wide) = listed.iter().filter(is_left).find(|network| is_wide(network)) {
        return Err(format!(
            "{wide} is wider than what may be banned (/{WIDEST_V4} of IPv4, /{WIDEST_V6} of IPv6)"
        ));
    }
    let is_usable = |network: &Prefix| network.unbannable().is_none() && !left_out.covers(network);
    let usable: Vec<_> = listed.into_iter().filter(is_usable).collect();
    let unusable = entries - usable.len();
    let networks = Ranges::of(usable)
        .without(&left_out)
        .networks_from(WIDEST_V4, WIDEST_V6);
    let parts = Coverage::of(networks.iter().copied());
    if let Some(wide) = parts.into_iter().find(|part| part.is_wide()) {
        return Err(format!(
            "its networks together are {} % of the {} addresses that clients have: a quarter is too much for any list",
            wide.percent(),
            wide.family
        ));
    }
    if networks.is_empty() {
        return Err(format!(
            "all of its {entries} entries are excluded, or not public"
        ));
    }
    if networks.len() > MAX_FEED_NETWORKS {
        return Err(format!(
            "it has {} networks, {MAX_FEED_NETWORKS} at most",
            networks.len()
        ));
    }
    Ok(Sifted {
        networks,
        format: reading.format,
        entries,
        invalid,
        first_invalid,
        unusable,
    })
}

/// Whether so wide a network can only be a mistake.
fn is_wide(network: &Prefix) -> bool {
    network.len()
        < if network.addr().is_ipv4() {
            WIDEST_V4
        } else {
            WIDEST_V6
        }
}

fn is_page(list: &[u8]) -> bool {
    let text = list
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(list)
        .trim_ascii_start();
    let begins = |tag: &str| {
        let first = text.get(..tag.len());
        first.is_some_and(|first| first.eq_ignore_ascii_case(tag.as_bytes()))
    };
    ["<!doctype html", "<html", "<head", "<body", "<script"]
        .into_iter()
        .any(begins)
}
