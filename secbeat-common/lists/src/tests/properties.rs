//! What holds of every list.

use std::collections::BTreeSet;

use clap::ValueEnum as _;
use proptest::prelude::*;
use secbeat_common::prefix::Prefix;

use super::*;

/// Bans of networks apart from each other, with all kinds of notes.
fn bans() -> impl Strategy<Value = Vec<BanEntry>> {
    let network = (0..=200_u8, 0..=255_u8, prop::bool::ANY).prop_map(|(high, low, is_v6)| match is_v6 {
        true => format!("2001:db8:{high:x}{low:02x}::/64"),
        false => format!("198.{high}.{low}.0/24"),
    });
    let network = network.prop_map(|net| net.parse::<Prefix>().unwrap().to_string());
    let ban = (
        network,
        prop::option::of(1..1_000_000_i64),
        ".{0,40}",
        prop::bool::ANY,
    );
    let ban = ban.prop_map(|(target, seconds, note, is_l7)| BanEntry {
        target,
        expires_at: seconds.map(|seconds| Timestamp::from_millisecond(NOW + 1000 * seconds).unwrap()),
        permanent: seconds.is_none(),
        reason: Some("error-flood".parse().unwrap()),
        layer: Some(if is_l7 { Layer::L7 } else { Layer::Kernel }),
        strikes: Some(1),
        note: note.trim().to_owned(),
        ..BanEntry::default()
    });
    prop::collection::btree_map(any::<u16>(), ban, 0..30).prop_map(|bans| {
        let mut seen = BTreeSet::new();
        bans.into_values()
            .filter(|ban| seen.insert(ban.target.clone()))
            .collect()
    })
}

fn networks(bans: &[BanEntry]) -> BTreeSet<Prefix> {
    bans.iter().map(|ban| ban.target.parse().unwrap()).collect()
}

proptest! {
    #[test]
    fn whatever_is_exported_is_imported_as_the_same_set(bans in bans()) {
        for layout in Layout::value_variants() {
            let text = written(*layout, &bans);
            let again = entries(&text);
            prop_assert_eq!(networks(&again), networks(&bans), "{:?}\n{}", layout, text);
        }
        // These say when bans end, too.
        for layout in [Layout::Ipset, Layout::Nft] {
            let again = entries(&written(layout, &bans));
            let ends = |bans: &[BanEntry]| bans.iter().map(|ban| (ban.target.clone(), end(ban))).collect::<BTreeSet<_>>();
            prop_assert_eq!(ends(&again), ends(&bans));
        }
    }

    #[test]
    fn no_bytes_break_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn no_text_of_parts_of_lists_breaks_a_reader(parts in prop::collection::vec(prop::sample::select(PARTS), 0..30)) {
        check(parts.concat().as_bytes());
    }
}

/// Parts of lists.
const PARTS: &[&str] = &[
    "198.51.100.7",
    "203.0.113.0/24",
    "2001:db8::1",
    "-",
    "/",
    ",",
    ";",
    "\t",
    "\n",
    "\r\n",
    " ",
    "|",
    "│",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    ":",
    "=",
    "#",
    "add a ",
    "create a hash:net",
    "elements = {",
    "set x {",
    "type ipv4_addr",
    "timeout ",
    "1h",
    "-1",
    "99999999999",
    "deny ",
    "allow ",
    "all",
    "ip,note\n",
    "{\"ip\":",
    "\"decisions\":",
    "\"prefixes\":",
    "Members:",
    "Status for the jail: x",
    "`- Banned IP list:\t",
    "255.255.255.0",
    "%eth0",
    "*",
    "Start\t",
    " - ",
    "é",
    "\u{202e}",
    "ExitAddress ",
    "-A X -s ",
    " -j DROP",
];
