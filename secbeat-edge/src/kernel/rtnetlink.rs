//! Questions to rtnetlink(7), and how its answers are read.

use std::io;

use netlink_packet_core::NlasIterator;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;

/// Of `linux/netlink.h`.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The kernel's own limit.
pub(super) const MAX_ANSWER: usize = 32 * 1024;

/// A message to the kernel.
pub(super) struct Question(Vec<u8>);

impl Question {
    /// Puts a `struct nlmsghdr` before `body`. `flags` are `NLM_F_…`.
    pub(super) fn new(kind: u16, flags: i32, body: &[u8]) -> Self {
        let mut message = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((flags as u16).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        Self(message)
    }

    /// Sends it; the answer comes to the socket.
    pub(super) fn send(&self) -> io::Result<Socket> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.send(&self.0, 0)?;
        Ok(socket)
    }

    /// The first message of the answer.
    pub(super) fn ask(&self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::with_capacity(MAX_ANSWER);
        self.send()?.recv(&mut answer, 0)?;
        Ok(answer)
    }
}

/// The error in an acknowledgement or at the end of an answer, and the kernel's words for it; `None` if it is none.
pub(super) fn said(payload: &[u8]) -> Option<(Errno, Option<String>)> {
    let code = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    if code == 0 {
        return None;
    }
    // Behind the error and the head of the request, which is all of it that comes back.
    let text = payload
        .get(20..)
        .and_then(|attributes| attribute(attributes, NLMSGERR_ATTR_MSG));
    let text = text
        .map(|text| String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).into_owned())
        .filter(|text| !text.is_empty());
    Some((Errno::from_raw(code.saturating_neg()), text))
}

/// An attribute, padded.
pub(super) fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = (4 + value.len()) as u16;
    let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The value of the first attribute of this kind.
pub(super) fn attribute(attributes: &[u8], wanted: u16) -> Option<Vec<u8>> {
    NlasIterator::new(attributes)
        .flatten()
        .find(|attribute| attribute.kind() == wanted)
        .map(|attribute| attribute.value().to_vec())
}
