//! Building a table from the networks in it.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    BODY, FRONT_V4, INDEX_V4, INDEX_V6, LIVE, Line, MAGIC, RECORDS, Record, V4, V6, WORDS, view::bounds,
};
use crate::{
    maps::{Ban, NetKey},
    prefix::Prefix,
};

/// Where an owner begins: from this address on, up to the next stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first: u128,
    /// The line of a record, or 0.
    owner: u32,
}

/// Builds the table of these networks: [`BODY`] words (4.5 MiB), and 64 to 80 bytes for an IPv4 network, up to 128 for one of IPv6.
#[must_use]
pub fn build(nets: &BTreeMap<Prefix, Ban>) -> Vec<Line> {
    // IPv4 comes first, as the order of prefixes has it.
    let is_v4 = |net: &&Prefix| net.addr().is_ipv4();
    let count_v4 = nets.keys().take_while(is_v4).count();
    // What the networks cut is known only when they are cut, and where the records come is behind that: owners are numbered first.
    let numbered = || (1_u32..).zip(nets.keys());
    let v4 = stretches(numbered().take(count_v4), u128::from(u32::MAX));
    let v6 = stretches(numbered().skip(count_v4), u128::MAX);
    let first_v4 = BODY;
    let first_v6 = (first_v4 + v4.len() as u32).next_multiple_of(WORDS as u32) / 4;
    let first_record = (first_v6 * 4 + v6.len() as u32 * 4).div_ceil(WORDS as u32);
    let owner = |number: u32| match number {
        0 => 0,
        number => first_record + number - 1,
    };

    let mut words = vec![0_u64; first_record as usize * WORDS];
    words[0] = MAGIC;
    words[RECORDS..RECORDS + 2].copy_from_slice(&[u64::from(first_record), nets.len() as u64]);
    words[V4..V4 + 2].copy_from_slice(&[u64::from(first_v4), v4.len() as u64]);
    words[V6..V6 + 2].copy_from_slice(&[u64::from(first_v6), v6.len() as u64]);
    for (at, stretch) in (first_v4 as usize..).zip(&v4) {
        words[at] = (stretch.first as u64) << 32 | u64::from(owner(stretch.owner));
    }
    for (at, stretch) in (first_v6 as usize..).zip(&v6) {
        let four = [
            (stretch.first >> 64) as u64,
            stretch.first as u64,
            u64::from(owner(stretch.owner)),
            0,
        ];
        words[at * 4..at * 4 + 4].copy_from_slice(&four);
    }
    touch(&mut words, &v4);
    let index_v4 = &mut words[INDEX_V4 as usize..INDEX_V6 as usize];
    index(index_v4, &v4, first_v4, 16);
    let index_v6 = &mut words[INDEX_V6 as usize..BODY as usize];
    index(index_v6, &v6, first_v6, 110);

    let (lines, _) = words.as_chunks::<WORDS>();
    let mut lines: Vec<_> = lines.iter().map(|words| Line { words: *words }).collect();
    lines.extend(nets.iter().map(|(net, ban)| {
        Record {
            key: net.net_key(),
            state: LIVE,
            ban: *ban,
        }
        .to_line()
    }));
    lines
}

/// Cuts the address space up to `last` at the ends of the networks, which are sorted: the wider one first of two that begin alike.
fn stretches<'a>(nets: impl Iterator<Item = (u32, &'a Prefix)>, last: u128) -> Vec<Stretch> {
    let mut stretches = vec![Stretch { first: 0, owner: 0 }];
    let mut cut = |first: u128, owner: u32| match stretches.last_mut() {
        Some(before) if before.first == first => before.owner = owner,
        Some(before) if before.owner == owner => {}
        _ => stretches.push(Stretch { first, owner }),
    };
    // Those that the sweep is in, the innermost last: where each ends, and its number.
    let mut around: Vec<(u128, u32)> = Vec::new();
    let leave = |around: &mut Vec<(u128, u32)>, before: Option<u128>, cut: &mut dyn FnMut(u128, u32)| {
        while let Some((end, _)) = around.pop_if(|(end, _)| before.is_none_or(|before| *end < before)) {
            if end < last {
                cut(end + 1, around.last().map_or(0, |(_, owner)| *owner));
            }
        }
    };
    for (number, net) in nets {
        let (first, end) = bounds(net);
        leave(&mut around, Some(first), &mut cut);
        cut(first, number);
        around.push((end, number));
    }
    leave(&mut around, None, &mut cut);
    stretches
}

