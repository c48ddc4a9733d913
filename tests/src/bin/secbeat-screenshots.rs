//! `cargo xtask docs --screenshots`: pictures of each page of the web page, on a host that is attacked, into `docs/images`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a developer's tool: a failure here is the failure to report"
)]

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use secbeat_tests::lab::{
    browser::drive,
    interrupt::{heed, install},
    local::order,
    one_host::OneHost,
    paths::workspace,
    visitor::Visitor,
};
use serde_json::{Value, json};

const URL: &str = "http://127.0.0.1:3030";
const CONFIG: &str = "[api]\nlisten = \"127.0.0.1:3030\"\n";
/// How long the host is used before the pictures are taken, so that its charts have something to show.
const USE: Duration = Duration::from_secs(60);
const ATTACKERS: u8 = 8;
const PATHS: [&str; 6] = [
    "/wp-login.php",
    "/.env",
    "/.git/config",
    "/admin.php",
    "/cgi-bin/",
    "/<script>alert(1)</script>",
];

fn main() {
    install();
    let host = OneHost::start(CONFIG);
    for n in 0..ATTACKERS {
        host.clients.add_address("eth0", &format!("{}/24", attacker(n)));
    }
    let visitor = Visitor::start(host.client(OneHost::VISITOR), &host.url(OneHost::VISITOR, "/"));
    operate(&host);
    let begun = Instant::now();
    for n in 0..ATTACKERS {
        // The last one stays below the threshold, and is seen nearing it.
        match n + 1 == ATTACKERS {
            true => attack(&host, attacker(n), 38, false),
            false => attack(&host, attacker(n), 60, n % 2 == 0),
        }
        while begun.elapsed() < USE / u32::from(ATTACKERS) * u32::from(n + 1) {
            heed();
            thread::sleep(Duration::from_millis(100));
        }
    }
    let images = workspace().join("docs/images");
    let link = host.secbeat(&["dashboard", "-o", "json"]);
    assert!(link.status.success(), "{link:?}");
    let link: Value = serde_json::from_slice(&link.stdout).expect("a link");
    let arguments = [
        URL,
        &attacker(0).to_string(),
        link["url"].as_str().expect("its URL"),
        images.to_str().expect("a path in UTF-8"),
    ];
    let said = drive(&host.host, "screenshots.mjs", &arguments, |what| {
        panic!("nobody knows how to `{what}`")
    });
    print!("{said}");
    let report = visitor.stop();
    assert!(report.requests > 0, "the visitor was not served: {report:?}");
}

const fn attacker(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 40 + n))
}

/// So many requests, unless it is banned before; scanners have paths and agents that give them away.
fn attack(host: &OneHost, attacker: IpAddr, requests: u32, is_scanner: bool) {
    let mut client = host.client(attacker);
    for n in 0..requests {
        let (path, agent) = match is_scanner {
            true => (PATHS[n as usize % PATHS.len()].to_owned(), "sqlmap/1.7"),
            false => (format!("/missing-{n}"), "Mozilla/5.0"),
        };
        let url = host.url(attacker, &path);
        if client
            .request("GET", &url, &[("user-agent", agent)], b"")
            .is_err()
        {
            break;
        }
    }
}

/// What an operator did before: bans, a lifted one, and an allowlist.
fn operate(host: &OneHost) {
    let send = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = order(&host.host, "secbeat-orchestrator", method, path, &body).expect("an answer");
        assert!(
            answer.status < 300,
            "{method} {path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    };
    let bans: Vec<_> = (1..=40)
        .map(|n| json!({ "target": format!("198.51.100.{n}"), "duration": "7d", "note": "drop list" }))
        .collect();
    send("POST", "/api/v1/bans/import", &json!({ "bans": bans }));
    send(
        "POST",
        "/api/v1/bans",
        &json!({ "target": "192.0.2.0/24", "duration": "24h", "note": "scanners of that provider" }),
    );
    send("DELETE", "/api/v1/bans/198.51.100.7", &Value::Null);
    send(
        "POST",
        "/api/v1/allowlist",
        &json!({ "network": "203.0.113.200/32", "comment": "monitoring" }),
    );
}
