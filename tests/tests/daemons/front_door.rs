//! What the operator of one host types: checks, words of other programs, and taking over from fail2ban.

use std::{
    fs,
    time::{Duration, Instant},
};

use secbeat_tests::lab::{
    executable::{Executable as _, Program, TestProgram},
    host::assert_refused,
    netns::{End, Namespace, link},
    one_host::OneHost,
    paths,
    process::Daemon,
    wait::wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(10);

/// The exit code and what was said on standard output.
fn said(host: &OneHost, arguments: &[&str]) -> (Option<i32>, String) {
    let output = host.secbeat(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    eprintln!("secbeat {arguments:?}: {}: {text}{complaint}", output.status);
    (output.status.code(), text)
}

fn json(host: &OneHost, arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = said(host, &[arguments, &["-o", "json"]].concat());
    (code, serde_json::from_str(&text).expect("JSON"))
}

#[test]
fn one_host_is_checked_and_asked_in_its_own_words_and_in_those_of_others() {
    let mut host = OneHost::start("");
    host.fail(OneHost::ATTACKER, 50);
    wait_until("the attacker is banned", SOON, || host.ban_of(OneHost::ATTACKER));
    let (code, status) = json(&host, &["status"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        (&status["host"]["running"], &status["detector"]["bus_connected"]),
        (&true.into(), &true.into())
    );
    let (_, text) = said(&host, &["status"]);
    assert!(
        !text.contains("NATS") && text.contains("the store"),
        "there is no NATS: {text}"
    );

    // Of a log that is watched, and of a service that is not.
    let service = host.site_folder.access_log();
    let (code, nginx) = json(&host, &["status", &service.to_string_lossy()]);
    assert_eq!(code, Some(0));
    assert_eq!(nginx["banned"][0], format!("{}/32", OneHost::ATTACKER));
    assert_eq!(nginx["not_in_kernel"].as_array().map(Vec::len), Some(0));
    assert_eq!(said(&host, &["status", "sshd"]).0, Some(3));
    // A dry run finds what the real run would.
    let missing = &["unban", "--dry-run", "192.0.2.250"];
    assert_eq!(said(&host, missing), (Some(3), String::new()));
    let receivers = said(&host, &["notify", "list"]);
    assert!(receivers.1.starts_with("no receivers"), "{receivers:?}");

    for words in [&["banned"][..], &["decisions", "list"], &["ban", "list"]] {
        let (code, text) = said(&host, words);
        assert!(
            code == Some(0) && text.contains(&OneHost::ATTACKER.to_string()),
            "{words:?}: {text}"
        );
    }
    for hinted in [
        &["set", "sshd", "banip", "192.0.2.9"][..],
        &["iptables", "-I", "INPUT", "-s", "192.0.2.9", "-j", "DROP"],
    ] {
        assert_refused(&host.secbeat(hinted), 2, &["`secbeat ban 192.0.2.9`"]);
    }
    let added = "decisions add --ip 192.0.2.9 --duration 4h --type ban --reason spam";
    let deleted = "cscli decisions delete --ip 192.0.2.9";
    for words in [added, "decisions list --ip 192.0.2.9", deleted] {
        let (code, text) = said(&host, &words.split(' ').collect::<Vec<_>>());
        assert!(
            code == Some(0) && text.contains("192.0.2.9/32"),
            "{words}: {text}"
        );
    }

    let (code, passed) = json(&host, &["test"]);
    assert_eq!(code, Some(0));
    assert!(
        passed
            .as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["dropped"] == true))
    );

    // A token is made by the program that is there, which a refusal names.
    let by_tcp = ["--url", "http://127.0.0.1:3030", "ban", "192.0.2.8"];
    assert_refused(
        &host.secbeat(&by_tcp),
        77,
        &["`secbeat token create NAME --role operate`"],
    );
    let made = host.secbeat(&["token", "create", "ci", "--role", "operate"]);
    let [table, hint] = [&made.stdout, &made.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(hint.contains("(systemctl reload secbeat)"), "{hint}");
    assert!(
        table.contains("[[api.token]]\nname = \"ci\"\nrole = \"operate\"\nhash = \"sha256:"),
        "{table}"
    );

    // sshd is installed, and this config says nothing of it.
    let (code, report) = json(&host, &["doctor"]);
    let of = |what: &str| {
        let findings = report["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["what"] == what);
        found.map(|finding| {
            (
                finding["state"].clone(),
                finding["detail"].as_str().unwrap_or_default().to_owned(),
            )
        })
    };
    let state = |what: &str| of(what).map(|(state, _)| state);
    for what in [
        "config",
        "store",
        "daemon",
        "detector",
        "in the kernel, eth0",
        "mode",
    ] {
        assert_eq!(state(what), Some("ok".into()), "{what}: {report:#}");
    }
    assert_eq!(report["state"], "problem");
    assert_eq!(code, Some(2), "the worst finding tells the exit code");
    let findings = report["findings"].as_array().expect("findings");
    let is_told = |finding: &Value| {
        finding["detail"]
            .as_str()
            .is_some_and(|text| text.contains("not watched: sshd"))
    };
    assert!(findings.iter().any(is_told), "{report:#}");

    // A daemon that hangs is waited for once, and not in each check.
    host.signal(libc::SIGSTOP);
    let begun = Instant::now();
    let (code, report) = json(&host, &["doctor"]);
    let took = begun.elapsed();
    host.signal(libc::SIGCONT);
    assert_eq!(code, Some(2));
    assert!(report.to_string().contains("HANGS"), "{report:#}");
    assert!(took < Duration::from_secs(12), "{took:?}");
}

/// A host that nobody has configured, but for the log of an nginx: what is SecBeat's own is empty.
const BARE: &str = "set -e; for folder in /etc /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done; \
    mount -t bpf bpf /sys/fs/bpf; mkdir /var/log/nginx; touch /var/log/nginx/access.log; exec \"$@\"";

#[test]
fn without_a_config_it_runs_with_what_setup_would_choose_and_says_why() {
    let (host, clients) = (Namespace::new("bare"), Namespace::new("clients"));
    link(
        End {
            namespace: &host,
            interface: "eth0",
            addresses: &["203.0.113.1/24"],
        },
        End {
            namespace: &clients,
            interface: "eth0",
            addresses: &["203.0.113.7/24"],
        },
    );
    host.ip(&["route", "add", "default", "dev", "eth0"]);
    let mut command = host.command(Program::Unshare);
    command
        .arg("--mount")
        .arg(Program::Shell.file())
        .args(["-c", BARE, "sh"]);
    command
        .arg(paths::daemon("secbeat"))
        .arg("run")
        .arg("--bpf-object")
        .arg(paths::bpf_object());
    command
        .env("SECBEAT_LOG", "info")
        .env("NO_COLOR", "1")
        .env_remove("SECBEAT_CONFIG");
    let mut daemon = Daemon::spawn("secbeat", &mut command);
    daemon.wait_for_log("secbeat_edge::app: running", Duration::from_secs(30));
    let log = daemon.log();
    for said in [
        "there is no /etc/secbeat/secbeat.toml: this is what `secbeat setup` would choose",
        "interfaces    eth0 (default route)",
        "/var/log/nginx/access.log: no line yet",
        "program attached interface=eth0",
        "following a log log=/var/log/nginx/access.log",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(host.xdp_on("eth0").is_some());
    assert!(daemon.terminate(SOON).success());
}

/// As fail2ban's own server keeps them: two bans that hold, one of them without end, and one that is over.
const BANS: &str = "
import sys, time
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.ticket import FailTicket
class Actions:
    def getBanTime(self):
        return 600
class Jail:
    name = 'sshd'
    actions = Actions()
db = Fail2BanDb(sys.argv[1])
db.addJail(Jail)
for address, began, length in (('198.51.100.7', 0, 3600), ('2001:db8:7::7', 0, -1), ('198.51.100.8', 7200, 3600)):
    ticket = FailTicket(address, time.time() - began, [])
    ticket.setBanTime(length)
    db.addBan(Jail, ticket)
";

#[test]
fn what_fail2ban_has_is_taken_over_and_the_rest_is_named() {
    let host = OneHost::start("");
    let folder = tempfile::tempdir().expect("making a folder");
    let (database, settings) = (
        folder.path().join("fail2ban.sqlite3"),
        folder.path().join("settings"),
    );
    let made = TestProgram::Fail2banPython
        .command()
        .args(["-c", BANS])
        .arg(&database)
        .output();
    let made = made.expect("starting fail2ban-python");
    assert!(made.status.success(), "{made:?}");
    let asked = TestProgram::Fail2banClient.command().arg("-d").output();
    let asked = String::from_utf8(asked.expect("starting fail2ban-client").stdout).expect("text");
    let more = "['set', 'sshd', 'addignoreip', '192.0.2.0/24', 'office.example']\n";
    fs::write(&settings, asked + more).expect("writing a file");
    let files = [
        "--database",
        &database.to_string_lossy(),
        "--settings",
        &settings.to_string_lossy(),
    ];

    let before = fs::read_to_string(host.config()).expect("a config");
    let (code, text) = said(
        &host,
        &[&["import", "--dry-run", "--from", "fail2ban"][..], &files].concat(),
    );
    assert!(code == Some(0) && text.contains("would import 2 bans"), "{text}");
    assert_eq!(fs::read_to_string(host.config()).expect("a config"), before);
    assert_eq!(
        json(&host, &["bans"]).1.as_array().map(Vec::len),
        Some(0),
        "a dry run banned"
    );

    let (code, text) = said(&host, &[&["migrate", "fail2ban"][..], &files].concat());
    assert_eq!(code, Some(0));
    assert!(text.contains("NOT TAKEN OVER ignoreip office.example"), "{text}");
    let (_, bans) = json(&host, &["bans"]);
    let ban = |target: &str| {
        let all = bans.as_array().expect("bans");
        all.iter()
            .find(|ban| ban["target"] == target)
            .cloned()
            .unwrap_or_else(|| panic!("{target}: {bans:#}"))
    };
    let left = ban("198.51.100.7/32")["expires_in_ms"].as_i64().expect("an end");
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    assert_eq!(ban("2001:db8:7::/64")["expires_at"], Value::Null);
    assert_eq!(bans.as_array().map(Vec::len), Some(2), "one was over: {bans:#}");
    let (_, allowed) = said(&host, &["allowlist", "list"]);
    assert!(allowed.contains("192.0.2.0/24"), "{allowed}");
    let after = fs::read_to_string(host.config()).expect("a config");
    assert!(after.starts_with(before.trim_end()), "{after}");
    assert!(
        after.contains("name = \"ssh-bruteforce\"\nthreshold = 5\nwindow = \"600s\""),
        "{after}"
    );
}
