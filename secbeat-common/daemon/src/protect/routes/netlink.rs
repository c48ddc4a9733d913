//! Questions to the kernel (netlink(7)).

use std::{io, ops::ControlFlow};

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    errno::Errno,
    libc::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, RTM_GETROUTE},
};

/// The kernel's own limit.
const MAX_ANSWER: usize = 32 * 1024;
/// Messages begin at multiples of it.
const ALIGNMENT: usize = 4;

/// A socket whose questions the kernel takes by the letter. Without that it tells of every table, whichever was asked for.
fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_netlink_get_strict_chk(true)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Puts a header before `body`.
fn request(kind: u16, flags: i32, body: &[u8]) -> Vec<u8> {
    const HEADER: usize = 16;
    let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Asks for all that there is, and hands each message with its kind to `take`, until that breaks off; tells whether it was handed all.
pub(super) fn dump(
    kind: u16,
    body: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> ControlFlow<()>,
) -> io::Result<bool> {
    let socket = open()?;
    socket.send(&request(kind, NLM_F_REQUEST | NLM_F_DUMP, body), 0)?;
    let mut buffer = Vec::with_capacity(MAX_ANSWER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            match i32::from(message.message_type()) {
                NLMSG_DONE | NLMSG_ERROR => return refusal(message.payload()).map(|()| true),
                _ if take(message.message_type(), message.payload()).is_break() => return Ok(false),
                _ => {}
            }
            let length = (message.length() as usize).next_multiple_of(ALIGNMENT);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// Asks for one route; `None` if there is none.
pub(super) fn ask(body: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let socket = open()?;
    socket.send(&request(RTM_GETROUTE, NLM_F_REQUEST, body), 0)?;
    let mut buffer = Vec::with_capacity(MAX_ANSWER);
    socket.recv(&mut buffer, 0)?;
    let message = NetlinkBuffer::new_checked(buffer.as_slice()).map_err(io::Error::other)?;
    let is_route = i32::from(message.message_type()) != NLMSG_ERROR;
    Ok(is_route.then(|| message.payload().to_vec()))
}

/// What the end of an answer says, if that is an error. No such table, and no such family on this host, are none.
fn refusal(end: &[u8]) -> io::Result<()> {
    let code = end
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code).saturating_neg());
    match Errno::from_raw(code) {
        _ if code == 0 => Ok(()),
        Errno::ENOENT | Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP => Ok(()),
        errno => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_no_error() {
        for (code, is_error) in [
            (0, false),
            (-2, false),
            (-97, false),
            (-95, false),
            (-1, true),
            (-22, true),
        ] {
            assert_eq!(refusal(&i32::to_ne_bytes(code)).is_err(), is_error, "{code}");
        }
        assert!(refusal(&[]).is_ok());
    }
}
