//! The whole loop behind web servers that SecBeat does not stand in front of: they write their usual logs, and who attacks
//! them is banned in the kernel.

use std::time::Duration;

use secbeat_common::maps::{origin, reason};
use secbeat_tests::lab::{
    apache, caddy,
    client::Client,
    fleet::{Family, Fleet, Options},
    haproxy,
    netns::Namespace,
    nginx,
    site::{Firewall, Site, SiteFolder},
    visitor::Visitor,
    wait::wait_until,
};

const PORT: u16 = 80;
/// The owner's defaults.
const ERRORS: u64 = 50;
const WAF_EVENTS: u64 = 5;
const SOON: Duration = Duration::from_secs(10);
const INJECTION: &str = "/?id=1%27%20OR%20%271%27=%271";

type StartWithFirewall = fn(&Namespace, u16, &SiteFolder, Firewall) -> Site;

/// A fleet whose edge reads this log.
fn fleet(table: &str, path: &std::path::Path, format: &str, more: &str) -> Fleet {
    Fleet::start(&Options {
        more_config: format!(
            "[[{table}]]\npath = \"{}\"\nformat = \"{format}\"\n{more}\n",
            path.display()
        ),
        ..Options::default()
    })
}

/// Somebody who keeps browsing the site.
fn visitor(fleet: &Fleet, site: &Site, family: Family) -> Visitor {
    let client = Client::new(&fleet.visitor).with_source(family.visitor());
    Visitor::start(client, &site.url(family.edge_for_visitor().ip(), "/"))
}

/// Nothing of the attacker arrives, and the visitor notices nothing.
fn assert_only_the_attacker_is_shut_out(fleet: &Fleet, site: &Site, family: Family, visitor: Visitor) {
    let refused = fleet
        .attacking(family)
        .with_timeout(Duration::from_millis(500))
        .get(&site.url(family.edge_for_attacker().ip(), "/"));
    assert!(refused.is_err(), "a banned client was answered {refused:?}");
    let report = visitor.stop();
    assert!(
        report.requests > 10 && report.failures.is_empty(),
        "{family:?}: {report:?}"
    );
    assert_eq!(fleet.ban_of(family.visitor()), None);
}

fn errors_ban(name: &str, format: &str, start: impl FnOnce(&Namespace, &SiteFolder) -> Site) {
    let folder = SiteFolder::new(name);
    let fleet = fleet("access_log", &folder.access_log(), format, "");
    let site = start(&fleet.host, &folder);
    for (round, family) in (0..).zip(Family::BOTH) {
        let visitor = visitor(&fleet, &site, family);
        let mut attacker = fleet.attacking(family);
        let mut fail = |n| {
            let url = site.url(family.edge_for_attacker().ip(), &format!("/missing-{n}"));
            assert_eq!(attacker.get(&url).unwrap(), 404, "{name}");
        };
        (1..ERRORS).for_each(&mut fail);
        fleet.await_events(ERRORS * round + ERRORS - 1);
        assert_eq!(fleet.ban_of(family.attacker()), None, "49 errors banned");
        fail(ERRORS);
        let ban = fleet.await_ban(family.attacker());
        assert_eq!((ban.reason, ban.origin), (reason::ERROR_FLOOD, origin::FLEET));
        assert_only_the_attacker_is_shut_out(&fleet, &site, family, visitor);
    }
}

#[test]
fn errors_in_nginxs_log_ban() {
    errors_ban("nginx", "combined", |host, folder| {
        nginx::start_site(host, PORT, folder, Firewall::Absent)
    });
}

#[test]
fn errors_in_apaches_log_ban() {
    errors_ban("apache", "combined", |host, folder| {
        apache::start(host, PORT, folder, Firewall::Absent)
    });
}

#[test]
fn errors_in_caddys_log_ban() {
    errors_ban("caddy", "caddy-json", |host, folder| {
        caddy::start(host, PORT, folder)
    });
}

#[test]
fn errors_in_haproxys_log_ban() {
    errors_ban("haproxy", "haproxy", |host, folder| {
        haproxy::start(host, PORT, folder)
    });
}

