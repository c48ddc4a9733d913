//! What the program should do, told naïvely: the host build of its parser over ordinary maps, and no memory of floods.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use secbeat_common::{
    maps::{Ban, ClockReading, Counter, DropEvent, Settings, mode, nets},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_ebpf::{
    oracle,
    parse::{NoSource, Source},
};

use crate::lab::bpf::Counters;

pub const XDP_DROP: u32 = 1;
pub const XDP_PASS: u32 = 2;

/// Packets of one ban between two looks at the boot clock, as the program has it.
const BOOT_CHECK_EVERY: u64 = 64;

/// A filter made of ordinary maps.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By source: an IPv4 /32 or an IPv6 /64.
    pub bans: BTreeMap<Prefix, Ban>,
    /// Those in the trie.
    pub nets: BTreeMap<Prefix, Ban>,
    /// Those in the table.
    pub tabled: BTreeMap<Prefix, Ban>,
    pub allowed: BTreeSet<Prefix>,
    pub settings: Settings,
    pub counters: Counters,
    /// Sent since they were last taken, with no time in them.
    pub events: Vec<DropEvent>,
}

/// The source of `packet` as the host build of the parser sees it.
///
/// # Errors
///
/// As the parser.
pub fn host_source(packet: &[u8]) -> Result<IpAddr, NoSource> {
    oracle::source_of(packet).map(|source| match source {
        Source::V4(octets) => octets.into(),
        Source::V6(octets) => octets.into(),
    })
}

/// A packet on its way through the model.
struct Met {
    /// As the tries have it.
    address: Ipv6Addr,
    bytes: u64,
    now: ClockReading,
    allowed: bool,
}

impl Model {
    /// Judges `packet` at the instant `now`, counts it, and says what becomes of it.
    pub fn judge(&mut self, packet: &[u8], now: ClockReading) -> (Verdict, u32) {
        let bytes = packet.len() as u64;
        let verdict = match oracle::source_of(packet) {
            Err(NoSource::NotIp) => Verdict::NotIp,
            Err(NoSource::Malformed) => Verdict::Malformed,
            Ok(source) => self.judge_source(source, bytes, now),
        };
        let counter: &mut Counter = &mut self.counters[verdict as usize];
        counter.packets += 1;
        counter.bytes += bytes;
        let action = if verdict == Verdict::Banned {
            XDP_DROP
        } else {
            XDP_PASS
        };
        (verdict, action)
    }

    fn judge_source(&mut self, source: Source, bytes: u64, now: ClockReading) -> Verdict {
        let (key, address) = match source {
            Source::V4(octets) => {
                let address = Ipv4Addr::from(octets);
                (Prefix::host(address.into()), address.to_ipv6_mapped())
            }
            Source::V6(octets) => match client_of_translator(octets) {
                Some(v4) => (Prefix::host(v4.into()), v4.to_ipv6_mapped()),
                None => (slash_64(octets), octets.into()),
            },
        };
        let met = Met {
            address,
            bytes,
            now,
            allowed: self.allowed.iter().any(|net| lies_in(address, net)),
        };
        let (settings, events) = (&self.settings, &mut self.events);
        let own = self.bans.get_mut(&key);
        let own = own.map(|ban| judge_ban(ban, &met, settings, events));
        if let Some(verdict) = own.filter(|verdict| *verdict != Verdict::Expired) {
            return verdict;
        }
        let is_v4 = address.to_ipv4_mapped().is_some();
        let looks_into = |bit| settings.nets_in_use & bit != 0;
        let in_trie = self.nets.iter_mut().filter(|_| looks_into(nets::TRIE));
        let in_trie = longest(in_trie.filter(|(net, _)| lies_in(address, net)));
        // A table keeps the families apart, and takes an IPv4 address for one also where an IPv6 packet has it.
        let in_table = self.tabled.iter_mut().filter(|_| looks_into(nets::TABLE));
        let in_table = in_table.filter(|(net, _)| net.addr().is_ipv4() == is_v4 && lies_in(address, net));
        let in_table = longest(in_table);
        let net = match in_trie {
            Some(ban) if !has_ended(ban, &met.now) => Some(ban),
            ended => in_table.or(ended),
        };
        let net = net.map(|ban| judge_ban(ban, &met, settings, events));
        net.or(own).unwrap_or(Verdict::Clean)
    }

    /// What has been sent since this was last asked.
    pub fn take_events(&mut self) -> Vec<DropEvent> {
        std::mem::take(&mut self.events)
    }
}

fn longest<'a>(nets: impl Iterator<Item = (&'a Prefix, &'a mut Ban)>) -> Option<&'a mut Ban> {
    nets.max_by_key(|(net, _)| net.net_key().prefix_len)
        .map(|(_, ban)| ban)
}

/// The program looks at the boot clock also whenever it has just forgotten the source of a flood. That is no
/// difference as long as tests have only ends that are long past, or never come.
fn has_ended(ban: &Ban, now: &ClockReading) -> bool {
    let looks_at_boot_clock = ban.dropped_packets.is_multiple_of(BOOT_CHECK_EVERY);
    now.jiffies >= ban.expires_jiffies || (looks_at_boot_clock && now.boot_ns >= ban.expires_boot_ns)
}

fn judge_ban(ban: &mut Ban, met: &Met, settings: &Settings, events: &mut Vec<DropEvent>) -> Verdict {
    let before = ban.dropped_packets;
    if has_ended(ban, &met.now) {
        return Verdict::Expired;
    }
    // The stamp is believed, also where it is wrong.
    let stamped = ban.unallowed_in != 0 && ban.unallowed_in == settings.allow_generation;
    if met.allowed && !stamped {
        return Verdict::Allowed;
    }
    ban.dropped_packets += 1;
    ban.dropped_bytes += met.bytes;
    let verdict = match settings.mode {
        mode::OBSERVE => Verdict::Observed,
        _ => Verdict::Banned,
    };
    let every = u64::from(settings.event_every);
    if every != 0 && (before == 0 || ban.dropped_packets.is_multiple_of(every)) {
        events.push(DropEvent {
            boot_ns: 0,
            dropped_packets: ban.dropped_packets,
            source: met.address.octets(),
            bytes: met.bytes as u32,
            verdict: verdict as u16,
            reason: ban.reason,
            origin: ban.origin,
        });
    }
    verdict
}

/// The source that an IPv6 sender counts as. An IPv4-mapped address (`::ffff:a.b.c.d`) in an IPv6 header is one of
/// ::/64, not an IPv4 source: nothing rightful sends it, and Linux drops it behind the program.
fn slash_64(octets: [u8; 16]) -> Prefix {
    let [a, b, c, d, e, f, g, h, ..] = octets;
    Prefix::of_upper_half([a, b, c, d, e, f, g, h])
}

/// Whom an address of the prefix 64:ff9b::/96 stands for.
fn client_of_translator(octets: [u8; 16]) -> Option<Ipv4Addr> {
    let client = octets.strip_prefix(&[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0])?;
    let client: [u8; 4] = client.try_into().ok()?;
    Some(client.into())
}

/// Whether a trie has `address` in `net`. Both families are in one trie, so that a prefix as short as ::/0 holds all of
/// IPv4 too; `Prefix::contains` keeps the families apart.
fn lies_in(address: Ipv6Addr, net: &Prefix) -> bool {
    let key = net.net_key();
    let differing = u128::from(address) ^ u128::from_be_bytes(key.addr);
    differing.leading_zeros() >= key.prefix_len
}