/// Sets the bits of the /24s that owned stretches touch.
fn touch(words: &mut [u64], stretches: &[Stretch]) {
    let ends = stretches.iter().skip(1).map(|next| next.first - 1);
    for (stretch, end) in stretches.iter().zip(ends.chain([u128::from(u32::MAX)])) {
        if stretch.owner == 0 {
            continue;
        }
        let (first, last) = (stretch.first as u32 >> 8, end as u32 >> 8);
        for word in first >> 6..=last >> 6 {
            let (from, to) = (first.saturating_sub(word << 6), (last - (word << 6)).min(63));
            words[(FRONT_V4 + word) as usize] |= u64::MAX << from & u64::MAX >> (63 - to);
        }
    }
}

/// Notes for each block of `1 << shift` addresses which stretches begin in it, of those that lie from `at` on; 0 for a block in which
/// nothing is owned.
fn index(blocks: &mut [u64], stretches: &[Stretch], at: u32, shift: u32) {
    let mut low = 0;
    for (block, word) in (0_u128..).zip(blocks) {
        // The first one begins with the first block.
        let begins_here = |stretch: &Stretch| stretch.first >> shift == block;
        let high = low
            + stretches[low..]
                .iter()
                .take_while(|stretch| begins_here(stretch))
                .count();
        let reaches_in = low
            .checked_sub(1)
            .is_some_and(|before| stretches[before].owner != 0);
        if reaches_in || stretches[low..high].iter().any(|stretch| stretch.owner != 0) {
            *word = u64::from(at + high as u32) << 32 | u64::from(at + low as u32);
        }
        low = high;
    }
}

impl Record {
    /// As it lies in a table.
    #[must_use]
    pub fn to_line(&self) -> Line {
        let Self { key, state, ban } = self;
        let [k0, k1, k2, k3, middle @ .., k12, k13, k14, k15] = key.addr;
        let [l0, l1, l2, l3] = key.prefix_len.to_ne_bytes();
        let [s0, s1, s2, s3] = state.to_ne_bytes();
        let [t0, t1] = ban.strikes.to_ne_bytes();
        let [u0, u1, u2, u3] = ban.unallowed_in.to_ne_bytes();
        Line {
            words: [
                u64::from_ne_bytes([l0, l1, l2, l3, k0, k1, k2, k3]),
                u64::from_ne_bytes(middle),
                u64::from_ne_bytes([k12, k13, k14, k15, s0, s1, s2, s3]),
                ban.expires_jiffies,
                ban.expires_boot_ns,
                ban.dropped_packets,
                ban.dropped_bytes,
                u64::from_ne_bytes([ban.reason, ban.origin, t0, t1, u0, u1, u2, u3]),
            ],
        }
    }

    /// Returns what lies in a line of a table.
    #[must_use]
    pub fn from_line(line: &Line) -> Self {
        let [
            a,
            b,
            c,
            expires_jiffies,
            expires_boot_ns,
            dropped_packets,
            dropped_bytes,
            h,
        ] = line.words;
        let [l0, l1, l2, l3, k0, k1, k2, k3] = a.to_ne_bytes();
        let [m0, m1, m2, m3, m4, m5, m6, m7] = b.to_ne_bytes();
        let [k12, k13, k14, k15, s0, s1, s2, s3] = c.to_ne_bytes();
        let [reason, origin, t0, t1, u0, u1, u2, u3] = h.to_ne_bytes();
        Self {
            key: NetKey {
                prefix_len: u32::from_ne_bytes([l0, l1, l2, l3]),
                addr: [k0, k1, k2, k3, m0, m1, m2, m3, m4, m5, m6, m7, k12, k13, k14, k15],
            },
            state: u32::from_ne_bytes([s0, s1, s2, s3]),
            ban: Ban {
                expires_jiffies,
                expires_boot_ns,
                dropped_packets,
                dropped_bytes,
                reason,
                origin,
                strikes: u16::from_ne_bytes([t0, t1]),
                unallowed_in: u32::from_ne_bytes([u0, u1, u2, u3]),
            },
        }
    }

    /// The network; `None` for what no release writes.
    #[must_use]
    pub fn net(&self) -> Option<Prefix> {
        let NetKey { prefix_len, addr } = self.key;
        Prefix::new(IpAddr::from(addr), u8::try_from(prefix_len).ok()?).ok()
    }
}
