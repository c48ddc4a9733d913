//! From the first byte of an Ethernet frame, or of what the stack has of a packet, to its IP source.
//!
//! EtherTypes: IEEE 802 Numbers (IANA). IPv4: RFC 791; IPv6: RFC 8200; VLAN tags: IEEE 802.1Q, 802.1ad; PPPoE: RFC 2516.

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
/// Outer tags of switches from before 802.1ad.
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
/// PPP Data Link Layer Protocol Numbers (IANA).
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

const ETHERTYPE_OFFSET: usize = 12;
const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
/// Version, type, code, session and length, and the protocol of the PPP frame in it.
const PPPOE_HEADER: usize = 8;
/// Tags that are looked through; a frame with more counts as not IP.
pub const MAX_VLAN_TAGS: usize = 2;

const IPV4_HEADER: usize = 20;
const IPV4_SOURCE: usize = 12;
const IPV4_MIN_IHL: u8 = 5;
const IPV6_HEADER: usize = 40;
const IPV6_SOURCE: usize = 8;

/// The sender of a packet, in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Source {
    /// The IPv4 client that an address of a translator (`64:ff9b::a.b.c.d`, RFC 6052) stands for; itself, if it is none.
    #[inline(always)]
    #[must_use]
    pub fn canonical(self) -> Self {
        const UPPER_HALF: u64 = u64::from_be_bytes([0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0]).to_be();
        match self {
            Self::V6([a, b, c, d, e, f, g, h, i, j, k, l, v4 @ ..])
                if u64::from_ne_bytes([a, b, c, d, e, f, g, h]) == UPPER_HALF
                    && u32::from_ne_bytes([i, j, k, l]) == 0 =>
            {
                Self::V4(v4)
            }
            other => other,
        }
    }
}

/// An IP packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: Source,
    /// Offset of its IP header.
    header: usize,
}

/// Destination of a packet on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The destination port of a TCP segment or UDP datagram.
    Number(u16),
    /// It would have a port, but does not carry it: a later fragment, a header that is cut off, or too many headers before it.
    Missing,
    /// A protocol without ports, or with other ones than these.
    None,
}

/// The reason why a packet has no source to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSource {
    /// Another protocol, more than [`MAX_VLAN_TAGS`] tags, or too short to name a protocol.
    NotIp,
    /// IP by the header before it, but the header is cut off or cannot be one.
    Malformed,
}

/// A frame as a pair of addresses: the form in which the kernel hands it over and the verifier follows it.
#[derive(Clone, Copy)]
pub struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// # Safety
    ///
    /// `start..end` must be readable memory for as long as the frame is used.
    #[inline(always)]
    #[must_use]
    pub unsafe fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Bytes in the frame: in its first buffer, where a driver splits it.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> u64 {
        (self.end - self.start) as u64
    }

    /// Whether there is not even one byte.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the first `len` bytes exist. The comparison is the one that the verifier learns the bounds from.
    #[inline(always)]
    fn holds(&self, len: usize) -> bool {
        self.start + len <= self.end
    }

    /// Whether the bytes from `offset` on are those of `start`.
    #[inline(always)]
    fn has(&self, offset: usize, start: [u64; 2]) -> bool {
        if !self.holds(offset + size_of_val(&start)) {
            return false;
        }
        // SAFETY: checked above.
        let halves: [u64; 2] = unsafe { [self.read(offset), self.read(offset + 8)] };
        halves == start
    }

    /// Returns what is behind the first `offset` bytes, which need not exist. For offsets that the packet says: the verifier
    /// believes a comparison only of the pointer that is then read through, so that this one must not be computed twice.
    #[inline(always)]
    fn behind(&self, offset: usize) -> Self {
        Self {
            start: core::hint::black_box(self.start + offset),
            end: self.end,
        }
    }

    /// # Safety
    ///
    /// `holds(offset + size_of::<T>())`, and any bit pattern must be a `T`.
    #[inline(always)]
    unsafe fn read<T: Copy>(&self, offset: usize) -> T {
        let field = (self.start + offset) as *const T;
        if cfg!(target_arch = "bpf") {
            // SAFETY: readable by this function's contract. One load instead of a load per byte: BPF loads have no
            // alignment of their own, and the verifier refuses the program where the machine would need it.
            unsafe { core::ptr::read(field) }
        } else {
            // SAFETY: readable by this function's contract.
            unsafe { core::ptr::read_unaligned(field) }
        }
    }
}

