//! Ethernet frames, byte by byte. Checksums are right, or the stack behind the program would not take them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
pub const ETHERTYPE_VLAN: u16 = 0x8100;
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// Outer tags of switches from before 802.1ad.
pub const ETHERTYPE_OLD_QINQ: u16 = 0x9100;
/// PPPoE session data.
pub const ETHERTYPE_PPPOE: u16 = 0x8864;

const PROTOCOL_UDP: u8 = 17;
/// The port that datagrams go to (discard).
pub const PORT: u16 = 9;
/// The link-layer address that frames go to.
pub const RECEIVER_MAC: &str = "02:00:00:00:00:01";
/// Locally administered addresses: of the receiver, then of the sender.
const MAC_ADDRESSES: [u8; 12] = [0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02];

/// An Ethernet frame: VLAN tags (by their EtherTypes, outermost first) before `ethertype`, then `payload`.
#[must_use]
pub fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = MAC_ADDRESSES.to_vec();
    for (tag, vlan) in tags.iter().zip(100_u16..) {
        frame.extend(tag.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet. `fragment` is the header's flags and offset: 0x2000 is "more fragments", the offset counts 8 bytes.
#[must_use]
pub fn ipv4(source: Ipv4Addr, target: Ipv4Addr, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("a packet of at most 65535 bytes");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(target.octets());
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet whose payload starts with header `next_header`.
#[must_use]
pub fn ipv6(source: Ipv6Addr, target: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a payload of at most 65535 bytes");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(source.octets());
    packet.extend(target.octets());
    packet.extend(payload);
    packet
}

/// A UDP datagram with its checksum over the pseudo header.
#[must_use]
pub fn udp(source: IpAddr, target: IpAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a datagram of at most 65535 bytes");
    let mut datagram = Vec::new();
    for field in [40_000_u16, PORT, length, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    let mut summed = Vec::new();
    for address in [source, target] {
        match address {
            IpAddr::V4(v4) => summed.extend(v4.octets()),
            IpAddr::V6(v6) => summed.extend(v6.octets()),
        }
    }
    summed.extend([0, PROTOCOL_UDP]);
    summed.extend(length.to_be_bytes());
    summed.extend(&datagram);
    let checksum = checksum(&summed);
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    datagram
}

/// A small UDP datagram from `source`, of either family, behind `tags`.
#[must_use]
pub fn datagram_from(source: IpAddr, tags: &[u16]) -> Vec<u8> {
    let payload = [0x5e; 18];
    match source {
        IpAddr::V4(from) => {
            let to = Ipv4Addr::new(192, 0, 2, 1);
            let udp = udp(source, to.into(), &payload);
            ethernet(tags, ETHERTYPE_IPV4, &ipv4(from, to, 0, PROTOCOL_UDP, &udp))
        }
        IpAddr::V6(from) => {
            let to = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
            let udp = udp(source, to.into(), &payload);
            ethernet(tags, ETHERTYPE_IPV6, &ipv6(from, to, PROTOCOL_UDP, &udp))
        }
    }
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from_be_bytes([0, 0, pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_header_sums_to_zero_with_its_checksum() {
        let packet = ipv4(
            Ipv4Addr::new(198, 51, 100, 7),
            Ipv4Addr::new(192, 0, 2, 1),
            0,
            17,
            &[],
        );
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn the_checksum_is_the_one_of_rfc_1071() {
        assert_eq!(
            !checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
    }
}
