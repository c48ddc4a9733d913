//! The lab does what its users rely on.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    thread,
    time::Duration,
};

use aya::programs::XdpMode;
use secbeat_common::maps::{self, Ban};
use secbeat_tests::lab::{
    bpf::Filter,
    client::Client,
    executable::Program,
    nats::NatsServer,
    netns::{End, Namespace, link},
    nginx::Nginx,
    process::Daemon,
    udp::{self, UdpSender, UdpSink},
    visitor::Visitor,
    wait::wait_until,
};

const SERVER: [&str; 2] = ["192.0.2.1", "2001:db8:0:1::1"];
const CLIENT: [&str; 2] = ["192.0.2.2", "2001:db8:0:1::2"];
const SOON: Duration = Duration::from_secs(5);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn two_hosts() -> (Namespace, Namespace) {
    let (server, client) = (Namespace::new("server"), Namespace::new("client"));
    link(
        End {
            namespace: &server,
            interface: "eth0",
            addresses: &["192.0.2.1/24", "2001:db8:0:1::1/64"],
        },
        End {
            namespace: &client,
            interface: "eth0",
            addresses: &["192.0.2.2/24", "2001:db8:0:1::2/64"],
        },
    );
    (server, client)
}

#[test]
fn namespaces_are_removed_with_their_last_guard() {
    let namespace = Namespace::new("short");
    let path = namespace.path();
    let clone = namespace.clone();
    drop(namespace);
    assert!(path.exists(), "a clone still holds it");
    drop(clone);
    assert!(!Path::new(&path).exists(), "{} is left over", path.display());
}

#[test]
fn clients_reach_nginx_over_both_families_from_the_address_they_choose() {
    let (server, client) = two_hosts();
    client.add_address("eth0", "192.0.2.77/24");
    for (address, source) in [(SERVER[0], "192.0.2.77"), (SERVER[1], CLIENT[1])] {
        let nginx = Nginx::start(&server, SocketAddr::new(ip(address), 0));
        let url = format!("http://{}", nginx.address());
        let mut browser = Client::new(&client).with_source(ip(source));
        for (path, status) in [("/", 200), ("/missing", 404), ("/boom", 500), ("/", 200)] {
            assert_eq!(
                browser.get(&format!("{url}{path}")).unwrap(),
                status,
                "{url}{path}"
            );
        }
        // nginx writes its line after its answer.
        let log = wait_until("four lines of access log", SOON, || {
            Some(nginx.access_log()).filter(|log| log.lines().count() == 4)
        });
        let lines: Vec<&str> = log.lines().collect();
        assert!(
            lines[1].starts_with(&format!("{source} 404 \"GET /missing HTTP/1.1\"")),
            "{log}"
        );

        let visitor = Visitor::start(Client::new(&client).without_keep_alive(), &url);
        thread::sleep(Duration::from_millis(300));
        let report = visitor.stop();
        assert!(report.failures.is_empty() && report.requests >= 5, "{report:?}");
    }
}

#[test]
fn a_visitor_reports_what_failed() {
    let (server, client) = two_hosts();
    let mut nginx = Nginx::start(&server, SocketAddr::new(ip(SERVER[0]), 0));
    let visitor = Visitor::start(Client::new(&client), &format!("http://{}/", nginx.address()));
    thread::sleep(Duration::from_millis(200));
    nginx.daemon().kill9();
    thread::sleep(Duration::from_millis(200));
    let report = visitor.stop();
    assert!(
        !report.failures.is_empty() && report.failures.len() < report.requests,
        "{report:?}"
    );
}

#[test]
fn not_one_datagram_of_a_banned_source_passes_native_xdp_on_a_link() {
    let (server, client) = two_hosts();
    let mut filter = Filter::load();
    let ban = Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        ..Ban::default()
    };
    server
        .enter(|| filter.program_mut(maps::PROGRAM).attach("eth0", XdpMode::Driver))
        .unwrap();
    for (address, source) in SERVER.into_iter().zip(CLIENT) {
        let (address, source) = (ip(address), ip(source));
        let sink = UdpSink::start(&server, SocketAddr::new(address, 0));
        udp::send(&client, source, sink.address(), 10).unwrap();
        wait_until("ten datagrams arrive", SOON, || sink.received_from(source) == 10);

        filter.ban(source, ban);
        let sender = UdpSender::start(&client, source, sink.address(), Duration::from_millis(1));
        let dropped = || filter.ban_of(source).map_or(0, |ban| ban.dropped_packets);
        wait_until("fifty datagrams are dropped", SOON, || dropped() >= 50);
        assert!(sender.stop() >= 50);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(
            sink.received_from(source),
            10,
            "datagrams of {source} that passed"
        );
    }
}

#[test]
fn a_daemon_can_be_watched_and_ended() {
    let namespace = Namespace::new("daemon");
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut daemon = Daemon::spawn("shell", namespace.command(Program::Shell).args(["-c", script]));
    daemon.wait_for_log("ready", SOON);
    assert!(daemon.is_running());
    assert_eq!(daemon.terminate(SOON).code(), Some(3));
    assert!(!daemon.is_running());
    assert_eq!(daemon.log(), "ready\nbye\n");
}

#[test]
fn nats_comes_back_on_the_same_port() {
    let namespace = Namespace::new("nats");
    let mut server = NatsServer::start(&namespace, ip("127.0.0.1"));
    let url = server.url();
    server.stop();
    let probe = || namespace.socket(server.address().ip(), socket2::Type::STREAM);
    assert!(
        probe().connect_timeout(&server.address().into(), SOON).is_err(),
        "it still accepts connections"
    );
    server.restart();
    server.kill9();
    server.restart();
    assert_eq!(server.url(), url);
}
