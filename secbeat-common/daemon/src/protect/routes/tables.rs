//! The routing tables that packets are routed by: those of rules and of VRFs.

use std::{collections::BTreeSet, io, net::IpAddr, ops::ControlFlow};

use nix::libc::{
    IFLA_LINKINFO, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTM_GETLINK, RTM_GETRULE, RTM_NEWLINK, RTM_NEWRULE,
};

use super::{
    message::{Flow, attribute, family, find, find_u32},
    netlink,
};

/// Of `linux/fib_rules.h`.
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_L3MDEV: u16 = 19;
const FR_ACT_TO_TBL: u8 = 1;
/// `struct fib_rule_hdr`, and `struct ifinfomsg`.
const RULE: usize = 12;
const LINK: usize = 16;
/// Of `linux/if_link.h`, inside `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
/// Inside the data of a VRF.
const IFLA_VRF_TABLE: u16 = 1;
const NESTED: u16 = 1 << 15;
const VRF: &[u8] = b"vrf\0";

/// The tables of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) numbers: BTreeSet<u32>,
    /// Marks that rules look for.
    marks: BTreeSet<u32>,
    vrfs: BTreeSet<u32>,
}

impl Tables {
    /// Asks the kernel.
    pub(super) fn of(target: IpAddr) -> io::Result<Self> {
        let mut tables = Self::default();
        let mut has_vrfs = false;
        let mut head = [0; RULE];
        head[0] = family(target);
        netlink::dump(RTM_GETRULE, &head, |kind, rule| {
            if kind == RTM_NEWRULE {
                has_vrfs |= tables.add_rule(rule);
            }
            ControlFlow::Continue(())
        })?;
        if tables.numbers.is_empty() {
            // A kernel without rules.
            tables.numbers.insert(u32::from(RT_TABLE_MAIN));
        }
        // This table is of the host's own addresses.
        tables.numbers.remove(&u32::from(RT_TABLE_LOCAL));
        if has_vrfs {
            let kind = attribute(IFLA_INFO_KIND, VRF);
            let body = [&[0; LINK][..], &attribute(IFLA_LINKINFO | NESTED, &kind)].concat();
            netlink::dump(RTM_GETLINK, &body, |kind, link| {
                if kind == RTM_NEWLINK {
                    tables.add_link(link);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(tables)
    }

    /// Returns what makes the kernel look into the tables in turn.
    pub(super) fn flows(&self) -> Vec<Flow> {
        let marks = self.marks.iter().map(|&mark| Flow { mark, vrf: 0 });
        let vrfs = self.vrfs.iter().map(|&vrf| Flow { mark: 0, vrf });
        [Flow::default()].into_iter().chain(marks).chain(vrfs).collect()
    }

    /// Adds the table of a rule; tells whether it leads to the tables of VRFs instead.
    fn add_rule(&mut self, rule: &[u8]) -> bool {
        let Some((head, attributes)) = rule.split_at_checked(RULE) else {
            return false;
        };
        if head[7] != FR_ACT_TO_TBL {
            return false;
        }
        self.marks
            .extend(find_u32(attributes, FRA_FWMARK).filter(|&mark| mark != 0));
        if find(attributes, FRA_L3MDEV).is_some_and(|is_it| is_it.first() == Some(&1)) {
            return true;
        }
        let number = find_u32(attributes, FRA_TABLE).unwrap_or_else(|| u32::from(head[4]));
        self.numbers.extend(Some(number).filter(|&number| number != 0));
        false
    }

    /// Adds the table of a VRF. Kernels that know of none tell of every interface.
    fn add_link(&mut self, link: &[u8]) -> Option<()> {
        let (head, attributes) = link.split_at_checked(LINK)?;
        let info = find(attributes, IFLA_LINKINFO)?;
        if find(&info, IFLA_INFO_KIND)? == VRF {
            let number = find_u32(&find(&info, IFLA_INFO_DATA)?, IFLA_VRF_TABLE)?;
            self.numbers.insert(number);
            self.vrfs.insert(u32::from_ne_bytes(head[4..8].try_into().ok()?));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let head = [2, 0, 0, 0, 252, 0, 0, action, 0, 0, 0, 0];
        [&head[..], &attributes.concat()].concat()
    }

    #[test]
    fn rules_lead_to_tables_and_vrfs() {
        let mut tables = Tables::default();
        let number = |kind, number: u32| attribute(kind, &number.to_ne_bytes());
        assert!(!tables.add_rule(&rule(1, &[number(FRA_TABLE, 1000), number(FRA_FWMARK, 7)])));
        assert!(!tables.add_rule(&rule(1, &[])));
        // One that forbids, and what is cut off.
        assert!(!tables.add_rule(&rule(8, &[number(FRA_TABLE, 9)])));
        assert!(!tables.add_rule(&[2, 0]));
        let mut l3mdev = attribute(FRA_L3MDEV, &[1, 0, 0, 0]);
        l3mdev[0] = 5;
        assert!(tables.add_rule(&rule(1, &[l3mdev])));
        let vrf = |kind: &[u8]| {
            let data = attribute(IFLA_INFO_DATA, &number(IFLA_VRF_TABLE, 10));
            let info = [attribute(IFLA_INFO_KIND, kind), data].concat();
            let mut head = [0; LINK];
            head[4..8].copy_from_slice(&5_u32.to_ne_bytes());
            [&head[..], &attribute(IFLA_LINKINFO, &info)].concat()
        };
        assert!(tables.add_link(&vrf(VRF)).is_some());
        tables.add_link(&vrf(b"tun\0"));
        assert_eq!(tables.numbers, BTreeSet::from([10, 252, 1000]));
        let flow = |mark, vrf| Flow { mark, vrf };
        assert_eq!(tables.flows(), [flow(0, 0), flow(7, 0), flow(0, 5)]);
    }

    #[test]
    fn the_main_table_is_always_among_them() {
        for target in super::super::TARGETS {
            let tables = Tables::of(target).unwrap();
            assert!(
                tables.numbers.contains(&254) && !tables.numbers.contains(&255),
                "{tables:?}"
            );
        }
    }
}