/// Finds the IP packet in an Ethernet frame.
///
/// # Errors
///
/// [`NoSource`] says why there is none; such packets pass.
#[inline(always)]
pub fn ethernet(frame: &Frame) -> Result<Packet, NoSource> {
    if !frame.holds(ETHERNET_HEADER) {
        return Err(NoSource::NotIp);
    }
    // SAFETY: within the Ethernet header, checked above.
    let mut ethertype = u16::from_be(unsafe { frame.read(ETHERTYPE_OFFSET) });
    let mut header = ETHERNET_HEADER;
    for _ in 0..MAX_VLAN_TAGS {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ && ethertype != ETHERTYPE_OLD_QINQ {
            break;
        }
        if !frame.holds(header + VLAN_TAG) {
            return Err(NoSource::NotIp);
        }
        // SAFETY: the last two bytes of the tag, checked above.
        ethertype = u16::from_be(unsafe { frame.read(header + 2) });
        header += VLAN_TAG;
    }
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, header),
        ETHERTYPE_IPV6 => ipv6(frame, header),
        ETHERTYPE_PPPOE_SESSION => pppoe(frame, header),
        _ => Err(NoSource::NotIp),
    }
}

/// The same of a packet that the stack takes for one of `ethertype`, and whose network header begins with `start`. It lies at the
/// beginning, as on devices without Ethernet, or behind the Ethernet header of the device below, which IPsec leaves there
/// (`xfrm4_remove_tunnel_encap`).
///
/// # Errors
///
/// As [`ethernet`].
#[inline(always)]
pub fn network(frame: &Frame, start: [u64; 2], ethertype: u16) -> Result<Packet, NoSource> {
    let header = if frame.has(0, start) {
        0
    } else if frame.has(ETHERNET_HEADER, start) {
        ETHERNET_HEADER
    } else {
        return Err(NoSource::NotIp);
    };
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, header),
        ETHERTYPE_IPV6 => ipv6(frame, header),
        _ => Err(NoSource::NotIp),
    }
}

#[inline(always)]
fn pppoe(frame: &Frame, header: usize) -> Result<Packet, NoSource> {
    /// Version 1, type 1, and the code of session data.
    const VERSION_TYPE_CODE: u16 = 0x1100;
    if !frame.holds(header + PPPOE_HEADER) {
        return Err(NoSource::NotIp);
    }
    // SAFETY: within the PPPoE header, checked above.
    if u16::from_be(unsafe { frame.read(header) }) != VERSION_TYPE_CODE {
        return Err(NoSource::NotIp);
    }
    // SAFETY: within the PPPoE header, checked above.
    match u16::from_be(unsafe { frame.read(header + 6) }) {
        PPP_IPV4 => ipv4(frame, header + PPPOE_HEADER),
        PPP_IPV6 => ipv6(frame, header + PPPOE_HEADER),
        _ => Err(NoSource::NotIp),
    }
}

#[inline(always)]
fn ipv4(frame: &Frame, header: usize) -> Result<Packet, NoSource> {
    if !frame.holds(header + IPV4_HEADER) {
        return Err(NoSource::Malformed);
    }
    // SAFETY: within the IPv4 header, checked above.
    let version_ihl: u8 = unsafe { frame.read(header) };
    if version_ihl >> 4 != 4 || version_ihl & 0x0f < IPV4_MIN_IHL {
        return Err(NoSource::Malformed);
    }
    // SAFETY: within the IPv4 header, checked above.
    let octets: u32 = unsafe { frame.read(header + IPV4_SOURCE) };
    let source = Source::V4(octets.to_ne_bytes());
    Ok(Packet { source, header })
}

