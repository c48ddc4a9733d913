//! The web servers of the lab start, answer, write their logs, and go.

use std::{fs, path::Path, time::Duration};

use secbeat_tests::lab::{
    apache, caddy,
    client::Client,
    fleet::Family,
    haproxy,
    netns::{End, Namespace, link},
    nginx,
    site::{Firewall, Site, SiteFolder},
    wait::wait_until,
};

const PORT: u16 = 80;
const SOON: Duration = Duration::from_secs(10);
const INJECTION: &str = "/?id=1%27%20OR%20%271%27=%271";

fn hosts() -> (Namespace, Namespace) {
    let (server, client) = (Namespace::new("server"), Namespace::new("client"));
    link(
        End {
            namespace: &server,
            interface: "eth0",
            addresses: &["198.51.100.1/24", "2001:db8:a::1/48"],
        },
        End {
            namespace: &client,
            interface: "eth0",
            addresses: &["198.51.100.2/24", "2001:db8:a:1::2/48"],
        },
    );
    (server, client)
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn serves(name: &str, start: impl FnOnce(&Namespace, &SiteFolder) -> Site) {
    let (server, client) = hosts();
    let folder = SiteFolder::new(name);
    let mut site = start(&server, &folder);
    for family in Family::BOTH {
        let mut browser = Client::new(&client);
        let url = |path| site.url(family.edge_for_attacker().ip(), path);
        assert_eq!(browser.get(&url("/")).unwrap(), 200, "{name} {family:?}");
        assert_eq!(browser.get(&url("/missing")).unwrap(), 404, "{name} {family:?}");
        let address = family.attacker().to_string();
        wait_until(&format!("{name} logs {address}"), SOON, || {
            let logged = |line: &String| line.contains(&address) && line.contains("/missing");
            lines(&folder.access_log()).iter().any(logged)
        });
    }
    site.daemon().kill9();
    let refused = Client::new(&client).get(&site.url(Family::V4.edge_for_attacker().ip(), "/"));
    assert!(refused.is_err(), "{name} outlives its guard: {refused:?}");
}

#[test]
fn nginx_serves() {
    serves("nginx", |server, folder| {
        nginx::start_site(server, PORT, folder, Firewall::Absent)
    });
}

#[test]
fn apache_serves() {
    serves("apache", |server, folder| {
        apache::start(server, PORT, folder, Firewall::Absent)
    });
}

#[test]
fn caddy_serves() {
    serves("caddy", |server, folder| caddy::start(server, PORT, folder));
}

#[test]
fn haproxy_serves() {
    serves("haproxy", |server, folder| haproxy::start(server, PORT, folder));
}

#[test]
fn firewalls_block_or_let_pass_and_write_one_line_for_each_transaction() {
    for (firewall, status) in [(Firewall::Blocking, 403), (Firewall::Detecting, 200)] {
        for (name, start) in [
            (
                "apache",
                apache::start as fn(&Namespace, u16, &SiteFolder, Firewall) -> Site,
            ),
            ("nginx", nginx::start_site),
        ] {
            let (server, client) = hosts();
            let folder = SiteFolder::new(name);
            let site = start(&server, PORT, &folder, firewall);
            let url = site.url(Family::V4.edge_for_attacker().ip(), INJECTION);
            assert_eq!(
                Client::new(&client).get(&url).unwrap(),
                status,
                "{name} {firewall:?}"
            );
            let logged = |line: &String| line.contains("198.51.100.2") && line.contains("942100");
            wait_until("the firewall's line", SOON, || {
                lines(&folder.audit_log())
                    .iter()
                    .filter(|line| logged(line))
                    .count()
                    == 1
            });
        }
    }
}
