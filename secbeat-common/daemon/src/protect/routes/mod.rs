//! The ways out of this network namespace: the next hops of its default routes, in whatever routing table.
//!
//! A router's table may have a million routes, and this is asked every few seconds. So a table is read to its end only if that is
//! near. The kernel tells the routes of IPv4 in the order of their prefixes, the default first. For the others it is asked the way to
//! an address to which no other route leads.

mod message;
mod netlink;
mod tables;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::ControlFlow,
};

use nix::{
    libc::{RTM_GETROUTE, RTM_NEWROUTE},
    net::if_::if_indextoname,
};

use self::{message::NextHop, tables::Tables};

/// Routes of a table that are read at most.
const NEAR: usize = 256;

/// In no routing table of the Internet: of class E, and of a block that is reserved.
const TARGETS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1)),
];

/// Gateways of the default routes.
///
/// # Errors
///
/// Returns an error if the kernel cannot be asked.
pub(super) fn gateways() -> io::Result<Vec<IpAddr>> {
    Ok(next_hops()?.into_iter().filter_map(|hop| hop.gateway).collect())
}

/// The interfaces that the default routes of this network namespace go through, IPv4 and IPv6, in whatever routing table that a rule
/// or a VRF leads to. Half of the addresses (`0.0.0.0/1`) is as good as all, as VPNs have it.
///
/// # Errors
///
/// Returns an error if the kernel cannot be asked.
pub fn default_route_interfaces() -> io::Result<Vec<String>> {
    let interfaces: BTreeSet<u32> = next_hops()?.into_iter().map(|hop| hop.interface).collect();
    // One that has gone since has no name.
    let names = interfaces
        .into_iter()
        .filter_map(|index| if_indextoname(index).ok());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

fn next_hops() -> io::Result<BTreeSet<NextHop>> {
    let mut found = BTreeSet::new();
    for target in TARGETS {
        let tables = Tables::of(target)?;
        let mut is_all = true;
        for &table in &tables.numbers {
            is_all &= read_table(target, table, &mut found)?;
        }
        if !is_all {
            for flow in tables.flows() {
                let question = message::lookup(target, flow);
                found.extend(
                    netlink::ask(&question)?
                        .iter()
                        .flat_map(|route| message::next_hops(route)),
                );
            }
        }
    }
    Ok(found)
}

/// Adds the default routes of a table to `found`; tells whether it was read to its end.
fn read_table(family_of: IpAddr, table: u32, found: &mut BTreeSet<NextHop>) -> io::Result<bool> {
    let mut read = 0;
    netlink::dump(RTM_GETROUTE, &message::table(family_of, table), |kind, route| {
        if kind == RTM_NEWROUTE {
            found.extend(message::next_hops(route));
            read += 1;
        }
        match read < NEAR {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let interfaces = default_route_interfaces().unwrap();
        assert!(!interfaces.contains(&String::new()));
        gateways().unwrap();
    }
}
