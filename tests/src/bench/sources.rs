//! The sources that the compared filters ban, and the frames that they send.

use std::net::{IpAddr, Ipv4Addr};

use crate::lab::frames;

/// The source that sends.
pub(super) const BANNED_V4: &str = "198.51.100.7";

/// Other sources that are banned too; xdp-filter has room for 10,000.
const OTHERS: u32 = 5000;

/// The sources that are banned besides the one that sends.
pub(super) fn others() -> impl Iterator<Item = Ipv4Addr> {
    let first = Ipv4Addr::new(10, 200, 0, 0).to_bits();
    (first..first + OTHERS).map(Ipv4Addr::from_bits)
}

/// The frame that a source sends here.
pub(super) fn frame_of(source: &str) -> Vec<u8> {
    frames::datagram_from(address(source), &[])
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().expect("a literal address")
}
