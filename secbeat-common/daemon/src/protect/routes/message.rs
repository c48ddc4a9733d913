//! Routes as the kernel writes them (rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NlasIterator;
use nix::libc::{
    AF_INET, AF_INET6, RTA_DST, RTA_GATEWAY, RTA_MARK, RTA_MULTIPATH, RTA_OIF, RTA_TABLE, RTA_VIA,
    RTN_UNICAST,
};

/// Destination of a default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NextHop {
    pub(super) interface: u32,
    /// None if everybody is reached directly.
    pub(super) gateway: Option<IpAddr>,
}

/// Keys by which rules choose a table, beside the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) mark: u32,
    /// The number of a VRF.
    pub(super) vrf: u32,
}

/// `struct rtmsg`.
const HEAD: usize = 12;

pub(super) const fn family(of: IpAddr) -> u8 {
    match of {
        IpAddr::V4(_) => AF_INET as u8,
        IpAddr::V6(_) => AF_INET6 as u8,
    }
}

/// An attribute, without padding: its value is a multiple of four bytes.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
}

/// The first attribute of that kind.
pub(super) fn find(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut attributes = NlasIterator::new(attributes).flatten();
    let found = attributes.find(|attribute| attribute.kind() == kind)?;
    Some(found.value().to_vec())
}

