//! Messages of the kernel about links, addresses and routes, over rtnetlink(7).

use std::{io, time::Duration};

use anyhow::{Context, bail};
use netlink_packet_core::{NetlinkBuffer, NlasIterator, parse_string};
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use nix::{
    errno::Errno,
    libc::{
        AF_UNSPEC, IFLA_IFNAME, MSG_DONTWAIT, RTM_DELADDR, RTM_DELLINK, RTM_DELROUTE, RTM_NEWADDR,
        RTM_NEWLINK, RTM_NEWROUTE, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR,
        RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
    },
    net::if_::if_nameindex,
};
use tracing::debug;

const GROUPS: i32 =
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
/// Pause before interfaces are listed again when they could not be.
const RETRY: Duration = Duration::from_millis(200);
/// The kernel's own limit on one notification.
const MAX_DATAGRAM: usize = 32 * 1024;
/// Netlink messages and attributes begin at multiples of it.
const ALIGNMENT: usize = 4;
/// `struct ifinfomsg`: family (1 byte), padding, type (2), index (4), flags (4), change mask (4).
const LINK_HEADER: usize = 16;

/// One thing that the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Addresses,
    /// Of a default route, or of one that leads to half of all addresses or to all of the IPv6 Internet (`2000::/3`). All others are
    /// none of our business, and on a router there are very many.
    Routes,
    /// An interface is there, and may have been before.
    Appeared(u32, String),
    Gone(u32),
    /// Some of it was lost. These are all interfaces there are now, with their indices.
    Lost(Vec<(u32, String)>),
}

/// A socket that hears all of it.
pub(super) struct Netlink {
    socket: TokioSocket,
    buffer: Vec<u8>,
    /// Something was lost: the kernel had more to say than there was room for, or said what cannot be read. What waits
    /// in the socket may be older than that.
    overrun: bool,
}

impl Netlink {
    pub(super) fn open() -> anyhow::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).context("opening a netlink socket")?;
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, GROUPS.cast_unsigned()))
            .context("subscribing to rtnetlink")?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(MAX_DATAGRAM),
            overrun: false,
        })
    }

    /// The next notices. May be dropped while it waits; nothing is lost then.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<Notice>> {
        loop {
            if self.overrun {
                self.discard_old().await?;
                match interfaces() {
                    Ok(present) => {
                        self.overrun = false;
                        return Ok(vec![Notice::Lost(present)]);
                    }
                    // Not for long, one hopes: no file descriptor was free, say.
                    Err(error) => debug!("{error:#}; trying again"),
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer).await {
                // Only the kernel has port 0.
                Ok(sender) if sender.port_number() != 0 => {}
                Ok(_) => match parse(&self.buffer) {
                    Ok(notices) => return Ok(notices),
                    Err(error) => {
                        debug!("what the kernel says cannot be read: {error:#}");
                        self.overrun = true;
                    }
                },
                Err(error) if is_overrun(&error) => self.overrun = true,
                Err(error) => return Err(error).context("reading rtnetlink"),
            }
        }
    }

    /// Empties the socket, so that nothing from before the loss is taken for news after it.
    async fn discard_old(&mut self) -> anyhow::Result<()> {
        debug!("missed changes of the network");
        loop {
            self.buffer.clear();
            match self.socket.socket_ref().recv_from(&mut self.buffer, MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if !is_overrun(&error) => return Err(error).context("reading rtnetlink"),
                // More may come while this is read: others must have their turns.
                _ => tokio::task::consume_budget().await,
            }
        }
    }
}

fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// All interfaces with their indices.
pub(super) fn interfaces() -> anyhow::Result<Vec<(u32, String)>> {
    let interfaces = if_nameindex().context("listing interfaces")?;
    Ok(interfaces
        .iter()
        .map(|interface| (interface.index(), interface.name().to_string_lossy().into_owned()))
        .collect())
}

/// The notices in a datagram.
fn parse(mut datagram: &[u8]) -> anyhow::Result<Vec<Notice>> {
    let mut notices = Vec::new();
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).context("a broken message")?;
        notices.extend(notice(message.message_type(), message.payload())?);
        let length = (message.length() as usize).next_multiple_of(ALIGNMENT);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(notices)
}

