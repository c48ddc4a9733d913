//! One host becomes an edge of a fleet, and goes back, while a banned client keeps knocking.

use std::{
    fs,
    net::IpAddr,
    process::Output,
    time::{Duration, SystemTime},
};

use secbeat_common::maps::{Ban, origin, reason};
use secbeat_tests::lab::{
    hub::Hub, one_host::OneHost, persistent::Persistent, visitor::Visitor, wait::wait_until,
};

const SOON: Duration = Duration::from_secs(20);
const ERRORS: u32 = 50;
/// Banned by an operator of the host.
const BY_HAND: IpAddr = OneHost::OTHER_SSH_ATTACKER;
/// Banned by the fleet.
const BY_FLEET: IpAddr = OneHost::SSH_ATTACKER;

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    out + &err
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    said(output)
}

fn await_ban(host: &OneHost, address: IpAddr, reason: u8, origin: u8) -> Ban {
    let is_it = |ban: &Ban| (ban.reason, ban.origin) == (reason, origin);
    wait_until("the kernel has the ban", SOON, || {
        host.ban_of(address).filter(is_it)
    })
}

#[test]
fn a_host_joins_a_fleet_and_leaves_it_and_no_packet_of_a_banned_client_passes() {
    let mut host = OneHost::start("");
    let mut hub = Hub::start(&host.host, "[[rule]]\nname = \"error-flood\"\nban = \"10m\"\n");
    host.fail(OneHost::ATTACKER, ERRORS);
    await_ban(&host, OneHost::ATTACKER, reason::ERROR_FLOOD, origin::FLEET);
    done(&host.secbeat(&[
        "ban",
        &BY_HAND.to_string(),
        "--duration",
        "1h",
        "--note",
        "by hand",
    ]));
    let by_hand = await_ban(&host, BY_HAND, reason::MANUAL, origin::FLEET);
    let visitor = OneHost::VISITOR.to_string();
    done(&host.secbeat(&[
        "allowlist",
        "add",
        &visitor,
        "--comment",
        "office",
        "--duration",
        "2h",
    ]));
    let attacker = Persistent::start(&host.clients, OneHost::ATTACKER, OneHost::door(OneHost::ATTACKER));
    let visits = Visitor::start(host.client(OneHost::VISITOR), &host.url(OneHost::VISITOR, "/"));

    let credentials = hub.enroll("web-2");
    let credentials = credentials.to_string_lossy();
    let alone = fs::read_to_string(host.config()).unwrap();
    let shown = done(&host.secbeat(&["join", &credentials, "--dry-run"]));
    for part in [
        "web-2, of the fleet at",
        "its orchestrators decide",
        "4 are the same",
        "- error-flood: 50 errors in 1m ban for 5m",
        "+ error-flood: 50 errors in 1m ban for 10m",
        "2 bans in force",
        "allowlisted: 203.0.113.8/32 office",
    ] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    assert_eq!(fs::read_to_string(host.config()).unwrap(), alone);
    done(&host.secbeat(&["join", &credentials, "--yes"]));
    host.stop();
    host.start_in_fleet();

    // Told of what a rule banned, the fleet bans it everywhere.
    await_ban(&host, OneHost::ATTACKER, reason::ERROR_FLOOD, origin::FLEET);
    wait_until("the other host bans the attacker", SOON, || {
        hub.ban_of(OneHost::ATTACKER)
    });
    let kept = await_ban(&host, BY_HAND, reason::MANUAL, origin::LOCAL);
    assert!(kept.expires_boot_ns.abs_diff(by_hand.expires_boot_ns) < 2_000_000_000);
    assert_eq!(hub.ban_of(BY_HAND), None, "an operator's ban of one host");
    done(&hub.orchestrator(&["ban", &BY_FLEET.to_string()]));
    await_ban(&host, BY_FLEET, reason::MANUAL, origin::FLEET);
    let bans = done(&host.secbeat(&["bans"]));
    assert!(
        bans.contains("by hand") && bans.contains(&BY_FLEET.to_string()),
        "{bans}"
    );
    let allowed = done(&host.secbeat(&["allowlist", "list"]));
    assert!(
        allowed.contains(&visitor) && allowed.contains("office"),
        "{allowed}"
    );
    let status = done(&host.secbeat(&["status"]));
    assert!(
        status.contains("fleet      the edge web-2") && status.contains("NATS       connected"),
        "{status}"
    );
    let why = done(&host.secbeat(&["why", &OneHost::ATTACKER.to_string()]));
    assert!(why.contains("DROPS"), "{why}");
    let rules = host.secbeat(&["rules"]);
    assert!(
        !rules.status.success() && said(&rules).contains("ask an orchestrator"),
        "{rules:?}"
    );
    done(&host.secbeat(&["unban", &BY_HAND.to_string()]));
    assert_eq!(host.ban_of(BY_HAND), None);
    let added = done(&host.secbeat(&["allowlist", "add", "192.0.2.99"]));
    assert_eq!(added, "allowlisted 192.0.2.99/32 on this host\n");
    wait_until("status names the program that is here", SOON, || {
        done(&host.secbeat(&["status"])).contains("(`secbeat allowlist list`)")
    });
    let removed = done(&host.secbeat(&["allowlist", "remove", "192.0.2.99"]));
    assert_eq!(removed, "removed 192.0.2.99/32 from this host's allowlist\n");

    hub.nats.kill9();
    wait_until("the host's own detector stands in", SOON, || {
        host.edge_stats()
            .is_some_and(|stats| stats["detection"]["deciding_since_ms"].is_number())
    });
    host.fail(OneHost::OTHER_ATTACKER, ERRORS);
    await_ban(&host, OneHost::OTHER_ATTACKER, reason::ERROR_FLOOD, origin::LOCAL);

    // A fleet that does not answer keeps nobody.
    done(&host.secbeat(&["leave", "--yes"]));
    assert_eq!(fs::read_to_string(host.config()).unwrap(), alone);
    host.stop();
    host.start_again();
    for (address, reason) in [
        (OneHost::ATTACKER, reason::ERROR_FLOOD),
        (OneHost::OTHER_ATTACKER, reason::ERROR_FLOOD),
        (BY_FLEET, reason::MANUAL),
    ] {
        await_ban(&host, address, reason, origin::FLEET);
    }
    assert_eq!(host.ban_of(BY_HAND), None, "a ban that was lifted is back");
    let allowed = done(&host.secbeat(&["allowlist", "list"]));
    assert!(
        allowed.contains(&visitor) && allowed.contains("office"),
        "{allowed}"
    );
    done(&host.secbeat(&["unban", &BY_FLEET.to_string()]));
    wait_until("the ban is lifted", SOON, || host.ban_of(BY_FLEET).is_none());
    // What came before the unban does not count, and the log has whole seconds.
    let lifted = SystemTime::now();
    wait_until("another second has come", SOON, || {
        lifted.elapsed().is_ok_and(|since| since > Duration::from_secs(1))
    });
    host.fail(BY_FLEET, ERRORS);
    await_ban(&host, BY_FLEET, reason::ERROR_FLOOD, origin::FLEET);
    // It is as if it had never been away.
    host.kill9();
    host.start_again();
    await_ban(&host, OneHost::OTHER_ATTACKER, reason::ERROR_FLOOD, origin::FLEET);

    let knocks = attacker.stop();
    assert!(knocks.made > 1_000 && knocks.answered == 0, "{knocks:?}");
    let report = visits.stop();
    assert!(report.requests > 100 && report.failures.is_empty(), "{report:?}");
}

#[test]
fn what_cannot_be_joined_is_named_and_nothing_changes() {
    let host = OneHost::start("");
    let mut hub = Hub::start(&host.host, "");
    let credentials = hub.enroll("web-2");
    let credentials = credentials.to_string_lossy();
    let alone = fs::read_to_string(host.config()).unwrap();
    let refused = |arguments: &[&str], why: &str| {
        let output = host.secbeat(arguments);
        let said = said(&output);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert_eq!(fs::read_to_string(host.config()).unwrap(), alone);
    };
    refused(&["leave", "--yes"], "is not an edge of a fleet");
    refused(&["join", "/nowhere", "--yes"], "credentials /nowhere");
    refused(&["join", &credentials], "--yes");
    hub.nats.kill9();
    refused(&["join", &credentials, "--yes"], "does not answer");
}
