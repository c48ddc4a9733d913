//! From the first byte of an Ethernet frame to its IP source.
//!
//! EtherTypes: IEEE 802 Numbers (IANA). IPv4: RFC 791; IPv6: RFC 8200; VLAN tags: IEEE 802.1Q, 802.1ad.

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;

const ETHERTYPE_OFFSET: usize = 12;
const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
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

/// Why a packet has no source to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSource {
    /// Another EtherType, more than [`MAX_VLAN_TAGS`] tags, or too short to have an EtherType.
    NotIp,
    /// An IP EtherType, but the header is cut off or cannot be one.
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

/// Finds the source address of `frame`.
///
/// # Errors
///
/// [`NoSource`] says why there is none; such packets pass.
#[inline(always)]
pub fn source(frame: &Frame) -> Result<Source, NoSource> {
    if !frame.holds(ETHERNET_HEADER) {
        return Err(NoSource::NotIp);
    }
    // SAFETY: within the Ethernet header, checked above.
    let mut ethertype = u16::from_be(unsafe { frame.read(ETHERTYPE_OFFSET) });
    let mut header = ETHERNET_HEADER;
    for _ in 0..MAX_VLAN_TAGS {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
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
        ETHERTYPE_IPV4 => ipv4_source(frame, header),
        ETHERTYPE_IPV6 => ipv6_source(frame, header),
        _ => Err(NoSource::NotIp),
    }
}

#[inline(always)]
fn ipv4_source(frame: &Frame, header: usize) -> Result<Source, NoSource> {
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
    Ok(Source::V4(octets.to_ne_bytes()))
}

#[inline(always)]
fn ipv6_source(frame: &Frame, header: usize) -> Result<Source, NoSource> {
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
    Ok(Source::V6(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source_of(bytes: &[u8]) -> Result<Source, NoSource> {
        let range = bytes.as_ptr_range();
        // SAFETY: the range of a live slice.
        source(&unsafe { Frame::new(range.start as usize, range.end as usize) })
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

    fn ipv4() -> Vec<u8> {
        let mut header = vec![0x45; 1];
        header.resize(12, 0);
        header.extend([198, 51, 100, 7, 192, 0, 2, 1]);
        header
    }

    fn ipv6() -> Vec<u8> {
        let mut header = vec![0x60; 1];
        header.resize(8, 0);
        header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        header.extend([0; 16]);
        header
    }

    const TAGS: [&[u16]; 4] = [
        &[],
        &[ETHERTYPE_VLAN],
        &[ETHERTYPE_QINQ, ETHERTYPE_VLAN],
        &[ETHERTYPE_VLAN, ETHERTYPE_VLAN],
    ];

    #[test]
    fn finds_sources_behind_up_to_two_tags() {
        for tags in TAGS {
            let v4 = source_of(&frame(tags, ETHERTYPE_IPV4, &ipv4()));
            assert_eq!(v4, Ok(Source::V4([198, 51, 100, 7])), "{tags:x?}");
            let v6 = source_of(&frame(tags, ETHERTYPE_IPV6, &ipv6()));
            let expected = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
            assert_eq!(v6, Ok(Source::V6(expected)), "{tags:x?}");
        }
    }

    #[test]
    fn a_third_tag_is_not_looked_through() {
        let tags = [ETHERTYPE_VLAN; 3];
        assert_eq!(
            source_of(&frame(&tags, ETHERTYPE_IPV4, &ipv4())),
            Err(NoSource::NotIp)
        );
    }

    #[test]
    fn truncation_at_every_byte_never_yields_a_source() {
        for tags in TAGS {
            let link = ETHERNET_HEADER + tags.len() * VLAN_TAG;
            for (ethertype, payload) in [(ETHERTYPE_IPV4, ipv4()), (ETHERTYPE_IPV6, ipv6())] {
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
            let mut header = ipv4();
            header[0] = first_byte;
            assert_eq!(
                source_of(&frame(&[], ETHERTYPE_IPV4, &header)),
                Err(NoSource::Malformed)
            );
        }
        for first_byte in [0x00, 0x45, 0x70] {
            let mut header = ipv6();
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
