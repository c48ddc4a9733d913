//! A tunnel's interface, whose packets have no Ethernet header: what is written to it, the host receives (tun.rst of the kernel).

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::fd::AsRawFd as _,
};

use super::{
    frames::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
    netns::Namespace,
};

/// The interface, as long as this lives.
#[derive(Debug)]
pub struct Tun(File);

impl Tun {
    /// Makes the interface `name` in `namespace` with an address, and brings it up.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    #[must_use]
    pub fn new(namespace: &Namespace, name: &str, address: &str) -> Self {
        let file = namespace
            .enter(|| open(name))
            .expect("making a tunnel's interface");
        namespace.add_address(name, address);
        namespace.ip(&["link", "set", name, "up"]);
        Self(file)
    }

    /// Lets the host receive an IP packet.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn receive(&self, packet: &[u8]) {
        let ethertype = match packet[0] >> 4 {
            4 => ETHERTYPE_IPV4,
            _ => ETHERTYPE_IPV6,
        };
        self.receive_as(ethertype, packet);
    }

    /// Lets the host receive a packet of the protocol `ethertype`.
    ///
    /// # Panics
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_as(&self, ethertype: u16, packet: &[u8]) {
        // `struct tun_pi`.
        let prefix = [&[0, 0][..], &ethertype.to_be_bytes()].concat();
        let written = [&prefix[..], packet].concat();
        (&self.0).write_all(&written).expect("writing a packet");
    }
}

fn open(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all zero is a request without anything in it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_TUN as libc::c_short;
    // SAFETY: the request that this call takes, alive until it returns.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) } {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}
