//! What the host is and whom it needs is let through at once, though it be banned, and only for as long as it is so. The
//! edges here look their host over by themselves once an hour, so whatever happens within seconds happens because the
//! edge was told.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use secbeat_common::verdict::Verdict;
use secbeat_daemon::time::{now_ms, rfc3339};
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    login, udp,
    wait::wait_until,
};

/// How soon a change must be in the kernel.
const AT_ONCE: Duration = Duration::from_secs(2);

const SESSION: &str = "/run/systemd/sessions/3";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A fleet on whose edge the attacker is banned.
struct Banned {
    fleet: Fleet,
    client: IpAddr,
    edge: SocketAddr,
}

impl Banned {
    fn new(family: Family) -> Self {
        Self::with_config(family, "")
    }

    fn with_config(family: Family, more_config: &str) -> Self {
        let fleet = Fleet::start(&Options {
            ban: "1h",
            reconcile: "1h",
            more_config: more_config.to_owned(),
            ..Options::default()
        });
        let client = family.attacker();
        let banned = fleet.cli("orchestrator", &["ban", &client.to_string(), "--duration", "1h"]);
        assert!(banned.status.success(), "{banned:?}");
        Self {
            fleet,
            client,
            edge: SocketAddr::new(family.edge_for_attacker().ip(), 9),
        }
    }

    /// What the kernel does with one packet of the banned client.
    fn verdict(&self) -> Option<Verdict> {
        let packets = |verdict: Verdict| self.fleet.pins().counters()[verdict as usize].packets;
        let before = [Verdict::Banned, Verdict::Allowed].map(|verdict| (verdict, packets(verdict)));
        udp::send(&self.fleet.attacker, self.client, self.edge, 1).unwrap();
        let seen = before
            .into_iter()
            .find(|(verdict, count)| packets(*verdict) > *count);
        seen.map(|(verdict, _)| verdict)
    }

    #[track_caller]
    fn comes_to(&self, verdict: Verdict, why: &str) {
        wait_until(&format!("{verdict:?}: {why}"), AT_ONCE, || {
            self.verdict() == Some(verdict)
        });
    }

    #[track_caller]
    fn passes(&self, why: &str) {
        self.comes_to(Verdict::Allowed, why);
    }

    #[track_caller]
    fn is_dropped(&self, why: &str) {
        self.comes_to(Verdict::Banned, why);
    }

    /// Waits until the edge has looked its host over, by giving it something new to find.
    fn look_over(&self) {
        self.fleet.host.add_address("lo", "192.0.2.250/32");
        wait_until("the edge looks its host over", AT_ONCE, || {
            let allowed = self.fleet.api(8080, "/api/v1/allowed").unwrap();
            String::from_utf8_lossy(&allowed.body).contains("192.0.2.250/32")
        });
    }
}

#[test]
fn a_banned_source_passes_while_it_is_an_address_of_the_host() {
    let banned = Banned::new(Family::V6);
    banned.is_dropped("banned");
    let mine = format!("{}/128", banned.client);
    banned.fleet.host.add_address("lo", &mine);
    banned.passes("the host has its address");
    banned.fleet.host.ip(&["address", "delete", &mine, "dev", "lo"]);
    banned.is_dropped("the host has lost the address");
}

#[test]
fn a_banned_source_passes_while_it_is_the_default_gateway() {
    for family in Family::BOTH {
        let banned = Banned::new(family);
        banned.is_dropped("banned");
        let gateway = banned.client.to_string();
        let protocol = if family == Family::V4 { "-4" } else { "-6" };
        let route = |what| {
            banned
                .fleet
                .host
                .ip(&[protocol, "route", what, "default", "via", &gateway]);
        };
        route("add");
        banned.passes("it is the gateway");
        route("delete");
        banned.is_dropped("it is the gateway no more");
    }
}

#[test]
fn a_banned_source_passes_while_it_is_a_resolver() {
    let banned = Banned::new(Family::V4);
    banned.is_dropped("banned");
    let files = &banned.fleet.files;
    let it = "nameserver 198.51.100.2\n";
    let another = "nameserver 192.0.2.53\n";

    files.write(RESOLV_CONF, it);
    banned.passes("the file was made");
    files.write(RESOLV_CONF, another);
    banned.is_dropped("the file was rewritten");
    files.replace(RESOLV_CONF, it);
    banned.passes("the file was replaced by renaming");
    files.remove(RESOLV_CONF);
    banned.is_dropped("the file was removed");

    std::os::unix::fs::symlink("../run/resolvconf/resolv.conf", files.path(RESOLV_CONF)).unwrap();
    files.write("/run/resolvconf/resolv.conf", it);
    banned.passes("a symbolic link has come to lead somewhere");
    files.replace("/run/resolvconf/resolv.conf", another);
    banned.is_dropped("the link's target was replaced");
    files.write("/run/systemd/resolve/resolv.conf", it);
    banned.passes("systemd-resolved asks it");
}

