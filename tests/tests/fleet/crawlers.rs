//! Clients that say they are a search engine's crawler, and where clients belong.

use std::{fs, net::SocketAddr, time::Duration};

use secbeat_common::maps::reason;
use secbeat_daemon::geo::{Mmdb, Origin};
use secbeat_tests::lab::{
    dns::DnsServer,
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

const AGENT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
/// Where the orchestrator asks.
const DNS: &str = "127.0.0.1:5300";
const SOON: Duration = Duration::from_secs(5);

fn errors(fleet: &Fleet, family: Family, count: usize) {
    let mut client = fleet.attacking(family);
    for n in 0..count {
        let url = format!("http://{}/dead-link-{n}", family.edge_for_attacker());
        let response = client.request("GET", &url, &[("user-agent", AGENT)], b"");
        assert_eq!(response.unwrap().status, 404);
    }
}

#[track_caller]
fn told(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.cli("orchestrator", arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn why(fleet: &Fleet, family: Family) -> Value {
    let address = family.attacker().to_string();
    serde_json::from_str(&told(fleet, &["why", &address, "-o", "json"])).unwrap()
}

#[test]
fn a_crawler_that_the_dns_proves_is_let_go_and_one_that_only_says_so_stays_banned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("geo.mmdb");
    let origin = Origin {
        country: Some("DE".to_owned()),
        asn: Some(64500),
        organisation: Some("Example GmbH".to_owned()),
    };
    let mut mmdb = Mmdb::default();
    mmdb.insert("198.51.100.0/24".parse().unwrap(), &origin).unwrap();
    mmdb.insert("2001:db8:a::/48".parse().unwrap(), &origin).unwrap();
    fs::write(&file, mmdb.to_bytes("Test", 1_700_000_000)).unwrap();
    let config = format!(
        "[crawlers]\nservers = [\"{DNS}\"]\n[geo]\ncountry = \"{0}\"\nasn = \"{0}\"\n",
        file.display()
    );
    let fleet = Fleet::start(&Options {
        ban: "1h",
        more_orchestrator_config: config,
        ..Options::default()
    });
    let (crawler, liar) = (Family::V4, Family::V6);
    let (google, name) = (crawler.attacker(), "crawl-198-51-100-2.googlebot.com");
    // Both addresses have the name; the name has one.
    let _dns = DnsServer::start(
        &fleet.host,
        DNS.parse::<SocketAddr>().unwrap(),
        &[(google, name, &[google]), (liar.attacker(), name, &[])],
    );

    errors(&fleet, crawler, 50);
    let verified = || why(&fleet, crawler)["crawler"]["verified"] == true;
    wait_until("the crawler is verified", SOON, verified);
    wait_until("its ban is lifted", SOON, || {
        told(&fleet, &["audit"]).contains("secbeat-orchestrator (verified crawler)")
    });
    wait_until("the kernel has let it go", SOON, || {
        fleet.ban_of(google).is_none()
    });
    errors(&fleet, crawler, 60);
    wait_until("what it does bans it no more", SOON, || {
        why(&fleet, crawler)["findings"][0]["outcome"] == "suppressed"
    });
    assert_eq!(fleet.ban_of(google), None);
    let story = told(&fleet, &["why", &google.to_string()]);
    for part in [
        "is Googlebot, a crawler: its name crawl-198-51-100-2.googlebot.com leads back to it",
        "verified crawler: Googlebot, crawl-198-51-100-2.googlebot.com",
        "Origin:  DE, AS64500 Example GmbH",
    ] {
        assert!(story.contains(part), "no `{part}` in\n{story}");
    }

    errors(&fleet, liar, 50);
    assert_eq!(fleet.await_ban(liar.attacker()).reason, reason::ERROR_FLOOD);
    let checked = wait_until("the liar was looked up", SOON, || {
        Some(why(&fleet, liar)["crawler"].take()).filter(|checked| !checked.is_null())
    });
    assert_eq!(
        (&checked["verified"], &checked["crawler"]),
        (&Value::from(false), &Value::from("Googlebot"))
    );
    let because = checked["why"].as_str().unwrap();
    assert!(
        because.contains("does not lead back to 2001:db8:a:1::2"),
        "{because}"
    );
    assert!(fleet.ban_of(liar.attacker()).is_some());
    let bans = told(&fleet, &["bans", "-o", "wide"]);
    assert!(
        bans.contains("COUNTRY") && bans.contains("AS64500 Example GmbH"),
        "{bans}"
    );
    assert!(!told(&fleet, &["bans"]).contains("COUNTRY"));
    let metrics = fleet.api(3030, "/metrics").unwrap().body;
    let metrics = String::from_utf8(metrics).unwrap();
    for outcome in ["verified", "refused"] {
        let line = format!("secbeat_orchestrator_crawler_lookups_total{{outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&line), "no `{line}` in\n{metrics}");
    }
}
