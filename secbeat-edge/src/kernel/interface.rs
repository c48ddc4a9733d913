//! The kernel's data about an interface (rtnetlink(7)): what it is, which XDP programs run on it, and why it takes none.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
};

use aya::programs::loaded_programs;
use netlink_packet_core::NetlinkBuffer;
use nix::{
    libc::{
        IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_NUM_RX_QUEUES, IFLA_XDP,
        NLM_F_ACK, NLM_F_REQUEST, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK,
    },
    net::if_::{if_nameindex, if_nametoindex},
};

use super::{
    clsact,
    pins::Mode,
    raw::tcx_programs,
    rtnetlink::{Question, attribute, nested, said},
};

/// Of `enum` in `linux/if_link.h`, inside [`IFLA_XDP`]: the program that the driver runs, the one in the stack, and the card's.
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;
/// Of `linux/if_link.h`, inside `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
/// Of `linux/if_link.h`, inside `IFLA_INFO_DATA` of an ipvlan: `IPVLAN_MODE_…`.
const IFLA_IPVLAN_MODE: u16 = 1;
const IPVLAN_MODE_L3S: u16 = 2;
/// Of `linux/if_tunnel.h`, inside `IFLA_INFO_DATA` of a GRE tunnel: a flag.
const IFLA_GRE_COLLECT_METADATA: u16 = 18;
/// What the names of SecBeat's programs begin with.
const OURS: &str = "secbeat";
/// `struct ifinfomsg`.
pub(super) const HEADER: usize = 16;

/// A program that runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) mode: Mode,
    pub(super) program: u32,
}

/// A program as people know it.
pub(super) fn name_of(id: u32) -> String {
    if id == 0 {
        return "a filter without a BPF program".to_owned();
    }
    let program = loaded_programs().flatten().find(|program| program.id() == id);
    match program.as_ref().and_then(|program| program.name_as_str()) {
        Some(name) if !name.is_empty() => format!("`{name}` (id {id})"),
        _ => format!("program {id}"),
    }
}

