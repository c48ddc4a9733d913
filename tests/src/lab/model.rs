//! What the program should do, told naïvely: the host build of its parser over ordinary maps.

use std::{collections::BTreeMap, net::IpAddr};

use secbeat_common::{
    maps::{Ban, ClockReading, Counter, mode},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_ebpf::parse::{self, Frame, NoSource, Source};

use crate::lab::bpf::Counters;

pub const XDP_DROP: u32 = 1;
pub const XDP_PASS: u32 = 2;

/// Packets of one ban between two looks at the boot clock, as the program has it.
const BOOT_CHECK_EVERY: u64 = 64;

/// A filter made of ordinary maps.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub bans: BTreeMap<Prefix, Ban>,
    pub allowed: Vec<Prefix>,
    /// A [`mode`].
    pub mode: u32,
    pub counters: Counters,
}

/// The source of `packet` as the host build of the parser sees it.
///
/// # Errors
///
/// As the parser.
pub fn host_source(packet: &[u8]) -> Result<IpAddr, NoSource> {
    let range = packet.as_ptr_range();
    // SAFETY: the range of a slice that outlives the frame.
    let frame = unsafe { Frame::new(range.start as usize, range.end as usize) };
    parse::source(&frame).map(|source| match source {
        Source::V4(octets) => octets.into(),
        Source::V6(octets) => octets.into(),
    })
}

impl Model {
    /// Judges `packet` at the instant `now`, counts it, and says what becomes of it.
    pub fn judge(&mut self, packet: &[u8], now: ClockReading) -> (Verdict, u32) {
        let verdict = match host_source(packet) {
            Err(NoSource::NotIp) => Verdict::NotIp,
            Err(NoSource::Malformed) => Verdict::Malformed,
            Ok(source) => self.judge_source(source, packet.len() as u64, now),
        };
        count(&mut self.counters[verdict as usize], packet.len() as u64);
        (
            verdict,
            if verdict == Verdict::Banned {
                XDP_DROP
            } else {
                XDP_PASS
            },
        )
    }

    fn judge_source(&mut self, source: IpAddr, bytes: u64, now: ClockReading) -> Verdict {
        let key = Prefix::of_source(source);
        let Some(ban) = self.bans.get_mut(&key) else {
            return Verdict::Clean;
        };
        let looks_at_boot_clock = ban.dropped_packets.is_multiple_of(BOOT_CHECK_EVERY);
        if now.jiffies >= ban.expires_jiffies || (looks_at_boot_clock && now.boot_ns >= ban.expires_boot_ns) {
            return Verdict::Expired;
        }
        if self.allowed.iter().any(|prefix| prefix.contains(source)) {
            return Verdict::Allowed;
        }
        ban.dropped_packets += 1;
        ban.dropped_bytes += bytes;
        if self.mode == mode::OBSERVE {
            Verdict::Observed
        } else {
            Verdict::Banned
        }
    }
}

fn count(counter: &mut Counter, bytes: u64) {
    counter.packets += 1;
    counter.bytes += bytes;
}
