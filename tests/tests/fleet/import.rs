//! Bans from files, many at once, and bans without end, in a real fleet.

use std::{fmt::Write as _, fs, process::Output, time::Duration};

use secbeat_common::{maps::Ban, subjects::AuditPart};
use secbeat_edge::kernel::{Carries, Pins, is_dropped};
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

/// Bans of the large import: some requests and some pages.
const MANY: u32 = 25_000;
/// How long it may take in a debug build beside other tests.
const SOON: Duration = Duration::from_secs(60);

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn import(fleet: &Fleet, text: &str, arguments: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    fleet.cli("orchestrator", &[&["import", path], arguments].concat())
}

fn export(fleet: &Fleet, format: &str) -> String {
    stdout(&fleet.cli("orchestrator", &["export", "--format", format]))
}

fn bans(fleet: &Fleet, arguments: &[&str]) -> Vec<Value> {
    let output = fleet.cli("orchestrator", &[&["bans", "-o", "json"], arguments].concat());
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn blocked(fleet: &Fleet) -> u64 {
    fleet.edge_stats().unwrap()["blocked_ips"].as_u64().unwrap()
}

#[test]
fn many_bans_are_lifted_by_name_by_file_and_by_what_they_have_in_common() {
    const NOT_FOUND: Option<i32> = Some(3);
    let fleet = Fleet::start(&Options::default());
    let list = "198.51.100.11 # a\n198.51.100.12 # a\n198.51.100.13 # b\n198.51.100.14 # b\n203.0.113.128/25 # net\n203.0.113.207 # inner\n192.0.2.1\n";
    stdout(&import(&fleet, list, &["--duration", "1h"]));
    let unban = |arguments: &[&str]| fleet.cli("orchestrator", &[&["unban"], arguments].concat());
    let left = || -> Vec<String> {
        let bans = bans(&fleet, &[]);
        bans.iter()
            .map(|ban| ban["target"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = left();
    assert_eq!(all.len(), 7);

    let said = stdout(&unban(&["--note", "a", "--reason", "manual", "--dry-run"]));
    assert_eq!(
        said,
        "would unban 198.51.100.11/32 on every edge\nwould unban 198.51.100.12/32 on every edge\n"
    );
    assert_eq!(left(), all);
    for nothing in [&[][..], &["--note", ""], &["198.51.100.11", "--all"]] {
        assert_eq!(unban(nothing).status.code(), Some(64), "{nothing:?}");
    }

    let partly = unban(&["198.51.100.11", "198.51.100.99", "198.51.100.12"]);
    assert_eq!(partly.status.code(), NOT_FOUND, "{partly:?}");
    assert!(
        String::from_utf8_lossy(&partly.stderr).contains("not banned: 198.51.100.99/32"),
        "{partly:?}"
    );
    let said = stdout(&unban(&["--within", "198.51.100.0/24", "-o", "json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        said["unbanned"],
        serde_json::json!(["198.51.100.13/32", "198.51.100.14/32"])
    );
    assert_eq!(left(), ["192.0.2.1/32", "203.0.113.128/25", "203.0.113.207/32"]);

    // An address within a banned network: an exception, or the end of what covers it.
    let said = stdout(&unban(&["203.0.113.209", "--except"]));
    assert!(
        said.starts_with("allowlisted 203.0.113.209/32 on every edge for "),
        "{said}"
    );
    assert!(said.ends_with("; 203.0.113.128/25 stays banned\n"), "{said}");
    let entries = stdout(&fleet.cli("orchestrator", &["allowlist", "list"]));
    assert!(
        entries.contains("exempt from the ban of 203.0.113.128/25"),
        "{entries}"
    );
    assert_eq!(unban(&["192.0.2.77", "--except"]).status.code(), NOT_FOUND);
    let again = unban(&["203.0.113.209", "--except"]);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("at least as long already"),
        "{again:?}"
    );
    stdout(&unban(&["203.0.113.207", "203.0.113.208", "--covering"]));
    assert_eq!(left(), ["192.0.2.1/32"]);

    stdout(&import(&fleet, list, &["--duration", "1h", "--skip-invalid"]));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "# lifted\n198.51.100.11 # why\n\n198.51.100.12\n").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(stdout(&unban(&["--file", path])).lines().count(), 2);
    fs::write(file.path(), "198.51.100.11\nnonsense\n").unwrap();
    let refused = stderr(&unban(&["--file", path]));
    assert!(refused.contains(&format!("{path}:2")), "{refused}");
    stdout(&unban(&["--all"]));
    assert_eq!(left(), [""; 0]);
    assert_eq!(stdout(&unban(&["--all"])), "no ban matches\n");
}

/// A list from somewhere else, whose comments would move a cursor, rename a window, write the clipboard, and turn text around.
#[test]
fn nothing_that_others_wrote_is_obeyed_by_a_terminal() {
    let notes = [
        "\u{1b}]0;OWNED\u{7}\u{1b}[2J\u{1b}[31mred",
        "\u{202e}gnp.exe",
        "\u{9b}31m\u{1b}]52;c;ZXZpbA==\u{7}",
    ];
    let fleet = Fleet::start(&Options::default());
    let list: String = notes
        .iter()
        .zip(50..)
        .map(|(note, n)| format!("198.51.100.{n} # {note}\n"))
        .collect();
    stdout(&import(&fleet, &list, &["--duration", "1h"]));
    let is_obeyed = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    wait_until("the edge bans them", SOON, || blocked(&fleet) == 3);
    for (daemon, arguments) in [
        ("orchestrator", &["bans"][..]),
        ("orchestrator", &["bans", "-o", "json"]),
        ("orchestrator", &["audit"]),
        ("orchestrator", &["why", "198.51.100.50"]),
        ("edge", &["bans"]),
        ("edge", &["bans", "-o", "json"]),
    ] {
        let said = stdout(&fleet.cli(daemon, arguments));
        assert!(said.contains("198.51.100.50"), "{daemon} {arguments:?}: {said}");
        assert!(!said.contains(is_obeyed), "{daemon} {arguments:?}: {said:?}");
    }
    assert!(stdout(&fleet.cli("orchestrator", &["bans"])).contains("\\u{1b}]0;OWNED\\u{7}"));
    let told: Vec<_> = bans(&fleet, &[])
        .iter()
        .map(|ban| ban["note"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, notes, "JSON has the notes as they are");
    // What an error repeats is no exception.
    let refused = fleet.cli("orchestrator", &["why", "\u{1b}[2J"]);
    assert!(
        !String::from_utf8_lossy(&refused.stderr).contains('\u{1b}'),
        "{refused:?}"
    );
}

#[test]
fn what_is_exported_from_one_fleet_is_imported_into_another() {
    let list = "198.51.100.7 # scanner\n203.0.113.128/25\n2001:db8:f::1\n";
    let (json, csv, before) = {
        let fleet = Fleet::start(&Options::default());
        let said = stdout(&import(&fleet, list, &["--duration", "7d", "--note", "by list"]));
        assert!(said.starts_with("imported 3 bans in "), "{said}");
        stdout(&fleet.cli("orchestrator", &["ban", "198.51.100.8", "--permanent"]));
        let again = stdout(&import(&fleet, list, &["--duration", "6d"]));
        assert!(
            again.starts_with("imported 0 bans, 3 banned already for as long in "),
            "{again}"
        );
        (export(&fleet, "json"), export(&fleet, "csv"), bans(&fleet, &[]))
    };
    for exported in [&json, &csv] {
        let fleet = Fleet::start(&Options::default());
        stdout(&import(&fleet, exported, &[]));
        assert_eq!(&export(&fleet, "json"), &json);
    }
    let told: Vec<_> = before
        .iter()
        .map(|ban| (ban["target"].as_str().unwrap(), ban["note"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("198.51.100.7/32", "scanner"),
            ("198.51.100.8/32", ""),
            ("203.0.113.128/25", "by list"),
            ("2001:db8:f::/64", "by list")
        ]
    );
    assert_eq!(
        (&before[1]["expires_at"], &before[1]["expires_in_ms"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn one_bad_line_keeps_all_out_and_is_named() {
    let fleet = Fleet::start(&Options::default());
    let text = "198.51.100.7\nexample.org\n127.0.0.1\n";
    let said = stderr(&import(&fleet, text, &[]));
    assert!(
        said.contains(":2: `example.org` is neither an IP address nor a CIDR prefix\n"),
        "{said}"
    );
    assert!(
        said.contains(":3: 127.0.0.1/32 is never banned: loopback\n"),
        "{said}"
    );
    assert!(
        said.contains("nothing was imported: 2 of 3 lines are invalid"),
        "{said}"
    );
    assert!(bans(&fleet, &[]).is_empty());

    let would = stdout(&import(&fleet, text, &["--skip-invalid", "--dry-run"]));
    assert_eq!(would, "would import 1 ban, 2 skipped\n");
    assert!(bans(&fleet, &[]).is_empty());
    let output = import(&fleet, text, &["--skip-invalid"]);
    stdout(&output);
    let left_out = String::from_utf8_lossy(&output.stderr);
    for why in [
        ":2: `example.org` is neither an IP address nor a CIDR prefix\n",
        ":3: 127.0.0.1/32 is never banned: loopback\n",
    ] {
        assert!(left_out.contains(why), "{left_out}");
    }
    assert_eq!(bans(&fleet, &[])[0]["target"], "198.51.100.7/32");
}

#[test]
fn more_networks_than_a_trie_holds_are_banned_or_merged_and_lists_fill_the_allowlist() {
    const NETS: u32 = 4200;
    let mut fleet = Fleet::start(&Options::default());
    let net = |net: u32| std::net::Ipv4Addr::from(0x6440_0000 + (net << 8));
    let list: String = (0..NETS).map(|number| format!("{}/24\n", net(number))).collect();

    let would = stdout(&import(&fleet, &list, &["--dry-run"]));
    assert_eq!(would, "would import 4200 bans\n");
    let said = stdout(&import(&fleet, &list, &["--duration", "1h"]));
    assert!(said.starts_with("imported 4200 bans in "), "{said}");
    let is_dropped = |fleet: &Fleet, address: u32| {
        let pins = Pins::at(fleet.pin_folder());
        is_dropped(&pins, std::net::Ipv4Addr::from(address).into(), Carries::Ping).unwrap()
    };
    let holds_all = |fleet: &Fleet| {
        wait_until("the edge bans them", SOON, || blocked(fleet) == u64::from(NETS));
        for number in (0..NETS).step_by(7).chain([NETS - 1]) {
            let host = u32::from(net(number)) + 7;
            assert!(is_dropped(fleet, host), "of {}/24", net(number));
        }
        assert!(!is_dropped(fleet, u32::from(net(NETS))));
    };
    holds_all(&fleet);
    let last = net(NETS - 1).to_string();
    let around: Value =
        serde_json::from_str(&stdout(&fleet.cli("edge", &["bans", &last, "-o", "json"]))).unwrap();
    assert_eq!(around[0]["target"], format!("{last}/24"));
    assert_eq!(around[0]["dropped_packets"], 1, "{around}");
    fleet.kill_edge();
    fleet.restart_edge();
    holds_all(&fleet);

    stdout(&fleet.cli("orchestrator", &["unban", "--all"]));
    wait_until("the edge lifts them", SOON, || blocked(&fleet) == 0);
    assert!(!is_dropped(&fleet, u32::from(net(NETS - 1))));
    let output = import(&fleet, &list, &["--aggregate", "--duration", "1h"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(": plain list; 4200 entries"),
        "{output:?}"
    );
    assert!(
        stdout(&output).starts_with("imported 4 bans, 4196 merged into others in "),
        "{output:?}"
    );
    assert_eq!(
        export(&fleet, "plain"),
        "100.64.0.0/12\n100.80.0.0/18\n100.80.64.0/19\n100.80.96.0/21\n"
    );
    for layout in ["ipset", "nft", "nginx", "haproxy"] {
        let again = stdout(&import(
            &fleet,
            &export(&fleet, layout),
            &["--dry-run", "--duration", "30m"],
        ));
        assert!(
            again.starts_with("would import 0 bans, 4 banned already for as long"),
            "{layout}: {again}"
        );
    }

    let ranges = r#"{"addresses":["198.51.100.0/24","0.0.0.0/0"],"ipv6_addresses":["2001:db8:7::/48"]}"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), ranges).unwrap();
    let path = file.path().to_str().unwrap();
    let allow = |arguments: &[&str]| {
        fleet.cli(
            "orchestrator",
            &[&["allowlist", "import", path], arguments].concat(),
        )
    };
    let refused = stderr(&allow(&[]));
    assert!(
        refused.contains("network: 0.0.0.0/0 covers all addresses"),
        "{refused}"
    );
    let would = stdout(&allow(&["--skip-invalid", "--dry-run"]));
    assert_eq!(would, "would import 2 entries of the allowlist, 1 skipped\n");
    assert_eq!(
        stdout(&fleet.cli("orchestrator", &["allowlist", "list", "-o", "json"])),
        "[]\n"
    );
    stdout(&allow(&["--skip-invalid", "--comment", "cdn"]));
    let entries = stdout(&fleet.cli("orchestrator", &["allowlist", "list"]));
    assert!(
        entries.contains("198.51.100.0/24") && entries.contains("2001:db8:7::/48") && entries.contains("cdn"),
        "{entries}"
    );
}

#[test]
fn a_ban_without_end_holds_in_the_kernel_past_the_longest_and_restarts() {
    let mut fleet = Fleet::start(&Options {
        more_config: "max_duration = \"1h\"\n".to_owned(),
        ..Options::default()
    });
    let family = Family::V4;
    let address = family.attacker().to_string();
    let said = stdout(&fleet.cli("orchestrator", &["ban", &address, "--permanent"]));
    assert_eq!(said, format!("banned {address}/32 permanently on every edge\n"));
    let holds = |fleet: &Fleet| {
        assert_eq!(fleet.await_ban(family.attacker()).expires_boot_ns, Ban::NEVER);
        let url = format!("http://{}/", family.edge_for_attacker());
        let mut client = fleet.attacking(family).with_timeout(Duration::from_millis(300));
        assert!(client.get(&url).is_err(), "banned for ever and served");
    };
    holds(&fleet);
    stdout(&fleet.cli("orchestrator", &["ban", "198.51.100.77", "--duration", "7d"]));
    let cut = fleet.await_ban("198.51.100.77".parse().unwrap());
    assert!(cut.expires_boot_ns < u64::MAX / 2);
    for daemon in ["edge", "orchestrator"] {
        let table = stdout(&fleet.cli(daemon, &["bans"]));
        let line = table.lines().find(|line| line.contains(&address)).unwrap();
        assert!(line.contains(" never "), "{line}");
        let listed: Value =
            serde_json::from_str(&stdout(&fleet.cli(daemon, &["bans", "-o", "json"]))).unwrap();
        assert_eq!(
            (&listed[0]["expires_at"], &listed[0]["expires_in_ms"]),
            (&Value::Null, &Value::Null)
        );
    }
    fleet.kill_edge();
    holds(&fleet);
    fleet.restart_edge();
    holds(&fleet);
    fleet.bounce_orchestrator();
    assert_eq!(bans(&fleet, &["-i", &address])[0]["expires_at"], Value::Null);
    stdout(&fleet.cli("orchestrator", &["unban", &address]));
    wait_until("the ban is lifted", Duration::from_secs(5), || {
        fleet.ban_of(family.attacker()).is_none()
    });
}

#[test]
fn very_many_bans_are_imported_listed_and_enforced() {
    let mut fleet = Fleet::start(&Options {
        ban_slots: 4 * MANY,
        ..Options::default()
    });
    let list = (0..MANY).fold(String::new(), |mut list, n| {
        writeln!(list, "{}", std::net::Ipv4Addr::from(0x0a00_0000 + n)).unwrap();
        list
    });
    let said = stdout(&import(&fleet, &list, &["--duration", "1d"]));
    assert!(said.starts_with(&format!("imported {MANY} bans in ")), "{said}");
    wait_until("the edge enforces them all", SOON, || {
        blocked(&fleet) == u64::from(MANY)
    });
    assert_eq!(bans(&fleet, &[]).len(), MANY as usize);
    let in_range = bans(&fleet, &["-r", "10.0.1.0/24", "--reason", "manual"]);
    assert_eq!(
        (in_range.len(), &in_range[9]["target"]),
        (256, &"10.0.1.9/32".into())
    );
    assert_eq!(bans(&fleet, &["-i", "10.0.0.7"]).len(), 1);

    fleet.bounce_orchestrator();
    wait_until("the ledger is whole again", SOON, || {
        fleet
            .orchestrator_stats()
            .is_some_and(|stats| stats["active_bans"] == MANY)
    });
    assert_eq!(fleet.orchestrator_stats().unwrap()["audit_lost"], 0);
}

/// Records in a part of the audit.
fn records(fleet: &Fleet, part: AuditPart) -> u64 {
    fleet.nats.messages(part.stream(), &part.record("*", ">"))
}

#[test]
fn a_feed_that_is_imported_again_and_again_pushes_no_decision_out_of_the_audit() {
    const LISTED: u32 = 3_000;
    let fleet = Fleet::start(&Options::default());
    let list = (0..LISTED).fold("198.51.100.9 # spam\n".to_owned(), |mut list, n| {
        writeln!(list, "{}", std::net::Ipv4Addr::from(0x0a00_0000 + n)).unwrap();
        list
    });
    let audit = |arguments: &[&str]| -> Vec<Value> {
        let output = fleet.cli("orchestrator", &[&["audit", "-o", "json"], arguments].concat());
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    // The third time, each ban ends later than it would by the list, however long an import takes.
    for (round, duration) in (1..).zip(["1h", "2h", "90m"]) {
        stdout(&import(&fleet, &list, &["--duration", duration]));
        wait_until("the audit has the list", SOON, || {
            audit(&["--kind", "list"]).len() == round
        });
        assert_eq!(
            records(&fleet, AuditPart::Orders),
            round as u64,
            "one record each"
        );
    }
    let all = u64::from(LISTED) + 1;
    let lists = audit(&["--kind", "list"]);
    let counts: Vec<_> = lists
        .iter()
        .rev()
        .map(|list| ["new", "longer", "unchanged", "left_out"].map(|key| list[key].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [[all, 0, 0, 0], [0, all, 0, 0], [0, 0, all, 0]]);
    let digest = &lists[0]["digest"];
    assert!(digest.as_str().unwrap().starts_with("sha256:"), "{digest}");
    assert!(
        lists
            .iter()
            .all(|list| &list["digest"] == digest && list["actor"] == "root")
    );

    // What a ban is of is told, by its own record and by that of its list.
    let of_ban = bans(&fleet, &["-i", "198.51.100.9"])[0]["list"].clone();
    assert_eq!(of_ban, lists[1]["id"], "the second time it lasted longer");
    wait_until("the ban is recorded", SOON, || {
        let kinds: Vec<_> = audit(&["--source", "198.51.100.9"])
            .iter()
            .map(|record| record["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.iter().filter(|kind| *kind == "ban").count() == 2 && kinds.iter().any(|kind| kind == "list")
    });
    let why = stdout(&fleet.cli("orchestrator", &["why", "198.51.100.9"]));
    assert!(
        why.contains("is of a list that root imported at") && why.contains(digest.as_str().unwrap()),
        "{why}"
    );

    // Bans that are lifted together are one record, too.
    let orders = records(&fleet, AuditPart::Orders);
    stdout(&fleet.cli("orchestrator", &["unban", "--within", "10.0.0.0/24"]));
    wait_until("the audit has the lifted bans", SOON, || {
        audit(&["--kind", "list"]).len() == 4
    });
    assert_eq!(records(&fleet, AuditPart::Orders), orders + 1);
    assert_eq!(audit(&["--kind", "list"])[0]["new"], 256);
}
