//! A real scanner against real web servers, while somebody browses: the scanner is banned for what it looks for, before it has made
//! many errors, and nobody else is.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use secbeat_common::maps::reason;
use secbeat_tests::lab::{
    apache,
    client::Client,
    executable::{TestFile, TestProgram, file},
    fleet::{Family, Fleet, Options},
    nginx,
    process::Daemon,
    site::{Firewall, Site, SiteFolder},
    wait::wait_until,
};
use serde_json::Value;

const FAMILY: Family = Family::V4;
const SOON: Duration = Duration::from_secs(10);
/// A scan's first seconds.
const FIRST_SECONDS: Duration = Duration::from_secs(5);

/// What the sites have, and what people search for there.
const PAGES: &[&str] = &[
    "search",
    "products",
    "assets-app.css",
    "assets-app.js",
    "logo.svg",
];
/// What a browser and its user ask for, and how that is answered.
const VISIT: &[(&str, u16)] = &[
    ("/", 200),
    ("/assets-app.css?v=1f9c2b", 200),
    ("/assets-app.js?v=1f9c2b", 200),
    ("/logo.svg", 200),
    ("/favicon.ico", 404),
    ("/robots.txt", 404),
    ("/sitemap.xml", 404),
    ("/site.webmanifest", 404),
    ("/apple-touch-icon.png", 404),
    ("/apple-touch-icon-precomposed.png", 404),
    ("/apple-touch-icon-120x120.png", 404),
    ("/.well-known/appspecific/com.chrome.devtools.json", 404),
    ("/.well-known/change-password", 404),
    ("/.well-known/security.txt", 404),
    ("/old-banner.jpg", 404),
    ("/products?sort=price&order=desc&page=2&per_page=50", 200),
    ("/search?q=it%27s+a+%22select%22+menu", 200),
    ("/search?q=select+committee+of+the+union", 200),
    ("/search?q=drop+leaf+table", 200),
    ("/search?q=rock+%26+roll+--+live+%3B+1969", 200),
    ("/search?q=%3C3+cats&lang=en", 200),
    ("/search?q=1%2B1%3D2&utm_source=news&utm_campaign=caf%C3%A9", 200),
    ("/search?q=%E6%97%A5%E6%9C%AC%E8%AA%9E", 200),
];
const BROWSER: &[(&str, &str)] = &[
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("upgrade-insecure-requests", "1"),
];

fn folder(server: &str) -> SiteFolder {
    let folder = SiteFolder::new(server);
    for page in PAGES {
        fs::write(folder.pages().join(page), "hello\n").unwrap();
    }
    folder
}

#[track_caller]
fn told(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.cli("orchestrator", arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Somebody who looks at the whole site.
fn visit(fleet: &Fleet, site: &Site) {
    let mut client = Client::new(&fleet.visitor).with_source(FAMILY.visitor());
    for (target, status) in VISIT {
        let url = site.url(FAMILY.edge_for_visitor().ip(), target);
        let answer = client.request("GET", &url, BROWSER, b"").unwrap();
        assert_eq!(answer.status, *status, "{target}");
    }
}

/// Scans the site while somebody browses, until the scanner is banned.
fn scanned(fleet: &Fleet, site: &Site) {
    let url = site.url(FAMILY.edge_for_attacker().ip(), "/");
    let begun = Instant::now();
    let mut scan = fleet.attacker.command(TestProgram::Dirb);
    scan.arg(url)
        .arg(file(TestFile::DirbWords))
        .args(["-S", "-r", "-w"]);
    let scan = Daemon::spawn("dirb", &mut scan);
    visit(fleet, site);
    let ban = fleet.await_ban(FAMILY.attacker());
    let banned_after = begun.elapsed();
    assert_eq!(ban.reason, reason::PROBE, "{}", scan.log());
    assert!(banned_after < FIRST_SECONDS, "banned after {banned_after:?} only");
    visit(fleet, site);
    assert_eq!(fleet.ban_of(FAMILY.visitor()), None);
    let visitor = told(fleet, &["why", &FAMILY.visitor().to_string()]);
    assert!(!visitor.contains("recognised"), "{visitor}");
}

/// Bans that were lifted, of all signatures.
fn lifted(fleet: &Fleet) -> Vec<(String, u64)> {
    let signatures: Value =
        serde_json::from_str(&told(fleet, &["signatures", "list", "-o", "json"])).unwrap();
    let signatures = signatures.as_array().unwrap().iter();
    let lifted = signatures.map(|signature| {
        let id = signature["id"].as_str().unwrap().to_owned();
        (id, signature["lifted"].as_u64().unwrap())
    });
    lifted.filter(|(_, lifted)| *lifted > 0).collect()
}

#[test]
fn a_scanner_is_banned_within_seconds_and_whoever_browses_is_not() {
    let (of_nginx, of_apache) = (folder("nginx"), folder("apache"));
    let logs = [&of_nginx, &of_apache].map(|folder| {
        let path = folder.access_log();
        format!(
            "[[access_log]]\npath = \"{}\"\nformat = \"combined\"\n",
            path.display()
        )
    });
    let fleet = Fleet::start(&Options {
        more_config: logs.concat(),
        ..Options::default()
    });
    let site = nginx::start_site(&fleet.host, 80, &of_nginx, Firewall::Absent);
    scanned(&fleet, &site);
    assert_eq!(lifted(&fleet), []);
    told(&fleet, &["unban", &FAMILY.attacker().to_string()]);
    let unbanned = SystemTime::now();
    // Whoever lifts the ban says that what was recognised was wrong.
    let counted = wait_until("the lifted ban is counted", SOON, || {
        let lifted = lifted(&fleet);
        (lifted.len() >= 3).then_some(lifted)
    });
    assert!(counted.iter().all(|(_, lifted)| *lifted == 1), "{counted:?}");
    let (id, _) = &counted[0];
    let metrics = told(&fleet, &["metrics"]);
    let metric = format!("secbeat_orchestrator_signature_lifted_total{{signature=\"{id}\"}} 1");
    assert!(metrics.contains(&metric), "no {metric} in\n{metrics}");
    wait_until("the scanner is let in again", SOON, || {
        fleet.ban_of(FAMILY.attacker()).is_none()
    });
    // Lines of a log are of whole seconds: those of the second in which it was unbanned count for nobody.
    wait_until("that second is over", SOON, || {
        unbanned
            .elapsed()
            .is_ok_and(|since| since > Duration::from_secs(1))
    });
    let site = apache::start(&fleet.host, 81, &of_apache, Firewall::Absent);
    scanned(&fleet, &site);
}
