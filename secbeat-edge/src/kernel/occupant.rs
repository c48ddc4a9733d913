//! Which XDP programs run on an interface, as the kernel says (rtnetlink(7), `IFLA_XDP`).

use std::io;

use aya::programs::loaded_programs;
use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    libc::{IFLA_XDP, NLM_F_REQUEST, RTM_GETLINK, RTM_NEWLINK},
    net::if_::if_nametoindex,
};

use super::pins::Mode;

/// Of `enum` in `linux/if_link.h`, inside [`IFLA_XDP`]: the program that the driver runs, the one in the stack, and the card's.
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;
/// `struct nlmsghdr` and `struct ifinfomsg`.
const HEADERS: usize = 16 + 16;
const MAX_ANSWER: usize = 32 * 1024;

/// A program that runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) mode: Mode,
    pub(super) program: u32,
}

/// The program on `interface` as people know it: by its name where it can be told, else by its number; `None` when there
/// is none, or the kernel does not say.
pub(super) fn occupant(interface: &str) -> Option<String> {
    let index = if_nametoindex(interface).ok()?;
    let id = running_on(index).ok()?.first()?.program;
    Some(name_of(id))
}

/// A program as people know it.
pub(super) fn name_of(id: u32) -> String {
    let program = loaded_programs().flatten().find(|program| program.id() == id);
    match program.as_ref().and_then(|program| program.name_as_str()) {
        Some(name) if !name.is_empty() => format!("`{name}` (id {id})"),
        _ => format!("program {id}"),
    }
}

/// What runs on the interface with this number, in this network namespace.
///
/// # Errors
///
/// When there is no such interface, or the kernel cannot be asked.
pub(super) fn running_on(index: u32) -> io::Result<Vec<Running>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(index), 0)?;
    let mut answer = Vec::with_capacity(MAX_ANSWER);
    socket.recv(&mut answer, 0)?;
    let message = NetlinkBuffer::new_checked(answer.as_slice()).ok();
    match message.filter(|message| message.message_type() == RTM_NEWLINK) {
        Some(message) => Ok(running_in(message.payload())),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Asks for one interface: a header, and an `ifinfomsg` that is empty but for its index.
fn request(index: u32) -> [u8; HEADERS] {
    let mut message = [0; HEADERS];
    message[..4].copy_from_slice(&(HEADERS as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST as u16).to_ne_bytes());
    message[20..24].copy_from_slice(&index.to_ne_bytes());
    message
}

/// The programs in an answer, behind its `ifinfomsg`.
fn running_in(payload: &[u8]) -> Vec<Running> {
    let Some(xdp) = payload
        .get(16..)
        .and_then(|attributes| attribute(attributes, IFLA_XDP))
    else {
        return Vec::new();
    };
    let kinds = [
        (IFLA_XDP_DRV_PROG_ID, Mode::Native),
        (IFLA_XDP_HW_PROG_ID, Mode::Native),
        (IFLA_XDP_SKB_PROG_ID, Mode::Generic),
    ];
    let running = |(kind, mode)| {
        let id = attribute(&xdp, kind)?.try_into().ok()?;
        Some(Running {
            mode,
            program: u32::from_ne_bytes(id),
        })
    };
    kinds.into_iter().filter_map(running).collect()
}

fn attribute(attributes: &[u8], wanted: u16) -> Option<Vec<u8>> {
    NlasIterator::new(attributes)
        .flatten()
        .find(|attribute| attribute.kind() == wanted)
        .map(|attribute| attribute.value().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_the_nested_attribute() {
        let attribute = |kind: u16, value: &[u8]| {
            let len = (4 + value.len()) as u16;
            let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let xdp = [
            attribute(2, &[1]),
            attribute(4, &77_u32.to_ne_bytes()),
            attribute(IFLA_XDP_SKB_PROG_ID, &77_u32.to_ne_bytes()),
        ]
        .concat();
        let with = [vec![0; 16], attribute(3, b"eth0\0"), attribute(IFLA_XDP, &xdp)].concat();
        let running = Running {
            mode: Mode::Generic,
            program: 77,
        };
        assert_eq!(running_in(&with), [running]);
        let without = [vec![0; 16], attribute(IFLA_XDP, &attribute(2, &[0]))].concat();
        assert_eq!(running_in(&without), []);
        assert_eq!(running_in(&[0; 7]), []);
    }

    #[test]
    fn loopback_has_no_occupant() {
        assert_eq!(running_on(if_nametoindex("lo").unwrap()).unwrap(), []);
        assert!(running_on(u32::MAX >> 1).is_err());
    }
}
