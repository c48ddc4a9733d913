//! The web page, in a browser: an attack as an operator and a reader see it.

use std::net::IpAddr;

use secbeat_tests::lab::{browser::drive, one_host::OneHost};
use serde_json::Value;

const URL: &str = "http://127.0.0.1:3030";
const OPERATOR: &str = "operator-token-of-the-browser-test-0123456789";
const READER: &str = "reader-token-of-the-browser-test-0123456789abc";

/// The owner's default.
const ERRORS: u32 = 50;
/// What a client can put into a path and a user agent.
const PATH: &str = "/<script>window.top.location='/stolen'</script>/.env";
const AGENT: &str = "sqlmap/1.7 <img src=x onerror=alert(document.domain)>";

/// Who they are, with the tokens' SHA-256.
const TOKENS: &str = r#"
    [api]
    listen = "127.0.0.1:3030"
    [[api.token]]
    name = "olga"
    role = "operate"
    hash = "sha256:b27b7bb25e861117297009d39c03e8ed2da008b4f3122cc871c1d3009c1f4c42"
    [[api.token]]
    name = "rita"
    role = "read"
    hash = "sha256:5cf7f675476eb29257651dc8b43dd5ea075d51ba0d9a14d7319798684db08647"
"#;

/// Requests until nothing is answered any more.
fn attack(host: &OneHost, attacker: IpAddr) {
    let mut client = host.client(attacker);
    let agent = [("user-agent", AGENT)];
    let hostile = client.request("GET", &host.url(attacker, PATH), &agent, b"");
    assert_eq!(hostile.expect("an answer").status, 404);
    for n in 0..ERRORS {
        let url = host.url(attacker, &format!("/missing-{n}"));
        if client.request("GET", &url, &agent, b"").is_err() {
            break;
        }
    }
}

/// A link for the operator, as `secbeat dashboard` prints it.
fn link(host: &OneHost) -> String {
    let output = host.secbeat(&["dashboard", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let link: Value = serde_json::from_slice(&output.stdout).unwrap();
    link["url"].as_str().unwrap().to_owned()
}

/// `cargo xtask bench page` measures the same with release builds.
#[test]
fn a_hundred_thousand_bans_are_paged_and_sorted() {
    let host = OneHost::start_with_slots("[api]\nlisten = \"127.0.0.1:3030\"\n", 262_144);
    let arguments = [URL, &link(&host), "100000", "4"];
    let said = drive(&host.host, "measure.mjs", &arguments, |what| {
        panic!("nobody knows how to `{what}`")
    });
    println!("{said}");
    for part in [
        "100,000 bans",
        "next 100 bans: median",
        "another order of bans: median",
        "bans with a text: median",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn an_attack_is_seen_explained_and_lifted_by_who_may() {
    let mut host = OneHost::start(TOKENS);
    let link = link(&host);
    let namespace = host.host.clone();
    let attacker = OneHost::ATTACKER.to_string();
    let arguments = [URL, &attacker, &link, OPERATOR, READER];
    let said = drive(&namespace, "scenario.mjs", &arguments, |what| match what {
        "attack" => attack(&host, OneHost::ATTACKER),
        "stop" => host.stop(),
        "start" => host.start_again(),
        what => panic!("nobody knows how to `{what}`"),
    });
    println!("{said}");
}