/// The interfaces on which a program runs that is called as SecBeat's are, with these programs.
///
/// # Errors
///
/// Returns an error if the kernel does not say which interfaces there are.
pub fn with_our_programs() -> io::Result<Vec<String>> {
    let ours: Vec<u32> = loaded_programs()
        .flatten()
        .filter(|program| program.name_as_str().is_some_and(|name| name.starts_with(OURS)))
        .map(|program| program.id())
        .collect();
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for interface in &if_nameindex()? {
        // It may have gone since.
        let running = Interface::of(interface.index()).map(|it| it.running);
        // Filters are told by the pins that they belong to, and may be somebody else's with the same program.
        let is_ours = |it: &Running| it.mode != Mode::Clsact && ours.contains(&it.program);
        if running.is_ok_and(|running| running.iter().any(is_ours)) {
            found.push(interface.name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// That another XDP program has the place, for people.
pub(super) fn taken(other: u32) -> String {
    format!(
        "another XDP program is attached: {}; SecBeat does not replace it",
        name_of(other)
    )
}

/// An interface of this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    /// `IFF_…` of netdevice(7).
    flags: u32,
    /// `ARPHRD_…` of `linux/if_arp.h`.
    pub(super) kind: u16,
    /// The number of the bridge, bond or team that it is a port of.
    master: Option<u32>,
    /// The number of the interface that it is a VLAN, macvlan or the like of.
    parent: Option<u32>,
    /// The kind of a virtual one, such as `veth`.
    pub(super) driver: Option<String>,
    /// Whether it is an ipvlan in mode L3S.
    is_l3s: bool,
    /// Whether it is a GRE tunnel whose peers are named by routes (`external`).
    is_external_gre: bool,
    /// Whether it is a veth whose other end is in another network namespace.
    is_across: bool,
    pub(super) mtu: Option<u32>,
    pub(super) receive_queues: Option<u32>,
    /// The XDP programs, and then those in the stack's ingress hook, in the order in which they see packets.
    pub(super) running: Vec<Running>,
}

/// The reason why an interface of some kinds is not protected.
pub(super) const UNKNOWN_LINK: &str = "its packets begin with a header that SecBeat does not read; enforcement = \"both\" or \"l7\" refuses the HTTP clients behind it";
const VRF: &str = "it is a VRF, which packets reach past its hooks: name the interfaces in it";
const IFB: &str = "it is an ifb, which hands packets back without a run of its ingress hooks: name the card";
const L3S: &str = "it is an ipvlan in mode l3s, which packets reach past its hooks: name the card below";

/// What the packets of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    /// The IP header. IPsec leaves the Ethernet header of the interface below before it.
    Ip,
    /// A header that SecBeat does not read, as of InfiniBand.
    Unknown,
}

impl Interface {
    /// Returns what its packets begin with.
    pub(super) fn link(&self) -> Link {
        /// A synchronous card has a header of its own, before what `ppp` takes off.
        const PPP: u16 = 512;
        /// One of several peers, or of a multicast group, has a header for them (`ipgre_header_ops`).
        const IPGRE: u16 = 778;
        const BROADCAST: u32 = 0x2;
        const POINT_TO_POINT: u32 = 0x10;
        match self.kind {
            // `ARPHRD_ETHER`, and loopback's.
            1 | 772 => Link::Ethernet,
            // `ARPHRD_SLIP` to `CSLIP6`, `RAWHDLC`, `RAWIP`, `TUNNEL`, `TUNNEL6`, `SIT`, `IP6GRE`, `NONE`.
            256..=259 | 518 | 519 | 768 | 769 | 776 | 823 | 65534 => Link::Ip,
            PPP if self.driver.as_deref() == Some("ppp") => Link::Ip,
            IPGRE if self.is_external_gre => Link::Ip,
            IPGRE if self.flags & (POINT_TO_POINT | BROADCAST) == POINT_TO_POINT => Link::Ip,
            _ => Link::Unknown,
        }
    }

    /// Returns why no program could protect it.
    pub(super) fn unprotectable(&self) -> Option<&'static str> {
        match self.link() {
            Link::Unknown => Some(UNKNOWN_LINK),
            // The kernel hands packets to these behind the hooks of the interface that they came in by, and runs none of their own.
            _ if self.driver.as_deref() == Some("vrf") => Some(VRF),
            _ if self.driver.as_deref() == Some("ifb") => Some(IFB),
            _ if self.is_l3s => Some(L3S),
            _ => None,
        }
    }

    /// Whether packets may come to it past XDP in its driver: `bpf_redirect_peer` hands them to the stack of another network namespace,
    /// and the driver does not see them.
    pub(super) const fn has_detour(&self) -> bool {
        self.is_across
    }

    /// Whether the driver's program of it runs on its members.
    pub(super) fn is_bond(&self) -> bool {
        self.driver.as_deref() == Some("bond")
    }

    /// The number of the bridge, bond or team that it is a port of.
    pub(super) const fn master(&self) -> Option<u32> {
        self.master
    }

    /// Whether `self` carries the packets of `upper`.
    fn is_below(&self, upper: &Self) -> bool {
        self.master == Some(upper.index) || upper.parent == Some(self.index)
    }

    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such interface, or the kernel cannot be asked.
    pub(super) fn find(name: &str) -> io::Result<Self> {
        Self::of(if_nametoindex(name)?)
    }

    /// The interface with this number.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub(super) fn of(index: u32) -> io::Result<Self> {
        let answer = Question::new(RTM_GETLINK, NLM_F_REQUEST, &about(index)).ask()?;
        let message = NetlinkBuffer::new_checked(answer.as_slice()).ok();
        let message = message.filter(|message| message.message_type() == RTM_NEWLINK);
        let mut found = message
            .and_then(|message| Self::read(message.payload()))
            .ok_or(io::ErrorKind::NotFound)?;
        let in_stack = tcx_programs(index)?.into_iter().map(|program| Running {
            mode: Mode::Tc,
            program,
        });
        found.running.extend(in_stack);
        let filters = clsact::filters(index)?.into_iter().map(|filter| Running {
            mode: Mode::Clsact,
            program: filter.program,
        });
        found.running.extend(filters);
        Ok(found)
    }

    /// The XDP program that runs on it.
    pub(super) fn xdp(&self) -> Option<&Running> {
        self.running.iter().find(|running| running.mode.is_xdp())
    }

    /// Reads an answer: an `ifinfomsg`, and attributes.
    fn read(payload: &[u8]) -> Option<Self> {
        let (head, attributes) = payload.split_at_checked(16)?;
        let number = |kind| {
            let value = attribute(attributes, kind)?;
            Some(u32::from_ne_bytes(value.try_into().ok()?))
        };
        let info = attribute(attributes, IFLA_LINKINFO).unwrap_or_default();
        let driver = attribute(&info, IFLA_INFO_KIND).unwrap_or_default();
        let data = attribute(&info, IFLA_INFO_DATA).unwrap_or_default();
        let is_of = |kinds: &[&str]| {
            kinds
                .iter()
                .any(|kind| driver.strip_suffix(b"\0") == Some(kind.as_bytes()))
        };
        let is_l3s =
            attribute(&data, IFLA_IPVLAN_MODE).is_some_and(|mode| mode == IPVLAN_MODE_L3S.to_ne_bytes());
        // Of others it is a peer, or the device of a tunnel.
        let is_stacked = is_of(&["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"]);
        Some(Self {
            kind: u16::from_ne_bytes([head[2], head[3]]),
            index: u32::from_ne_bytes(head[4..8].try_into().ok()?),
            flags: u32::from_ne_bytes(head[8..12].try_into().ok()?),
            master: number(IFLA_MASTER),
            parent: number(IFLA_LINK).filter(|_| is_stacked),
            is_l3s: is_l3s && is_of(&["ipvlan", "ipvtap"]),
            is_external_gre: is_of(&["gre"]) && attribute(&data, IFLA_GRE_COLLECT_METADATA).is_some(),
            is_across: is_of(&["veth"]) && attribute(attributes, IFLA_LINK_NETNSID).is_some(),
            driver: driver
                .strip_suffix(b"\0")
                .map(|kind| String::from_utf8_lossy(kind).into_owned()),
            mtu: number(IFLA_MTU),
            receive_queues: number(IFLA_NUM_RX_QUEUES),
            running: running_in(payload),
        })
    }
}