#[test]
fn a_banned_source_passes_while_somebody_is_logged_in_from_it() {
    for family in Family::BOTH {
        let banned = Banned::new(family);
        banned.is_dropped("banned");
        let files = &banned.fleet.files;

        files.replace(SESSION, login::logind_session(banned.client, "active"));
        banned.passes("logind has a session from there");
        files.replace(SESSION, login::logind_session(banned.client, "closing"));
        banned.is_dropped("logind has closed the session");
        files.replace(SESSION, login::logind_session(banned.client, "active"));
        banned.passes("logind has another session");
        files.remove(SESSION);
        banned.is_dropped("the session has ended");

        let record = login::utmp_record(banned.client, "pts/0", std::process::id());
        files.write("/run/utmp", &record);
        banned.passes("the login records have a login from there");
        files.write("/run/utmp", vec![0; record.len()]);
        banned.is_dropped("the login has ended");
    }
}

#[test]
fn a_connection_to_the_ssh_port_without_a_login_protects_nobody() {
    let banned = Banned::new(Family::V4);
    let lifted = banned.fleet.cli("orchestrator", &["unban", "198.51.100.2"]);
    assert!(lifted.status.success(), "{lifted:?}");
    wait_until("the ban is lifted", AT_ONCE, || {
        banned.fleet.ban_of(banned.client).is_none()
    });
    let port_22 = SocketAddr::new(banned.edge.ip(), 22);
    let listener = banned.fleet.host.enter(|| TcpListener::bind(port_22).unwrap());
    let connection = banned
        .fleet
        .attacker
        .enter(|| TcpStream::connect(port_22).unwrap());
    let accepted = listener.accept().unwrap();
    banned.look_over();
    let again = banned.fleet.cli("orchestrator", &["ban", "198.51.100.2"]);
    assert!(again.status.success(), "{again:?}");
    banned.fleet.await_ban(banned.client);
    banned.is_dropped("nobody has logged in");
    drop((connection, accepted));
}

#[test]
fn a_configured_entry_protects_until_its_end_without_a_restart() {
    let until = rfc3339(now_ms() + 8_000);
    let entry =
        format!("[[protect.allow]]\nnetwork = \"198.51.100.2\"\ncomment = \"the office\"\nuntil = {until}\n");
    let banned = Banned::with_config(Family::V4, &entry);
    let listed = banned.fleet.cli("edge", &["allowed", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let office = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["network"] == "198.51.100.2/32");
    assert_eq!(
        office,
        Some(&serde_json::json!({
            "network": "198.51.100.2/32", "reason": "configured", "comment": "the office", "until": until,
        }))
    );
    assert_eq!(banned.fleet.ban_of(banned.client), None);
    banned.fleet.await_ban(banned.client);
    banned.is_dropped("the entry has ended");
}

#[test]
fn allowed_tells_who_is_protected_and_why_with_the_daemon_and_without() {
    let mut banned = Banned::new(Family::V4);
    banned
        .fleet
        .files
        .replace(SESSION, login::logind_session(banned.client, "active"));
    banned.passes("an SSH session comes from there");
    let listed = |fleet: &Fleet| -> serde_json::Value {
        let output = fleet.cli("edge", &["allowed", "-o", "json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let with_the_daemon = listed(&banned.fleet);
    for (network, reason) in [
        ("198.51.100.2/32", "ssh-peer"),
        ("198.51.100.1/32", "own-address"),
        ("2001:db8:a::1/128", "own-address"),
        ("127.0.0.0/8", "loopback"),
    ] {
        let entry = serde_json::json!({ "network": network, "reason": reason });
        assert!(
            with_the_daemon.as_array().unwrap().contains(&entry),
            "no {entry} in {with_the_daemon}"
        );
    }
    banned.fleet.kill_edge();
    assert_eq!(listed(&banned.fleet), with_the_daemon);
}
