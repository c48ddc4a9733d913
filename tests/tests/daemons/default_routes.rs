//! Which interfaces the default routes go through, by every way that a kernel has to say so, and what the question costs.

use std::{
    fmt::Write as _,
    fs,
    ops::Range,
    process::Stdio,
    time::{Duration, Instant},
};

use secbeat_daemon::protect::default_route_interfaces;
use secbeat_tests::lab::{
    executable::Program,
    netns::{End, Namespace, link},
};

/// A host with interfaces `net-a` to `net-d`, whose other ends are there, too.
fn host() -> Namespace {
    let host = Namespace::new("host");
    for (number, name) in ["net-a", "net-b", "net-c", "net-d"].into_iter().enumerate() {
        let addresses = [format!("10.{number}.0.1/24"), format!("fd00:{number}::1/64")];
        let near = End {
            namespace: &host,
            interface: name,
            addresses: &addresses.each_ref().map(String::as_str),
        };
        let far = End {
            namespace: &host,
            interface: &format!("peer-{name}"),
            addresses: &[],
        };
        link(near, far);
    }
    host
}

#[track_caller]
fn expect(host: &Namespace, interfaces: &[&str]) {
    assert_eq!(host.enter(default_route_interfaces).unwrap(), interfaces);
}

fn ip(host: &Namespace, arguments: &str) {
    host.ip(&arguments.split(' ').collect::<Vec<_>>());
}

#[test]
fn all_next_hops_of_a_default_route_count() {
    let host = host();
    expect(&host, &[]);
    ip(
        &host,
        "route add default nexthop via 10.0.0.2 nexthop via 10.1.0.2",
    );
    expect(&host, &["net-a", "net-b"]);
    ip(
        &host,
        "-6 route add default nexthop via fd00:2::2 nexthop via fd00:3::2",
    );
    expect(&host, &["net-a", "net-b", "net-c", "net-d"]);
    ip(&host, "route del default");
    ip(&host, "-6 route del default");
    // Next hops may be objects of their own.
    ip(&host, "nexthop add id 1 via 10.1.0.2 dev net-b");
    ip(&host, "nexthop add id 2 via 10.3.0.2 dev net-d");
    ip(&host, "nexthop add id 3 group 1/2");
    ip(&host, "route add default nhid 3");
    expect(&host, &["net-b", "net-d"]);
}

#[test]
fn default_routes_of_other_tables_count_if_a_rule_leads_there() {
    let host = host();
    ip(&host, "route add default via 10.0.0.2 table 100");
    ip(&host, "-6 route add default via fd00:1::2 table 100000");
    expect(&host, &[]);
    ip(&host, "rule add from 10.0.0.0/24 lookup 100");
    expect(&host, &["net-a"]);
    ip(&host, "-6 rule add fwmark 7 lookup 100000");
    expect(&host, &["net-a", "net-b"]);
    // As wg-quick has it.
    ip(&host, "route add default dev net-c table 51820");
    ip(&host, "rule add not fwmark 51820 table 51820");
    expect(&host, &["net-a", "net-b", "net-c"]);
}

#[test]
fn halves_of_all_addresses_count_and_routes_that_lead_nowhere_do_not() {
    let host = host();
    for route in [
        "route add blackhole default",
        "-6 route add unreachable default",
        "route add 192.0.2.0/24 dev net-a",
        "-6 route add 2001:db8::/32 dev net-a",
    ] {
        ip(&host, route);
    }
    expect(&host, &[]);
    ip(&host, "route add 0.0.0.0/1 dev net-b");
    ip(&host, "route add 128.0.0.0/1 dev net-c");
    expect(&host, &["net-b", "net-c"]);
    ip(&host, "-6 route add 2000::/3 dev net-d");
    expect(&host, &["net-b", "net-c", "net-d"]);
}

/// Adds routes of each family, as a router may have them.
fn fill(host: &Namespace, numbers: Range<u32>) {
    let mut batch = String::new();
    for number in numbers {
        let (high, low) = (number >> 8, number & 0xff);
        writeln!(
            batch,
            "route add 20.{}.{}.{low}/32 dev net-a",
            high >> 8,
            high & 0xff
        )
        .unwrap();
        writeln!(batch, "route add 2001:db8:{high:x}:{low:x}::/64 dev net-a").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes");
    fs::write(&file, batch).unwrap();
    let mut adding = host.command(Program::Ip);
    let added = adding
        .arg("-batch")
        .arg(file)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(added.success());
}

/// How long a look takes that nothing interrupts: of several the shortest.
fn look(host: &Namespace) -> Duration {
    host.enter(|| {
        let times = (0..30).map(|_| {
            let start = Instant::now();
            default_route_interfaces().unwrap();
            start.elapsed()
        });
        times.min().unwrap()
    })
}

/// The edge looks every 2 s.
#[test]
fn a_look_costs_no_more_on_a_router_of_200000_routes() {
    let host = host();
    ip(&host, "route add default via 10.1.0.2");
    ip(&host, "-6 route add default via fd00:2::2");
    fill(&host, 0..1000);
    let few = look(&host);
    fill(&host, 1000..100_000);
    let many = look(&host);
    println!("a look at 2,000 routes takes {few:?}, at 200,000 {many:?}");
    expect(&host, &["net-b", "net-c"]);
    assert!(many < few * 5, "{few:?} of 2,000 routes, {many:?} of 200,000");
    // Each family, and other ways to say it.
    ip(&host, "route del default");
    ip(&host, "-6 route del default");
    expect(&host, &[]);
    ip(&host, "route add 0.0.0.0/1 dev net-d");
    ip(&host, "route add 128.0.0.0/1 dev net-c");
    ip(
        &host,
        "-6 route add default nexthop via fd00:1::2 nexthop via fd00:2::2",
    );
    expect(&host, &["net-b", "net-c", "net-d"]);
    ip(&host, "rule add fwmark 7 lookup 100");
    ip(&host, "route add default dev net-a table 100");
    expect(&host, &["net-a", "net-b", "net-c", "net-d"]);
}
