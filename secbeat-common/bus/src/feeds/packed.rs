//! Networks in few bytes: sorted, each as its length and its distance from the end of the one before, deflated.
//!
//! Random IPv4 addresses take less than 3 bytes each, where text takes 14.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use flate2::{Compression, bufread::ZlibDecoder, write::ZlibEncoder};
use secbeat_common::{prefix::Prefix, wire::MAX_FEED_NETWORKS};

/// The first byte of the packed form.
const FORMAT: u8 = 1;
/// Most bytes of one network before it is deflated: its length, and a distance of 128 bits in groups of seven.
const LONGEST: u64 = 20;

/// The reason why bytes are not packed networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPack {
    #[error("networks in form {0}; this release reads form {FORMAT}")]
    Format(u8),
    #[error("the networks cannot be unpacked: {0}")]
    Broken(String),
    #[error("{0} networks; a feed has at most {MAX_FEED_NETWORKS}")]
    TooMany(u64),
    #[error("the networks are not in order, or out of range")]
    Order,
}

/// Packs `networks`, which are sorted, in both families none within another, IPv4 first.
///
/// # Errors
///
/// Never in practice: it writes to memory.
pub fn pack(networks: &[Prefix]) -> io::Result<Vec<u8>> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::default());
    out.write_all(&[FORMAT])?;
    let ipv4 = networks.partition_point(|network| network.addr().is_ipv4());
    for family in [networks.get(..ipv4), networks.get(ipv4..)] {
        let family = family.unwrap_or_default();
        write(&mut out, family.len() as u128)?;
        let lengths: Vec<u8> = family.iter().map(Prefix::len).collect();
        out.write_all(&lengths)?;
        let mut after = 0;
        for network in family {
            let (first, last, _) = bounds(network);
            write(&mut out, first.wrapping_sub(after))?;
            after = last.wrapping_add(1);
        }
    }
    out.finish()
}

/// Unpacks what [`pack`] made.
///
/// # Errors
///
/// See [`BadPack`].
pub fn unpack(bytes: &[u8]) -> Result<Vec<Prefix>, BadPack> {
    // Bytes that unpack to more than any feed has are cut off, and broken by that.
    let mut input = io::BufReader::new(ZlibDecoder::new(bytes).take(MAX_FEED_NETWORKS as u64 * LONGEST + 64));
    let [format] = array(&mut input)?;
    if format != FORMAT {
        return Err(BadPack::Format(format));
    }
    let mut networks = Vec::new();
    for width in [32, 128] {
        let count = u64::try_from(read(&mut input)?).unwrap_or(u64::MAX);
        let all = count.saturating_add(networks.len() as u64);
        if all > MAX_FEED_NETWORKS as u64 {
            return Err(BadPack::TooMany(all));
        }
        let mut lengths = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        input.read_exact(&mut lengths).map_err(|error| broken(&error))?;
        let mut after = Some(0u128);
        networks.reserve(lengths.len());
        for length in lengths {
            let distance = read(&mut input)?;
            let first = after.and_then(|after| after.checked_add(distance));
            let network = first.and_then(|first| network(first, length, width));
            let network = network.ok_or(BadPack::Order)?;
            let (_, last, _) = bounds(&network);
            after = last.checked_add(1);
            networks.push(network);
        }
    }
    match input.read(&mut [0]).map_err(|error| broken(&error))? {
        0 => Ok(networks),
        _ => Err(BadPack::Broken("there is more behind their end".to_owned())),
    }
}

/// The first and the last address of `network` as numbers, and the bits of its family.
pub(crate) fn bounds(network: &Prefix) -> (u128, u128, u8) {
    let (first, width) = match network.addr() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host_bits = u32::from(width - network.len());
    let hosts = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
    (first, first | hosts, width)
}

/// The network that begins exactly at `first`.
fn network(first: u128, length: u8, width: u8) -> Option<Prefix> {
    let addr = match width {
        32 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(first).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(first)),
    };
    let network = Prefix::new(addr, length).ok()?;
    (bounds(&network).0 == first && network.addr() == addr).then_some(network)
}

fn write(out: &mut impl io::Write, mut number: u128) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(19);
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    out.write_all(&bytes)
}

fn read(input: &mut impl io::Read) -> Result<u128, BadPack> {
    let mut number = 0u128;
    for shift in (0..128).step_by(7) {
        let [byte] = array(input)?;
        let group = u128::from(byte & 0x7f);
        if group << shift >> shift != group {
            return Err(BadPack::Order);
        }
        number |= group << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(BadPack::Order)
}

fn array<const N: usize>(input: &mut impl io::Read) -> Result<[u8; N], BadPack> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(|error| broken(&error))?;
    Ok(bytes)
}

fn broken(error: &io::Error) -> BadPack {
    BadPack::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A generator without a seed of its own: the same numbers on each run.
    fn numbers() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0x9e37_79b9_7f4a_7c15_u64), |n| {
            let n = n ^ (n << 13);
            let n = n ^ (n >> 7);
            Some(n ^ (n << 17))
        })
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        for list in [
            networks(&[]),
            networks(&["0.0.0.0/0", "::/0"]),
            networks(&["0.0.0.0/32", "0.0.0.1/32", "255.255.255.255/32"]),
            networks(&["128.0.0.0/1"]),
            networks(&["::/128", "2001:db8::/64", "2001:db8:0:1::/128", "ffff::/16"]),
            networks(&["10.0.0.0/8", "198.51.100.7/32", "2001:db8::/19"]),
        ] {
            assert_eq!(unpack(&pack(&list).unwrap()), Ok(list));
        }
    }

    #[test]
    fn a_random_list_is_packed_small() {
        let addresses: BTreeSet<u32> = numbers()
            .skip(1)
            .map(|n| (n >> 16) as u32)
            .take(100_000)
            .collect();
        let list: Vec<_> = addresses
            .iter()
            .map(|bits| Prefix::host(Ipv4Addr::from_bits(*bits).into()))
            .collect();
        let packed = pack(&list).unwrap();
        assert_eq!(unpack(&packed).unwrap(), list);
        assert!(
            packed.len() < 3 * list.len(),
            "{} bytes of {} networks",
            packed.len(),
            list.len()
        );
    }

    #[test]
    fn other_bytes_are_refused() {
        let deflated = |plain: &[u8]| {
            let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        };
        let packed = pack(&networks(&["198.51.100.7", "203.0.113.0/24"])).unwrap();
        assert!(matches!(
            unpack(&packed[..packed.len() - 5]),
            Err(BadPack::Broken(_))
        ));
        assert!(matches!(unpack(b"list"), Err(BadPack::Broken(_))));
        for (plain, error) in [
            (&[2][..], BadPack::Format(2)),
            // 2097151 networks.
            (&[1, 0xff, 0xff, 0x7f], BadPack::TooMany(2_097_151)),
            // A /24 that begins at 1, a /33, an address over the last one, and one behind the last one.
            (&[1, 1, 24, 1, 0], BadPack::Order),
            (&[1, 1, 33, 0, 0], BadPack::Order),
            (&[1, 1, 32, 0x80, 0x80, 0x80, 0x80, 0x10, 0], BadPack::Order),
            (&[1, 0, 2, 0, 128, 0, 0], BadPack::Order),
        ] {
            assert_eq!(unpack(&deflated(plain)), Err(error), "{plain:?}");
        }
        assert!(matches!(
            unpack(&deflated(&[1, 0, 0, 0])),
            Err(BadPack::Broken(_))
        ));
        let bomb = deflated(&vec![0; 64 * 1024 * 1024]);
        assert!(unpack(&bomb).is_err());
    }
}
