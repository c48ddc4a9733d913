//! Static lists that allow what is in the lane.

use std::net::IpAddr;

use secbeat_common::{
    lists::{Described, Entry, List, NEVER, build, verdict},
    verdict::Verdict,
};
use secbeat_edge::kernel::Allowing;

use super::{HOUR, Host};

#[test]
fn what_a_list_allows_is_not_dropped_by_the_lane_until_the_list_is_gone() {
    let mut host = Host::new();
    let mut tables = host.pinned.lists();
    for (source, net) in [
        ("198.51.100.7", "198.51.100.0/28"),
        ("2001:db8:bad:1::7", "2001:db8:bad:1::7/128"),
    ] {
        let source: IpAddr = source.parse().unwrap();
        host.ban(source, HOUR);
        host.expect(source, Verdict::Banned);
        let list = List {
            slot: 0,
            described: Described {
                name: "friends".to_owned(),
                verdict: verdict::ALLOW,
                prefixes: 1,
                ..Described::default()
            },
            entries: vec![Entry {
                net: net.parse().unwrap(),
                ends: NEVER,
            }],
        };
        let staged = tables.stage(&build(&[list], 1).unwrap().lines).unwrap();
        let allowing = staged.allowing().unwrap();
        // In the order in which the edge does it.
        host.allowed.set_listed(allowing.clone()).unwrap();
        host.expect(source, Verdict::Banned);
        host.bans.allow(&host.allowed);
        host.expect(source, Verdict::Banned);
        tables.bring(staged, &allowing).unwrap();
        host.expect(source, Verdict::Allowed);
        host.ban(source, HOUR);
        host.walk();
        host.expect(source, Verdict::Allowed);

        tables.clear().unwrap();
        host.expect(source, Verdict::Banned);
        host.allowed.set_listed(Allowing::default()).unwrap();
        host.bans.allow(&host.allowed);
        host.expect(source, Verdict::Banned);
        // The lane has it again.
        host.ban(source, HOUR);
        host.evict(source);
        host.expect(source, Verdict::Banned);
        host.unban(source);
    }
}
