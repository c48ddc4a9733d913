//! Fewer entries that say the same.

use std::collections::{BTreeMap, HashMap, hash_map};

use ipnet::IpNet;
use secbeat_common::prefix::Prefix;

use super::list::{About, Listed};

/// Most bytes of the note of networks that were merged.
const MAX_JOINED: usize = 200;

/// One entry for each network and layer, the one that lasts longest, with the most strikes of any. Returns how many others there were.
pub fn distinct(entries: &mut Vec<Listed>, now_ms: i64) -> usize {
    let before = entries.len();
    let end = |entry: &Listed| entry.about.end.map_or(i64::MAX, |end| end.ms(now_ms));
    let mut first: HashMap<(Prefix, Option<&'static str>), usize> = HashMap::new();
    let mut kept: Vec<Listed> = Vec::with_capacity(before);
    for entry in entries.drain(..) {
        let layer = entry.about.layer.map(|layer| layer.name());
        match first.entry((entry.network, layer)) {
            hash_map::Entry::Occupied(known) => {
                if let Some(known) = kept.get_mut(*known.get()) {
                    let strikes = known.about.strikes.max(entry.about.strikes);
                    if end(&entry) > end(known) {
                        known.about = entry.about;
                    }
                    known.about.strikes = strikes;
                }
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(kept.len());
                kept.push(entry);
            }
        }
    }
    *entries = kept;
    before - entries.len()
}

/// Merges adjacent networks, and leaves out those within others, where they end at the same time and say the same but for their
/// notes, which are joined. What would become wider than may be banned stays as it was.
pub fn aggregate(entries: Vec<Listed>, now_ms: i64) -> Vec<Listed> {
    let mut groups: BTreeMap<_, Vec<Listed>> = BTreeMap::new();
    for entry in entries {
        let About {
            end,
            reason,
            layer,
            strikes,
            ..
        } = &entry.about;
        let key = (
            end.map(|end| end.ms(now_ms)),
            reason.map(|reason| reason.name().to_owned()),
            layer.map(|layer| layer.name()),
            *strikes,
        );
        groups.entry(key).or_default().push(entry);
    }
    let mut merged: Vec<_> = groups.into_values().flat_map(together).collect();
    merged.sort_by_key(|entry| entry.line);
    merged
}

fn together(mut group: Vec<Listed>) -> Vec<Listed> {
    group.sort_by_key(|entry| (entry.network.addr(), entry.network.len()));
    let nets = group
        .iter()
        .filter_map(|entry| IpNet::new(entry.network.addr(), entry.network.len()).ok());
    let nets = IpNet::aggregate(&nets.collect());
    let mut wider: Vec<_> = nets
        .iter()
        .filter_map(|net| Prefix::new(net.addr(), net.prefix_len()).ok())
        .collect();
    wider.sort();
    let mut entries = Vec::new();
    let mut rest = group.into_iter().peekable();
    for network in wider {
        let mut parts = Vec::new();
        while let Some(part) = rest.next_if(|entry| network.covers(&entry.network)) {
            parts.push(part);
        }
        let is_refused = network.unbannable().is_some() && parts.iter().all(|part| part.network != network);
        match (parts.len(), parts.first()) {
            (0 | 1, _) => entries.append(&mut parts),
            _ if is_refused => entries.append(&mut parts),
            (_, None) => {}
            (_, Some(first)) => entries.push(Listed {
                line: parts.iter().map(|part| part.line).min().unwrap_or_default(),
                network,
                about: About {
                    note: joined(parts.iter().map(|part| part.about.note.as_str())),
                    ..first.about.clone()
                },
            }),
        }
    }
    entries.extend(rest);
    entries
}

/// Returns what notes say, each once.
fn joined<'a>(notes: impl Iterator<Item = &'a str>) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    let mut left_out = 0;
    let mut len = 0;
    for note in notes.filter(|note| !note.is_empty()) {
        if distinct.contains(&note) {
            continue;
        }
        if distinct.is_empty() || len + note.len() <= MAX_JOINED {
            len += note.len() + 2;
            distinct.push(note);
        } else {
            left_out += 1;
        }
    }
    let joined = distinct.join("; ");
    match left_out {
        0 => joined,
        _ => format!("{joined}; …"),
    }
}