/// Waits until the orchestrator has taken in so many events in which a rule of this id matched; others come from a visitor
/// who, like all clients of the lab, gives a numeric address for a host.
fn await_recorded(folder: &SiteFolder, fleet: &Fleet, injections: usize) {
    let logged = wait_until("the firewall has logged the injections", SOON, || {
        let log = std::fs::read(folder.audit_log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log
            .lines()
            .filter(|line| tells_of_a_rule(line))
            .map(|line| line.contains("SQL Injection Attack Detected"))
            .collect();
        (lines.iter().filter(|is_injection| **is_injection).count() >= injections)
            .then(|| 1 + lines.iter().rposition(|is_injection| *is_injection).unwrap())
    });
    let seen = |stats: &serde_json::Value| stats["waf_events"].as_u64() >= Some(logged as u64);
    wait_until("the orchestrator has seen the injections", SOON, || {
        fleet.orchestrator_stats().is_some_and(|stats| seen(&stats))
    });
}

/// Whether a rule matched in the transaction. One that failed is logged for its status alone, as that of a visitor who hung up.
fn tells_of_a_rule(line: &str) -> bool {
    line.contains("[id \\\"") || line.contains("\"ruleId\"")
}

fn inject(fleet: &Fleet, site: &Site, family: Family, times: u64, status: u16) {
    let mut attacker = fleet.attacking(family);
    let url = site.url(family.edge_for_attacker().ip(), INJECTION);
    for _ in 0..times {
        assert_eq!(attacker.get(&url).unwrap(), status);
    }
}

fn injections_ban(name: &str, start: StartWithFirewall, firewall: Firewall, status: u16) {
    let folder = SiteFolder::new(name);
    let fleet = fleet("waf_log", &folder.audit_log(), "modsecurity-json", "");
    let site = start(&fleet.host, PORT, &folder, firewall);
    for (round, family) in (0..).zip(Family::BOTH) {
        let visitor = visitor(&fleet, &site, family);
        inject(&fleet, &site, family, WAF_EVENTS - 1, status);
        let before = round * WAF_EVENTS as usize;
        await_recorded(&folder, &fleet, before + WAF_EVENTS as usize - 1);
        assert_eq!(fleet.ban_of(family.attacker()), None, "4 injections banned");
        inject(&fleet, &site, family, 1, status);
        let ban = fleet.await_ban(family.attacker());
        assert_eq!((ban.reason, ban.origin), (reason::WAF_FLOOD, origin::FLEET));
        assert_only_the_attacker_is_shut_out(&fleet, &site, family, visitor);
    }
    let listed = fleet.cli("orchestrator", &["bans", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    for ban in listed.as_array().unwrap() {
        assert_eq!(ban["reason"], "waf-flood");
        assert_eq!(ban["note"], "5 WAF events in 60s");
        assert_eq!(ban["count"], WAF_EVENTS);
    }
}

#[test]
fn five_injections_that_apaches_firewall_blocks_ban() {
    injections_ban("apache", apache::start, Firewall::Blocking, 403);
}

#[test]
fn five_injections_that_nginxs_firewall_blocks_ban() {
    injections_ban("nginx", nginx::start_site, Firewall::Blocking, 403);
}

#[test]
fn five_injections_that_a_firewall_only_detects_ban() {
    injections_ban("apache", apache::start, Firewall::Detecting, 200);
}

#[test]
fn waf_events_from_before_a_restart_of_the_orchestrator_count() {
    let folder = SiteFolder::new("nginx");
    let mut fleet = fleet("waf_log", &folder.audit_log(), "modsecurity-json", "");
    let site = nginx::start_site(&fleet.host, PORT, &folder, Firewall::Blocking);
    inject(&fleet, &site, Family::V4, WAF_EVENTS - 1, 403);
    await_recorded(&folder, &fleet, WAF_EVENTS as usize - 1);
    fleet.bounce_orchestrator();
    await_recorded(&folder, &fleet, WAF_EVENTS as usize - 1);
    assert_eq!(
        fleet.ban_of(Family::V4.attacker()),
        None,
        "4 injections, read twice, banned"
    );
    inject(&fleet, &site, Family::V4, 1, 403);
    assert_eq!(fleet.await_ban(Family::V4.attacker()).reason, reason::WAF_FLOOD);
}

#[test]
fn whom_a_header_names_is_banned_at_l7_and_never_in_the_kernel() {
    let folder = SiteFolder::new("nginx");
    let fleet = fleet(
        "waf_log",
        &folder.audit_log(),
        "modsecurity-json",
        "client = \"header\"",
    );
    let site = nginx::start_site(&fleet.host, PORT, &folder, Firewall::Blocking);
    inject(&fleet, &site, Family::V4, WAF_EVENTS, 403);
    let ban = wait_until("the orchestrator bans", SOON, || {
        let listed = fleet.cli("orchestrator", &["bans", "-o", "json"]);
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).ok()?;
        listed.get(0).cloned()
    });
    assert_eq!(
        (&ban["reason"], &ban["layer"]),
        (&"waf-flood".into(), &"l7".into())
    );
    wait_until("the edge has the ban", SOON, || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["blocked_ips"].as_u64() == Some(1))
    });
    assert_eq!(fleet.ban_of(Family::V4.attacker()), None);
}
