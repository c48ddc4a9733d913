//! The stack's ingress hook of kernels before 6.6: filters, which the kernel keeps without a pin. In newer kernels the edge is told that
//! there is no newer hook.

use std::{fs, mem, net::IpAddr, time::Duration};

use aya::programs::{
    Link as _, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use secbeat_common::maps;
use secbeat_tests::lab::{
    bpf::Filter,
    host::Host,
    netns::{End, Namespace, link},
    process::Daemon,
    udp::{self, UdpSink},
    wait::wait_until,
};

/// Long, since emulated machines run this.
const PATIENCE: Duration = Duration::from_secs(60);
const BANNED: &str = "198.51.100.7";
const INNOCENT: &str = "198.51.100.8";
const INTERFACE: &str = "to-clients";
/// Where the edge's filter is, among all that see packets first.
const PRIORITY: u16 = 1;
const OURS: TcHandle = TcHandle::new(0, 0x5ec);

/// A host, its clients, and what they send to.
struct Lab {
    host: Host,
    clients: Namespace,
    sink: UdpSink,
}

impl Lab {
    fn new() -> Self {
        let (host, clients) = (Host::without_tcx(), Namespace::new("clients"));
        link(
            End {
                namespace: &host.namespace,
                interface: INTERFACE,
                addresses: &["198.51.100.1/24"],
            },
            End {
                namespace: &clients,
                interface: "eth0",
                addresses: &["198.51.100.7/24", "198.51.100.8/24"],
            },
        );
        let sink = UdpSink::start(&host.namespace, "198.51.100.1:0".parse().unwrap());
        Self { host, clients, sink }
    }

    fn start(&self, attach: &str) -> Daemon {
        let config = self.host.edge_config().replace("\"both\"", "\"kernel\"");
        let place = format!("interfaces = [\"{INTERFACE}\"]\nattach = \"{attach}\"");
        self.host.write(
            "edge.toml",
            &config.replace("interfaces = [\"eth-a\"]\nattach = \"xdp\"", &place),
        );
        let mut edge = self.host.start_edge();
        edge.wait_for_log("running", PATIENCE);
        edge
    }

    fn ban(&self) {
        let output = self.host.edge(&["ban", BANNED]);
        assert!(output.status.success(), "{output:?}");
    }

    #[track_caller]
    fn await_protection(&self, mode: &str) {
        wait_until(&format!("it is protected by {mode}"), PATIENCE, || {
            self.host.protection(INTERFACE).is_ok_and(|found| found == mode)
        });
    }

    /// Sends from both, and waits until all that the innocent one sent has arrived: what the banned one sent before is decided by then.
    fn is_a_banned_one_heard(&self) -> bool {
        let [banned, innocent]: [IpAddr; 2] = [BANNED, INNOCENT].map(|address| address.parse().unwrap());
        let before = [banned, innocent].map(|source| self.sink.received_from(source));
        udp::send(&self.clients, banned, self.sink.address(), 20).unwrap();
        udp::send(&self.clients, innocent, self.sink.address(), 20).unwrap();
        wait_until("the innocent one is heard", PATIENCE, || {
            self.sink.received_from(innocent) == before[1] + 20
        });
        self.sink.received_from(banned) != before[0]
    }

    #[track_caller]
    fn expect_only_the_innocent(&self) {
        assert!(!self.is_a_banned_one_heard(), "a banned one is heard");
    }

    /// What `status` says may be older than what was done to the filter.
    #[track_caller]
    fn await_enforcement(&self) {
        wait_until("no banned one is heard", PATIENCE, || {
            !self.is_a_banned_one_heard()
        });
        self.await_protection("tc");
    }

    #[track_caller]
    fn expect_nobody_is_banned(&self) {
        let banned: IpAddr = BANNED.parse().unwrap();
        let before = self.sink.received_from(banned);
        udp::send(&self.clients, banned, self.sink.address(), 20).unwrap();
        wait_until("nobody is banned", PATIENCE, || {
            self.sink.received_from(banned) == before + 20
        });
    }

    /// Takes a filter away; `false` if there is none.
    fn remove(&self, handle: TcHandle) -> bool {
        self.host.namespace.enter(|| {
            let ingress = TcAttachType::Ingress;
            let link = SchedClassifierLink::attached(INTERFACE, ingress, PRIORITY, handle, None).unwrap();
            link.detach().is_ok()
        })
    }

    /// Puts a filter in front of those that are there. It stays without aya, which would look for it in this network namespace.
    fn add(&self, filter: &mut Filter, handle: TcHandle) {
        let options = NlOptions {
            priority: PRIORITY,
            handle,
            classid: None,
        };
        let program = filter.classifier_mut(maps::PROGRAM_TC);
        self.host.namespace.enter(|| {
            let id = program
                .attach_with_options(
                    INTERFACE,
                    TcAttachType::Ingress,
                    TcAttachOptions::Netlink(options),
                )
                .unwrap();
            mem::forget(program.take_link(id).unwrap());
        });
    }
}

#[test]
fn a_filter_enforces_without_the_daemon_and_a_start_takes_it_over() {
    let lab = Lab::new();
    let edge = lab.start("tc");
    lab.ban();
    assert_eq!(lab.host.protection(INTERFACE), Ok("tc".to_owned()));
    lab.expect_only_the_innocent();
    stop(edge);
    lab.expect_only_the_innocent();
    assert_eq!(lab.host.protection(INTERFACE), Ok("tc".to_owned()));
    assert!(lab.host.edge(&["test", BANNED]).status.success());
    for (attach, mode) in [("tc", "tc"), ("auto", "native"), ("tc", "tc")] {
        let edge = lab.start(attach);
        lab.await_protection(mode);
        lab.expect_only_the_innocent();
        stop(edge);
        lab.expect_only_the_innocent();
        // No filter is left where a link is.
        if mode == "native" {
            assert!(!lab.remove(OURS));
        }
    }
    let detached = lab.host.edge(&["detach"]);
    assert!(String::from_utf8_lossy(&detached.stdout).starts_with("detached from to-clients"));
    lab.expect_nobody_is_banned();
    assert!(!lab.remove(OURS) && lab.host.pinned().is_empty());
}

#[test]
fn what_others_do_to_filters_is_repaired_or_said_and_theirs_are_left_alone() {
    let lab = Lab::new();
    let (before, after) = (TcHandle::new(0, 1), TcHandle::new(0, 2));
    let (mut first, mut second) = (Filter::load_whole(), Filter::load_whole());
    let namespace = &lab.host.namespace;
    namespace.enter(|| qdisc_add_clsact(INTERFACE)).unwrap();
    lab.add(&mut first, before);
    let edge = lab.start("tc");
    lab.ban();
    // Ours came in front of what was there.
    lab.await_protection("tc");
    lab.expect_only_the_innocent();
    assert!(lab.remove(OURS));
    assert!(lab.is_a_banned_one_heard());
    lab.await_enforcement();
    // Its pins do not hold it.
    fs::remove_dir_all(lab.host.pin_folder()).unwrap();
    wait_until("all is pinned again", PATIENCE, || !lab.host.pinned().is_empty());
    lab.await_protection("tc");
    lab.expect_only_the_innocent();
    // What passes a packet on there may end its way through the hook.
    lab.add(&mut second, after);
    wait_until("it is said", PATIENCE, || {
        lab.host
            .protection(INTERFACE)
            .is_err_and(|why| why.contains("runs before it"))
    });
    lab.expect_only_the_innocent();
    assert!(lab.remove(after));
    lab.await_protection("tc");
    // A filter stays with its interface.
    for (from, to) in [(INTERFACE, "other"), ("other", INTERFACE)] {
        namespace.ip(&["link", "set", from, "name", to]);
    }
    lab.await_enforcement();
    assert!(lab.host.edge(&["detach"]).status.success());
    stop(edge);
    lab.expect_nobody_is_banned();
    assert!(!lab.remove(OURS));
    assert!(lab.remove(before), "the filter of another is gone");
}

#[test]
fn a_refused_start_leaves_no_filter() {
    let lab = Lab::new();
    let mut other = Filter::load_whole();
    let namespace = &lab.host.namespace;
    namespace.enter(|| qdisc_add_clsact(INTERFACE)).unwrap();
    // Where ours would be, under the number that it would have.
    lab.add(&mut other, OURS);
    lab.host.reconfigure(
        "interfaces = [\"eth-a\"]\nattach = \"xdp\"",
        &format!("interfaces = [\"eth-a\", \"{INTERFACE}\"]\nattach = \"tc\""),
    );
    let refused = lab.host.edge(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains(INTERFACE) && said.contains("qdisc clsact"),
        "{said}"
    );
    assert!(lab.host.pinned().is_empty());
    assert!(lab.remove(OURS), "the filter of another is gone");
    let detached = lab.host.edge(&["detach"]);
    assert_eq!(
        String::from_utf8_lossy(&detached.stdout).lines().next(),
        Some("nothing was attached")
    );
}

fn stop(mut edge: Daemon) {
    assert!(edge.terminate(PATIENCE).success(), "{}", edge.log());
}