/// The names of interfaces in an order in which each comes before those that it carries: the kernel allows no program below one.
/// Those that there are not come last.
pub(super) fn from_below(names: &[String]) -> Vec<String> {
    let mut waiting: Vec<(String, Option<Interface>)> = names
        .iter()
        .map(|name| (name.clone(), Interface::find(name).ok()))
        .collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_free = |upper: &Option<Interface>| {
            upper.as_ref().is_some_and(|upper| {
                let mut others = waiting.iter().filter_map(|(_, lower)| lower.as_ref());
                !others.any(|lower| lower.is_below(upper))
            })
        };
        let next = waiting
            .iter()
            .position(|(_, interface)| is_free(interface))
            .unwrap_or(0);
        ordered.push(waiting.remove(next).0);
    }
    ordered
}

/// Returns why the kernel refuses a program on the interface with this number, in its own words (extended acknowledgement of
/// netlink). It is asked again by another way, since bpf(2) tells a number alone; should it say yes this time, that is undone.
pub(super) fn refusal(index: u32, program: BorrowedFd<'_>, mode: Mode) -> Option<String> {
    const UPDATE_IF_NOEXIST: u32 = 1;
    let flag = match mode {
        Mode::Generic => 2_u32,
        Mode::Native => 4,
        Mode::Tc | Mode::Clsact => return None,
    };
    let set = |fd: RawFd, flags: u32| set_program(index, fd, flags).ask();
    let answer = set(program.as_raw_fd(), UPDATE_IF_NOEXIST | flag).ok()?;
    let message = NetlinkBuffer::new_checked(answer.as_slice()).ok()?;
    match said(message.payload()) {
        Some((_, text)) => text,
        None => {
            let _ = set(-1, flag);
            None
        }
    }
}

/// Asks to put a program on an interface, or with -1 to take it off.
fn set_program(index: u32, fd: RawFd, flags: u32) -> Question {
    const IFLA_XDP_FD: u16 = 1;
    const IFLA_XDP_FLAGS: u16 = 3;
    const NESTED: u16 = 1 << 15;
    let xdp = [
        nested(IFLA_XDP_FD, &fd.to_ne_bytes()),
        nested(IFLA_XDP_FLAGS, &flags.to_ne_bytes()),
    ]
    .concat();
    let mut body = about(index).to_vec();
    body.extend(nested(IFLA_XDP | NESTED, &xdp));
    Question::new(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, &body)
}