#[inline(always)]
fn ipv6(frame: &Frame, header: usize) -> Result<Packet, NoSource> {
    if !frame.holds(header + IPV6_HEADER) {
        return Err(NoSource::Malformed);
    }
    // SAFETY: within the IPv6 header, checked above.
    let version: u8 = unsafe { frame.read(header) };
    if version >> 4 != 6 {
        return Err(NoSource::Malformed);
    }
    // SAFETY: within the IPv6 header, checked above.
    let halves: [u64; 2] = unsafe {
        [
            frame.read(header + IPV6_SOURCE),
            frame.read(header + IPV6_SOURCE + 8),
        ]
    };
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&halves[0].to_ne_bytes());
    octets[8..].copy_from_slice(&halves[1].to_ne_bytes());
    let source = Source::V6(octets);
    Ok(Packet { source, header })
}

/// Finds the destination port of `packet`, which was found in `frame`.
#[inline(always)]
#[must_use]
pub fn port(frame: &Frame, packet: &Packet) -> Port {
    match packet.source {
        Source::V4(_) => ipv4_port(frame, packet.header),
        Source::V6(_) => ipv6_port(frame, packet.header),
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

#[inline(always)]
fn ipv4_port(frame: &Frame, header: usize) -> Port {
    /// Of the word with flags and offset; its unit is eight bytes.
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    if !frame.holds(header + IPV4_HEADER) {
        return Port::Missing;
    }
    // SAFETY: within the IPv4 header, checked above.
    let (version_ihl, fragment, protocol): (u8, u16, u8) =
        unsafe { (frame.read(header), frame.read(header + 6), frame.read(header + 9)) };
    if protocol != TCP && protocol != UDP {
        return Port::None;
    }
    if u16::from_be(fragment) & FRAGMENT_OFFSET != 0 {
        return Port::Missing;
    }
    port_in(&frame.behind(header + usize::from(version_ihl & 0x0f) * 4))
}

/// Extension headers: RFC 8200, section 4.
#[inline(always)]
fn ipv6_port(frame: &Frame, header: usize) -> Port {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;
    /// More than any honest sender needs.
    const MAX_EXTENSIONS: usize = 4;
    if !frame.holds(header + IPV6_HEADER) {
        return Port::Missing;
    }
    // SAFETY: within the IPv6 header, checked above.
    let mut next: u8 = unsafe { frame.read(header + 6) };
    let mut rest = frame.behind(header + IPV6_HEADER);
    for _ in 0..MAX_EXTENSIONS {
        match next {
            TCP | UDP => return port_in(&rest),
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT => {}
            _ => return Port::None,
        }
        if !rest.holds(8) {
            return Port::Missing;
        }
        // SAFETY: the first eight bytes of the extension, checked above.
        let (following, length, fragment): (u8, u8, u16) =
            unsafe { (rest.read(0), rest.read(1), rest.read(2)) };
        if next == FRAGMENT {
            // The lowest three bits are flags.
            if u16::from_be(fragment) & !7 != 0 {
                return Port::Missing;
            }
            rest = rest.behind(8);
        } else {
            rest = rest.behind((usize::from(length) + 1) * 8);
        }
        next = following;
    }
    match next {
        TCP | UDP => port_in(&rest),
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT => Port::Missing,
        _ => Port::None,
    }
}

/// The destination port in a TCP or UDP header, which both have behind the source port.
#[inline(always)]
fn port_in(header: &Frame) -> Port {
    if !header.holds(4) {
        return Port::Missing;
    }
    // SAFETY: within the header, checked above.
    Port::Number(u16::from_be(unsafe { header.read(2) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source_of(bytes: &[u8]) -> Result<Source, NoSource> {
        let range = bytes.as_ptr_range();
        // SAFETY: the range of a live slice.
        ethernet(&unsafe { Frame::new(range.start as usize, range.end as usize) }).map(|packet| packet.source)
    }

    /// An Ethernet frame with the given tags before `ethertype` and then `payload`.
    fn frame(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x02; 12];
        for tag in tags {
            bytes.extend(tag.to_be_bytes());
            bytes.extend([0x00, 0x64]);
        }
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn v4_header() -> Vec<u8> {
        let mut header = vec![0x45; 1];
        header.resize(12, 0);
        header.extend([198, 51, 100, 7, 192, 0, 2, 1]);
        header
    }

    fn v6_header() -> Vec<u8> {
        let mut header = vec![0x60; 1];
        header.resize(8, 0);
        header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        header.extend([0; 16]);
        header
    }

    /// Session data of the PPP protocol `protocol`.
    fn session(protocol: u16, packet: &[u8]) -> Vec<u8> {
        let len = (packet.len() as u16 + 2).to_be_bytes();
        [&[0x11, 0, 0x12, 0x34], &len[..], &protocol.to_be_bytes(), packet].concat()
    }

    const TAGS: [&[u16]; 5] = [
        &[],
        &[ETHERTYPE_OLD_QINQ, ETHERTYPE_VLAN],
        &[ETHERTYPE_VLAN],
        &[ETHERTYPE_QINQ, ETHERTYPE_VLAN],
        &[ETHERTYPE_VLAN, ETHERTYPE_VLAN],
    ];

    #[test]
    fn a_translators_address_stands_for_the_ipv4_client() {
        let translated = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51, 100, 7];
        let v4 = Source::V4([198, 51, 100, 7]);
        assert_eq!((Source::V6(translated).canonical(), v4.canonical()), (v4, v4));
        for at in 0..12 {
            let mut other = translated;
            other[at] ^= 1;
            assert_eq!(Source::V6(other).canonical(), Source::V6(other), "byte {at}");
        }
    }

    #[test]
    fn finds_sources_behind_up_to_two_tags() {
        for tags in TAGS {
            let v4 = source_of(&frame(tags, ETHERTYPE_IPV4, &v4_header()));
            assert_eq!(v4, Ok(Source::V4([198, 51, 100, 7])), "{tags:x?}");
            let v6 = source_of(&frame(tags, ETHERTYPE_IPV6, &v6_header()));
            let expected = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
            assert_eq!(v6, Ok(Source::V6(expected)), "{tags:x?}");
        }
    }

    #[test]
    fn finds_sources_in_pppoe_sessions() {
        let expected = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
        for tags in TAGS {
            let of = |payload: &[u8]| source_of(&frame(tags, ETHERTYPE_PPPOE_SESSION, payload));
            let v4 = session(PPP_IPV4, &v4_header());
            assert_eq!(of(&v4), Ok(Source::V4([198, 51, 100, 7])), "{tags:x?}");
            assert_eq!(
                of(&session(PPP_IPV6, &v6_header())),
                Ok(Source::V6(expected)),
                "{tags:x?}"
            );
            assert_eq!(
                of(&session(PPP_IPV4, &v6_header())),
                Err(NoSource::Malformed),
                "{tags:x?}"
            );
            // A control protocol, discovery, another version, and what is cut off.
            assert_eq!(
                of(&session(0xc021, &v4_header())),
                Err(NoSource::NotIp),
                "{tags:x?}"
            );
            for (at, byte) in [(1, 0x09), (0, 0x21)] {
                let mut other = v4.clone();
                other[at] = byte;
                assert_eq!(of(&other), Err(NoSource::NotIp), "{tags:x?}");
            }
            for len in 0..v4.len() {
                let cut = if len < PPPOE_HEADER {
                    NoSource::NotIp
                } else {
                    NoSource::Malformed
                };
                assert_eq!(of(&v4[..len]), Err(cut), "{tags:x?}, {len} bytes");
            }
        }
    }

    /// What the stack has of the packet in it.
    fn start_of(packet: &[u8]) -> [u64; 2] {
        let word = |at: usize| u64::from_ne_bytes(packet[at..at + 8].try_into().unwrap());
        [word(0), word(8)]
    }

    fn port_of(packet: &[u8]) -> Port {
        let range = packet.as_ptr_range();
        // SAFETY: the range of a live slice.
        let frame = unsafe { Frame::new(range.start as usize, range.end as usize) };
        let ethertype = match packet[0] >> 4 {
            4 => ETHERTYPE_IPV4,
            _ => ETHERTYPE_IPV6,
        };
        port(&frame, &network(&frame, start_of(packet), ethertype).unwrap())
    }

    /// From port 1025 to 443.
    const PORTS: [u8; 8] = [0x04, 0x01, 0x01, 0xbb, 0, 0, 0, 0];

    #[test]
    fn finds_ports_behind_options_and_extensions() {
        for protocol in [TCP, UDP, 1, 47, 132] {
            let expected = match protocol {
                TCP | UDP => Port::Number(443),
                _ => Port::None,
            };
            for words in 5..=15 {
                let mut packet = v4_header();
                packet[0] = 0x40 | words;
                packet[9] = protocol;
                packet.resize(usize::from(words) * 4, 0);
                packet.extend(PORTS);
                assert_eq!(port_of(&packet), expected, "protocol {protocol}, {words} words");
            }
            for extensions in [&[][..], &[0], &[60], &[0, 60, 43], &[44], &[0, 43, 44, 60]] {
                let mut packet = v6_header();
                let kinds = extensions.iter().copied().chain([protocol]);
                let mut at = 6;
                for (kind, length) in kinds.zip([1, 0, 3, 0, 0]) {
                    packet[at] = kind;
                    if kind != protocol {
                        at = packet.len();
                        let units = if kind == 44 { 1 } else { usize::from(length) + 1 };
                        packet.extend([0, length, 0, 0, 0, 0, 0, 0]);
                        packet.resize(at + units * 8, 0);
                    }
                }
                packet.extend(PORTS);
                assert_eq!(
                    port_of(&packet),
                    expected,
                    "protocol {protocol} behind {extensions:?}"
                );
            }
        }
    }

    #[test]
    fn later_fragments_and_headers_that_are_cut_off_have_no_port() {
        let mut v4 = v4_header();
        v4[9] = TCP;
        v4.extend(PORTS);
        let mut later = v4.clone();
        later[7] = 1;
        assert_eq!(port_of(&later), Port::Missing);
        let mut first = v4.clone();
        // More fragments follow, may not be fragmented.
        first[6] = 0x60;
        assert_eq!(port_of(&first), Port::Number(443));
        for len in 20..24 {
            assert_eq!(port_of(&v4[..len]), Port::Missing);
        }
        let mut v6 = v6_header();
        v6[6] = 44;
        v6.extend([TCP, 0, 0, 8, 0, 0, 0, 0]);
        v6.extend(PORTS);
        assert_eq!(port_of(&v6), Port::Missing);
        v6[43] = 1;
        assert_eq!(port_of(&v6), Port::Number(443), "the first fragment");
        for len in 40..52 {
            assert_eq!(port_of(&v6[..len]), Port::Missing);
        }
        let mut endless = v6_header();
        endless[6] = 60;
        for _ in 0..5 {
            endless.extend([60, 0, 0, 0, 0, 0, 0, 0]);
        }
        assert_eq!(port_of(&endless), Port::Missing);
    }

    #[test]
    fn finds_sources_where_the_stack_has_its_network_header() {
        let source_in = |bytes: &[u8], start, ethertype| {
            let range = bytes.as_ptr_range();
            // SAFETY: the range of a live slice.
            let frame = unsafe { Frame::new(range.start as usize, range.end as usize) };
            network(&frame, start, ethertype).map(|packet| packet.source)
        };
        let v6 = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
        for (packet, ethertype, expected) in [
            (v4_header(), ETHERTYPE_IPV4, Source::V4([198, 51, 100, 7])),
            (v6_header(), ETHERTYPE_IPV6, Source::V6(v6)),
        ] {
            let start = start_of(&packet);
            // The address of a card may begin as an IP header does.
            let mut confusing = frame(&[], ethertype, &packet);
            confusing[..2].copy_from_slice(&[0x48, 0x21]);
            for whole in [packet.clone(), frame(&[], ethertype, &packet), confusing] {
                assert_eq!(source_in(&whole, start, ethertype), Ok(expected));
                let link = whole.len() - packet.len();
                for len in 0..whole.len() {
                    let cut = if len < link + 16 {
                        NoSource::NotIp
                    } else {
                        NoSource::Malformed
                    };
                    assert_eq!(
                        source_in(&whole[..len], start, ethertype),
                        Err(cut),
                        "{len} bytes"
                    );
                }
                // MPLS, whose label may begin as an IP header does, and a frame in a tunnel.
                for other in [0x8847, 0x8848, 0x6558, 0] {
                    assert_eq!(
                        source_in(&whole, start, other),
                        Err(NoSource::NotIp),
                        "{other:#x}"
                    );
                }
            }
            // A header of another length, as of a tunnel with many peers.
            let farther = [vec![0x45; 24], packet.clone()].concat();
            assert_eq!(source_in(&farther, start, ethertype), Err(NoSource::NotIp));
        }
        // What it says itself goes for nothing.
        let start = start_of(&v6_header());
        assert_eq!(
            source_in(&v6_header(), start, ETHERTYPE_IPV4),
            Err(NoSource::Malformed)
        );
    }

    #[test]
    fn a_third_tag_is_not_looked_through() {
        let tags = [ETHERTYPE_VLAN; 3];
        assert_eq!(
            source_of(&frame(&tags, ETHERTYPE_IPV4, &v4_header())),
            Err(NoSource::NotIp)
        );
    }

    #[test]
    fn truncation_at_every_byte_never_yields_a_source() {
        for tags in TAGS {
            let link = ETHERNET_HEADER + tags.len() * VLAN_TAG;
            for (ethertype, payload) in [(ETHERTYPE_IPV4, v4_header()), (ETHERTYPE_IPV6, v6_header())] {
                let whole = frame(tags, ethertype, &payload);
                for len in 0..whole.len() {
                    let expected = if len < link {
                        NoSource::NotIp
                    } else {
                        NoSource::Malformed
                    };
                    assert_eq!(
                        source_of(&whole[..len]),
                        Err(expected),
                        "{len} of {} bytes",
                        whole.len()
                    );
                }
            }
        }
    }

    #[test]
    fn headers_that_cannot_be_ip_are_malformed() {
        for first_byte in [0x00, 0x44, 0x65, 0xff] {
            let mut header = v4_header();
            header[0] = first_byte;
            assert_eq!(
                source_of(&frame(&[], ETHERTYPE_IPV4, &header)),
                Err(NoSource::Malformed)
            );
        }
        for first_byte in [0x00, 0x45, 0x70] {
            let mut header = v6_header();
            header[0] = first_byte;
            assert_eq!(
                source_of(&frame(&[], ETHERTYPE_IPV6, &header)),
                Err(NoSource::Malformed)
            );
        }
    }

    #[test]
    fn other_protocols_are_not_ip() {
        for ethertype in [0x0806, 0x88cc, 0x0000, 0x05dc] {
            assert_eq!(
                source_of(&frame(&[], ethertype, &[0; 64])),
                Err(NoSource::NotIp),
                "{ethertype:#06x}"
            );
        }
    }
}