pub(super) fn find_u32(attributes: &[u8], kind: u16) -> Option<u32> {
    let value = find(attributes, kind)?;
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// Asks for one table.
pub(super) fn table(family_of: IpAddr, number: u32) -> Vec<u8> {
    let mut head = [0; HEAD];
    head[0] = family(family_of);
    [&head[..], &attribute(RTA_TABLE, &number.to_ne_bytes())].concat()
}

/// Asks for the route to `target`, as it is in its table.
pub(super) fn lookup(target: IpAddr, flow: Flow) -> Vec<u8> {
    /// Of `linux/rtnetlink.h`.
    const RTM_F_FIB_MATCH: u32 = 0x2000;
    let mut head = [0; HEAD];
    let octets = match target {
        IpAddr::V4(target) => target.octets().to_vec(),
        IpAddr::V6(target) => target.octets().to_vec(),
    };
    head[0] = family(target);
    head[1] = octets.len() as u8 * 8;
    head[8..].copy_from_slice(&RTM_F_FIB_MATCH.to_ne_bytes());
    let mut message = [&head[..], &attribute(RTA_DST, &octets)].concat();
    for (kind, number) in [(RTA_MARK, flow.mark), (RTA_OIF, flow.vrf)] {
        if number != 0 {
            message.extend(attribute(kind, &number.to_ne_bytes()));
        }
    }
    message
}

/// The next hops of a route, if it leads everywhere, or to half of all addresses, or to all of the IPv6 Internet.
pub(super) fn next_hops(route: &[u8]) -> Vec<NextHop> {
    let Some((head, attributes)) = route.split_at_checked(HEAD) else {
        return Vec::new();
    };
    let (family, length, kind) = (i32::from(head[0]), head[1], head[7]);
    let is_default = match length {
        0 | 1 => true,
        3 => family == AF_INET6 && find(attributes, RTA_DST).is_some_and(|net| net.first() == Some(&0x20)),
        _ => false,
    };
    if !is_default || kind != RTN_UNICAST {
        return Vec::new();
    }
    match find(attributes, RTA_MULTIPATH) {
        Some(hops) => several(&hops),
        None => find_u32(attributes, RTA_OIF)
            .map(|interface| next_hop(interface, attributes))
            .into_iter()
            .collect(),
    }
}

/// Several `struct rtnexthop`, each with attributes behind it.
fn several(mut hops: &[u8]) -> Vec<NextHop> {
    const HEAD: usize = 8;
    let mut found = Vec::new();
    while let Some(&[a, b, _, _, c, d, e, f]) = hops.first_chunk::<HEAD>() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(attributes) = hops.get(HEAD..length) else {
            break;
        };
        found.push(next_hop(u32::from_ne_bytes([c, d, e, f]), attributes));
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn next_hop(interface: u32, attributes: &[u8]) -> NextHop {
    // A gateway of the other family comes behind that (`struct rtvia`).
    let via = || find(attributes, RTA_VIA)?.get(2..).map(<[u8]>::to_vec);
    let gateway = find(attributes, RTA_GATEWAY).or_else(via);
    NextHop {
        interface,
        gateway: gateway.and_then(|octets| address(&octets)),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || {
        <[u8; 4]>::try_from(octets)
            .ok()
            .map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let v6 = || {
        <[u8; 16]>::try_from(octets)
            .ok()
            .map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
    };
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A route of this family, length of its destination and kind.
    fn route(family: i32, length: u8, kind: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let head = [family as u8, length, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0];
        [&head[..], &attributes.concat()].concat()
    }

    fn hop(interface: u32, gateway: Option<&str>) -> NextHop {
        NextHop {
            interface,
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        }
    }

    fn oif(index: u32) -> Vec<u8> {
        attribute(RTA_OIF, &index.to_ne_bytes())
    }

    #[test]
    fn default_routes_tell_where_they_lead() {
        let gateway = attribute(RTA_GATEWAY, &[192, 0, 2, 1]);
        let plain = route(AF_INET, 0, RTN_UNICAST, &[gateway, oif(2)]);
        assert_eq!(next_hops(&plain), [hop(2, Some("192.0.2.1"))]);
        assert_eq!(
            next_hops(&route(AF_INET, 1, RTN_UNICAST, &[oif(3)])),
            [hop(3, None)]
        );
        let mut via = vec![AF_INET6 as u8, 0];
        via.extend("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        via.extend([0; 2]);
        let mut of_other_family = attribute(RTA_VIA, &via);
        of_other_family[..2].copy_from_slice(&22_u16.to_ne_bytes());
        let mixed = route(AF_INET, 0, RTN_UNICAST, &[of_other_family, oif(4)]);
        assert_eq!(next_hops(&mixed), [hop(4, Some("fe80::1"))]);
        for (family, length, kind) in [
            (AF_INET, 8, RTN_UNICAST),
            (AF_INET, 3, RTN_UNICAST),
            (AF_INET, 0, nix::libc::RTN_BLACKHOLE),
            (AF_INET6, 0, nix::libc::RTN_LOCAL),
            (AF_INET6, 64, RTN_UNICAST),
        ] {
            assert_eq!(next_hops(&route(family, length, kind, &[oif(2)])), []);
        }
        let unicast = |first: u8| {
            let mut destination = [0; 16];
            destination[0] = first;
            route(
                AF_INET6,
                3,
                RTN_UNICAST,
                &[attribute(RTA_DST, &destination), oif(5)],
            )
        };
        assert_eq!(next_hops(&unicast(0x20)), [hop(5, None)]);
        assert_eq!(next_hops(&unicast(0xe0)), []);
    }

    #[test]
    fn every_next_hop_counts_and_what_is_cut_off_is_no_next_hop() {
        let part = |interface: u32, attributes: &[u8]| {
            let length = (8 + attributes.len()) as u16;
            let head = [&length.to_ne_bytes()[..], &[0, 0], &interface.to_ne_bytes()].concat();
            [&head, attributes].concat()
        };
        let gateway = attribute(RTA_GATEWAY, &[192, 0, 2, 1]);
        let hops = [part(2, &gateway), part(3, &[])].concat();
        let whole = route(AF_INET, 0, RTN_UNICAST, &[attribute(RTA_MULTIPATH, &hops)]);
        assert_eq!(next_hops(&whole), [hop(2, Some("192.0.2.1")), hop(3, None)]);
        assert_eq!(several(&hops[..hops.len() - 1]), [hop(2, Some("192.0.2.1"))]);
        for cut in 0..whole.len() {
            assert_eq!(next_hops(&whole[..cut]), []);
        }
    }

    #[test]
    fn a_lookup_names_what_rules_go_by() {
        let flow = Flow { mark: 7, vrf: 0 };
        let message = lookup("240.0.0.1".parse().unwrap(), flow);
        assert_eq!(message[..2], [AF_INET as u8, 32]);
        assert_eq!(find(&message[HEAD..], RTA_DST), Some(vec![240, 0, 0, 1]));
        assert_eq!(find_u32(&message[HEAD..], RTA_MARK), Some(7));
        assert_eq!(find_u32(&message[HEAD..], RTA_OIF), None);
    }
}
