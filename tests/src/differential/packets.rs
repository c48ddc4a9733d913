//! Packets to compare with: well-formed, mutated, cut off, and noise.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::lab::{
    frames::{
        ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_OLD_QINQ, ETHERTYPE_QINQ, ETHERTYPE_VLAN,
        datagram_from, ethernet, ipv4,
    },
    random::Random,
};

/// The kernel runs nothing shorter: an Ethernet header.
pub const SHORTEST: usize = 14;

const ETHERTYPES: [u16; 6] = [
    ETHERTYPE_VLAN,
    ETHERTYPE_QINQ,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_ARP,
    0x9100,
];
const TAGS: [u16; 3] = [ETHERTYPE_VLAN, ETHERTYPE_QINQ, ETHERTYPE_OLD_QINQ];
/// Longest run of one packet: long enough that the program remembers its source.
const LONGEST_BURST: usize = 150;

/// The entries of the XDP object: one for packets in one buffer, one for those in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Linear,
    Frags,
}

impl Entry {
    /// Its name in the object.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Linear => "secbeat",
            Self::Frags => "secbeat_frags",
        }
    }
}

/// A packet and where it enters.
#[derive(Clone)]
pub struct Packet {
    pub entry: Entry,
    pub bytes: Vec<u8>,
}

/// Its headers and its length: what lies behind them decides nothing.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADERS: usize = 96;
        let (shown, len) = (&self.bytes[..self.bytes.len().min(HEADERS)], self.bytes.len());
        write!(f, "{len} bytes to {:?}: {shown:02x?}", self.entry)
    }
}

/// The corpus that `cargo xtask fuzz` grew, as it was when this was compiled.
static CORPUS: &[&[u8]] = include!(concat!(env!("OUT_DIR"), "/corpus.rs"));

/// What the kernel runs of the corpus.
#[must_use]
pub fn corpus() -> Vec<&'static [u8]> {
    let all = CORPUS.iter().copied();
    all.filter(|frame| frame.len() >= SHORTEST).collect()
}

/// One of few addresses, so that many packets meet a ban, an allowlisted prefix, or a neighbour of one. Sources that far
/// apart share a slot in the program's memory of floods, most of them, and so push one another out.
pub fn any_source(random: &mut Random) -> IpAddr {
    let low = random.below(8) as u8 + random.pick(&[0, 69]);
    let v4 = Ipv4Addr::new(198, 51, 100, low);
    match random.below(16) {
        0..=6 => v4.into(),
        // In an IPv6 header, where it is no IPv4 source.
        7 => IpAddr::V6(v4.to_ipv6_mapped()),
        8 => Ipv6Addr::from(u128::from(low)).into(),
        // Its /64 is the same eight bytes as an IPv4 source that is filled up with zeros.
        9 => Ipv6Addr::new(0xc633, 0x6400 + u16::from(low), 0, 0, 0, 0, 0, 1).into(),
        kind => {
            let subnet = random.below(4) as u16 + random.pick(&[0, 61]);
            // An IPv4 source, by way of a translator.
            if kind == 10 {
                return Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(v4.to_bits())).into();
            }
            Ipv6Addr::new(0x2001, 0xdb8, 0xbad, subnet, 0, 0, 0, low.into()).into()
        }
    }
}

/// `len` packets, and a few of them many times in a row.
pub fn batch(random: &mut Random, corpus: &[&[u8]], len: usize) -> Vec<Packet> {
    let mut batch = Vec::with_capacity(len + LONGEST_BURST);
    for _ in 0..len {
        let packet = any_packet(random, corpus);
        let times = if random.once_in(100) {
            1 + random.below(LONGEST_BURST)
        } else {
            1
        };
        batch.extend(std::iter::repeat_n(packet, times));
    }
    batch
}

fn any_packet(random: &mut Random, corpus: &[&[u8]]) -> Packet {
    if random.once_in(500) {
        return jumbo(random);
    }
    let bytes = match random.below(20) {
        0..=14 => any_datagram(random),
        15 | 16 => random.pick(corpus).to_vec(),
        17 | 18 => {
            let len = random.below(120);
            let noise = random.bytes(len);
            ethernet(&any_tags(random), random.pick(&ETHERTYPES), &noise)
        }
        _ => {
            let len = SHORTEST + random.below(120);
            random.bytes(len)
        }
    };
    Packet {
        entry: random.pick(&[Entry::Linear, Entry::Frags]),
        bytes: mutated(random, bytes),
    }
}

fn any_datagram(random: &mut Random) -> Vec<u8> {
    let tags = any_tags(random);
    datagram_from(any_source(random), &tags)
}

/// Mostly none or one, sometimes too many.
fn any_tags(random: &mut Random) -> Vec<u16> {
    let count = random.pick(&[0, 0, 0, 0, 1, 1, 1, 2, 2, 3]);
    (0..count).map(|_| random.pick(&TAGS)).collect()
}

/// More than a page, which only the entry for several buffers takes.
fn jumbo(random: &mut Random) -> Packet {
    let source = Ipv4Addr::new(198, 51, 100, random.below(8) as u8);
    let payload = vec![0x5e; 4096 + random.below(4096)];
    let packet = ipv4(source, Ipv4Addr::new(192, 0, 2, 1), 0, 17, &payload);
    Packet {
        entry: Entry::Frags,
        bytes: ethernet(&any_tags(random), ETHERTYPE_IPV4, &packet),
    }
}

/// Half of them as they were.
fn mutated(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    let typed = 12..frame.len().min(72);
    match random.below(8) {
        // One to three bytes behind the MAC addresses, one of them often by a single bit.
        0 | 1 => {
            for _ in 0..=random.below(3) {
                let at = typed.start + random.below(typed.len());
                frame[at] ^= if random.once_in(2) {
                    1 << random.below(8)
                } else {
                    random.any() as u8
                };
            }
        }
        // Cut off anywhere.
        2 => frame.truncate(SHORTEST + random.below(frame.len() - SHORTEST + 1)),
        // Another EtherType over the same bytes.
        3 => {
            let at = 12 + 4 * random.below(3);
            if let Some(field) = frame.get_mut(at..at + 2) {
                field.copy_from_slice(&random.pick(&ETHERTYPES).to_be_bytes());
            }
        }
        _ => {}
    }
    frame
}