fn notice(kind: u16, payload: &[u8]) -> anyhow::Result<Option<Notice>> {
    Ok(match kind {
        RTM_NEWADDR | RTM_DELADDR => Some(Notice::Addresses),
        // The second byte of `struct rtmsg` is the length of the destination.
        RTM_NEWROUTE | RTM_DELROUTE => {
            let length = *payload.get(1).context("no rtmsg")?;
            matches!(length, 0 | 1 | 3).then_some(Notice::Routes)
        }
        RTM_NEWLINK | RTM_DELLINK => link(kind == RTM_NEWLINK, payload)?,
        _ => None,
    })
}

fn link(is_there: bool, payload: &[u8]) -> anyhow::Result<Option<Notice>> {
    let Some((header, attributes)) = payload.split_at_checked(LINK_HEADER) else {
        bail!("no ifinfomsg");
    };
    let [family, _, _, _, a, b, c, d, ..] = *header else {
        bail!("no ifinfomsg");
    };
    // Under another family it is about a bridge's port: one that leaves its bridge is «deleted» there, and goes on.
    if i32::from(family) != AF_UNSPEC {
        return Ok(None);
    }
    let index = u32::from_ne_bytes([a, b, c, d]);
    if !is_there {
        return Ok(Some(Notice::Gone(index)));
    }
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.context("a broken attribute")?;
        if attribute.kind() == IFLA_IFNAME {
            let name = parse_string(attribute.value()).context("a broken name")?;
            return Ok(Some(Notice::Appeared(index, name)));
        }
    }
    bail!("an interface without a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(payload);
        message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
        message
    }

    fn link_payload(family: u8, index: u32, name: &str) -> Vec<u8> {
        let mut payload = vec![family, 0, 0, 0];
        payload.extend(index.to_ne_bytes());
        payload.extend([0; 8]);
        for (kind, value) in [
            (4, &1500_u32.to_ne_bytes()[..]),
            (3, format!("{name}\0").as_bytes()),
        ] {
            let length = u16::try_from(4 + value.len()).unwrap();
            payload.extend(length.to_ne_bytes());
            payload.extend(u16::to_ne_bytes(kind));
            payload.extend(value);
            payload.resize(payload.len().next_multiple_of(ALIGNMENT), 0);
        }
        payload
    }

    #[test]
    fn a_datagram_may_hold_several_messages() {
        let datagram = [
            message(RTM_NEWLINK, &link_payload(0, 7, "eth0")),
            message(RTM_NEWADDR, &[2, 24, 0, 0, 7, 0, 0, 0]),
            message(RTM_DELROUTE, &[2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]),
            message(RTM_DELLINK, &link_payload(0, 7, "eth0")),
        ];
        assert_eq!(
            parse(&datagram.concat()).unwrap(),
            [
                Notice::Appeared(7, "eth0".to_owned()),
                Notice::Addresses,
                Notice::Routes,
                Notice::Gone(7)
            ]
        );
    }

    #[test]
    fn only_default_routes_are_a_change() {
        for (length, is_default) in [(0, true), (1, true), (3, true), (8, false), (24, false)] {
            let route = message(RTM_NEWROUTE, &[2, length, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
            let expected = is_default.then_some(Notice::Routes);
            assert_eq!(parse(&route).unwrap(), Vec::from_iter(expected), "/{length}");
        }
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        const AF_BRIDGE: u8 = 7;
        assert_eq!(
            parse(&message(RTM_DELLINK, &link_payload(AF_BRIDGE, 7, "eth0"))).unwrap(),
            []
        );
    }

    #[test]
    fn a_datagram_cut_short_anywhere_cannot_be_read() {
        let whole = message(RTM_NEWLINK, &link_payload(0, 7, "eth0"));
        for cut in 1..whole.len() - 3 {
            assert!(parse(&whole[..cut]).is_err(), "{cut} bytes");
        }
        assert!(parse(&message(RTM_NEWROUTE, &[2])).is_err());
    }

    #[test]
    fn loopback_is_among_the_interfaces() {
        assert!(interfaces().unwrap().iter().any(|(_, name)| name == "lo"));
    }
}