/// An `ifinfomsg` that is empty but for its index.
pub(super) fn about(index: u32) -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_the_nested_attribute() {
        let xdp = [
            nested(2, &[1]),
            nested(4, &77_u32.to_ne_bytes()),
            nested(IFLA_XDP_SKB_PROG_ID, &77_u32.to_ne_bytes()),
        ]
        .concat();
        let with = [vec![0; 16], nested(3, b"eth0\0"), nested(IFLA_XDP, &xdp)].concat();
        let running = Running {
            mode: Mode::Generic,
            program: 77,
        };
        assert_eq!(running_in(&with), [running]);
        let without = [vec![0; 16], nested(IFLA_XDP, &nested(2, &[0]))].concat();
        assert_eq!(running_in(&without), []);
        assert_eq!(running_in(&[0; 7]), []);
    }

    #[test]
    fn lower_interfaces_come_first() {
        let interface = |index, master, parent| Interface {
            index,
            master,
            parent,
            ..Interface::default()
        };
        let (bridge, port) = (interface(1, None, None), interface(2, Some(1), Some(3)));
        let card = interface(3, None, None);
        assert!(port.is_below(&bridge) && card.is_below(&port));
        assert!(!bridge.is_below(&port) && !port.is_below(&card) && !card.is_below(&bridge));
        let names = ["nope1", "lo", "nope0"].map(str::to_owned);
        assert_eq!(from_below(&names), ["lo", "nope1", "nope0"]);
    }

    #[test]
    fn what_packets_begin_with_is_known_or_said_to_be_unknown() {
        let link = |kind, flags| {
            Interface {
                kind,
                flags,
                ..Interface::default()
            }
            .link()
        };
        assert_eq!((link(1, 0), link(772, 0)), (Link::Ethernet, Link::Ethernet));
        for (kind, flags) in [
            (65534, 0),
            (256, 0),
            (259, 0),
            (518, 0),
            (519, 0),
            (768, 0x10),
            (769, 0),
            (776, 0),
            (778, 0x90),
            (823, 0),
        ] {
            assert_eq!(link(kind, flags), Link::Ip, "{kind}");
        }
        // InfiniBand, a GRE tunnel with many peers, of a multicast group, FireWire, 802.15.4, Cisco HDLC, PPP of a synchronous card, CAN.
        for (kind, flags) in [
            (32, 0),
            (778, 0),
            (778, 0x12),
            (24, 0),
            (804, 0),
            (513, 0),
            (512, 0x10),
            (280, 0),
        ] {
            assert_eq!(link(kind, flags), Link::Unknown, "{kind}");
        }
    }

    /// This kernel may have none of them: its answer, as it writes it.
    fn answered(hardware: u16, kind: &[u8], data: &[u8]) -> Interface {
        let info = [nested(IFLA_INFO_KIND, kind), nested(IFLA_INFO_DATA, data)].concat();
        let mut head = [0; HEADER];
        head[2..4].copy_from_slice(&hardware.to_ne_bytes());
        Interface::read(&[&head[..], &nested(IFLA_LINKINFO, &info)].concat()).unwrap()
    }

    #[test]
    fn the_kind_of_an_interface_says_what_its_hardware_type_does_not() {
        let external = nested(IFLA_GRE_COLLECT_METADATA, &[]);
        for (hardware, kind, data, expected) in [
            (512, &b"ppp\0"[..], &[][..], Link::Ip),
            (512, b"\0", &[], Link::Unknown),
            (778, b"gre\0", &external, Link::Ip),
            (778, b"gre\0", &[], Link::Unknown),
        ] {
            let found = answered(hardware, kind, data);
            assert_eq!(found.link(), expected, "{hardware} {kind:?}");
        }
        assert_eq!(answered(1, b"ifb\0", &[]).unprotectable(), Some(IFB));
        assert_eq!(answered(1, b"vrf\0", &[]).unprotectable(), Some(VRF));
        assert_eq!(answered(65534, b"xfrm\0", &[]).unprotectable(), None);
    }

    /// As `ipvlan_nl_fillinfo` writes it.
    #[test]
    fn an_ipvlan_whose_packets_go_past_its_hooks_is_known_by_its_mode() {
        let link = |kind: &[u8], mode: u16| answered(1, kind, &nested(IFLA_IPVLAN_MODE, &mode.to_ne_bytes()));
        for (kind, mode, expected) in [
            (&b"ipvlan\0"[..], 0, None),
            (b"ipvlan\0", 1, None),
            (b"ipvlan\0", 2, Some(L3S)),
            (b"ipvtap\0", 2, Some(L3S)),
            // Its modes are other ones.
            (b"macvlan\0", 2, None),
        ] {
            assert_eq!(link(kind, mode).unprotectable(), expected, "{kind:?} {mode}");
        }
    }

    #[test]
    fn loopback_has_no_occupant() {
        let loopback = Interface::find("lo").unwrap();
        assert_eq!((loopback.running.len(), loopback.link()), (0, Link::Ethernet));
        assert!(Interface::of(u32::MAX >> 1).is_err() && Interface::find("nope0").is_err());
    }
}
