//! Which XDP program holds an interface, for the message that refuses to replace it.

use std::io;

use aya::programs::loaded_programs;
use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    libc::{IFLA_XDP, NLM_F_REQUEST, RTM_GETLINK, RTM_NEWLINK},
    net::if_::if_nametoindex,
};

/// Of `enum` in `linux/if_link.h`, inside [`IFLA_XDP`].
const IFLA_XDP_PROG_ID: u16 = 4;
/// `struct nlmsghdr` and `struct ifinfomsg`.
const HEADERS: usize = 16 + 16;
const MAX_ANSWER: usize = 32 * 1024;

/// The program on `interface` as people know it: by its name where it can be told, else by its number; `None` when there
/// is none, or the kernel does not say.
pub(super) fn occupant(interface: &str) -> Option<String> {
    let id = program_id(interface).ok().flatten()?;
    let program = loaded_programs().flatten().find(|program| program.id() == id);
    Some(match program.as_ref().and_then(|program| program.name_as_str()) {
        Some(name) if !name.is_empty() => format!("`{name}` (id {id})"),
        _ => format!("program {id}"),
    })
}

fn program_id(interface: &str) -> io::Result<Option<u32>> {
    let index = if_nametoindex(interface)?;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(index), 0)?;
    let mut answer = Vec::with_capacity(MAX_ANSWER);
    socket.recv(&mut answer, 0)?;
    Ok(NetlinkBuffer::new_checked(answer.as_slice())
        .ok()
        .filter(|message| message.message_type() == RTM_NEWLINK)
        .and_then(|message| id_in(message.payload())))
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

/// The program's number in an answer, behind its `ifinfomsg`.
fn id_in(payload: &[u8]) -> Option<u32> {
    let xdp = attribute(payload.get(16..)?, IFLA_XDP)?;
    let id = attribute(&xdp, IFLA_XDP_PROG_ID)?;
    Some(u32::from_ne_bytes(id.try_into().ok()?))
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
            attribute(IFLA_XDP_PROG_ID, &77_u32.to_ne_bytes()),
        ]
        .concat();
        let with = [vec![0; 16], attribute(3, b"eth0\0"), attribute(IFLA_XDP, &xdp)].concat();
        assert_eq!(id_in(&with), Some(77));
        let without = [vec![0; 16], attribute(IFLA_XDP, &attribute(2, &[0]))].concat();
        assert_eq!(id_in(&without), None);
        assert_eq!(id_in(&[0; 7]), None);
    }

    #[test]
    fn loopback_has_no_occupant() {
        assert_eq!(program_id("lo").unwrap(), None);
    }
}
