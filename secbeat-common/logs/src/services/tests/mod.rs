//! The shipped filters over lines of the services, and over what clients could make of these.

mod broken;
mod framing;
mod translated;

use std::{fmt::Write as _, fs, net::IpAddr, path::Path};

use jiff::tz::TimeZone;

use super::*;
use crate::OpenLines;

fn clock() -> Clock {
    Clock {
        zone: TimeZone::UTC,
        // 2026-11-28T09:10:00Z
        now_ms: 1_795_857_000_000,
    }
}

fn filter(name: &str) -> Filter {
    shipped(name)
        .unwrap()
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whom a line of a file blames, as a word.
fn blamed(filter: &Filter, line: &str) -> String {
    match filter.judge(&Input::Line(line.as_bytes()), &clock()).verdict {
        Verdict::Blames(blame) => blame.client.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn every_shipped_filter_is_whole_and_passes_its_own_lines() {
    let mut wrong = String::new();
    for name in shipped_names() {
        // All of its expressions, also those that none of its lines needs.
        let filter = match Filter::parse(shipped::text(name).unwrap()) {
            Ok(filter) => filter,
            Err(error) => {
                let _ = writeln!(wrong, "{name}: {error}");
                continue;
            }
        };
        assert_eq!(filter.name, name);
        assert!(
            !filter.must.is_empty() && !filter.must_not.is_empty(),
            "{name} has no lines of its own"
        );
        for failure in filter.failures(&clock()) {
            let _ = writeln!(wrong, "{name}: {failure}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// `tests/lines` holds a folder for each service: lines that blame 203.0.113.7 or 2001:db8:bad::7, and lines that blame nobody.
#[test]
fn lines_of_services_blame_who_wrote_them() {
    let clients: [IpAddr; 2] = ["203.0.113.7".parse().unwrap(), "2001:db8:bad::7".parse().unwrap()];
    let (mut table, mut wrong) = (String::new(), 0);
    let lines = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/services/tests/lines");
    let mut services: Vec<_> = fs::read_dir(lines)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    services.sort();
    assert!(services.len() >= 21);
    for service in services {
        let name = service.file_name().unwrap().to_str().unwrap();
        let filter = filter(name);
        let mut right = [(0, 0); 2];
        for (at, file) in ["must.log", "must-not.log"].into_iter().enumerate() {
            let text = fs::read_to_string(service.join(file)).unwrap();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let found = blamed(&filter, line);
                let is_client = clients.iter().any(|client| client.to_string() == found);
                let is_right = if at == 0 {
                    is_client
                } else {
                    found.parse::<IpAddr>().is_err()
                };
                right[at].1 += 1;
                right[at].0 += usize::from(is_right);
                if !is_right {
                    wrong += 1;
                    let _ = writeln!(table, "    {found}: {line}");
                }
            }
        }
        let [must, must_not] = right.map(|(right, all)| format!("{right}/{all}"));
        let _ = writeln!(table, "{name:<14} must {must:>4}   must not {must_not:>4}");
    }
    println!("{table}");
    assert_eq!(wrong, 0, "\n{table}");
}

#[test]
fn an_entry_of_the_journal_has_its_program_and_time_beside_it() {
    let filter = filter("sshd");
    let judge = |identifier| {
        let entry = Input::Entry {
            identifier,
            pid: "7",
            at_ms: 5,
            message: b"Invalid user a from 203.0.113.7 port 4711",
        };
        filter.judge(&entry, &clock())
    };
    let judged = judge("sshd-session");
    assert_eq!(judged.at_ms, Some(5));
    let Verdict::Blames(blame) = judged.verdict else {
        panic!("{:?}", judged.verdict)
    };
    assert_eq!(
        (blame.kind, blame.user.as_deref(), blame.attempt.as_deref()),
        ("invalid-user", Some("a"), Some("7"))
    );
    assert_eq!(judge("sudo").verdict, Verdict::Foreign);
}

#[test]
fn what_a_containers_runtime_wrote_is_taken_off() {
    let filter = filter("vaultwarden");
    let own = "[2026-11-28 09:00:01.123][vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: 203.0.113.7. Username: \"bob\".";
    let escaped = own.replace('"', "\\\"");
    for line in [
        own.to_owned(),
        format!("{own}\r"),
        format!(r#"{{"log":"{escaped}\n","stream":"stdout","time":"2026-11-28T09:00:01.2Z"}}"#),
        format!(
            r#"{{"log":"{escaped}\r\n","stream":"stderr","attrs":{{"tag":"x"}},"time":"2026-11-28T09:00:01.2Z"}}"#
        ),
        format!("2026-11-28T09:00:01.123456789Z stdout F {own}"),
        format!("vaultwarden-1  | {own}"),
    ] {
        let mut open = OpenLines::default();
        let taken = open.service_line(line.as_bytes()).unwrap().into_owned();
        assert_eq!(
            blamed(&filter, std::str::from_utf8(&taken).unwrap()),
            "203.0.113.7",
            "{line}"
        );
    }
}

/// A runtime divides long lines, and a client chooses where: the rest of one is no line of the service.
#[test]
fn a_line_that_a_runtime_divided_is_one_line() {
    let taken = |lines: &[&str]| {
        let mut open = OpenLines::default();
        let taken = lines.iter().filter_map(|line| {
            let own = open.service_line(line.as_bytes())?;
            Some(String::from_utf8_lossy(&own).into_owned())
        });
        taken.collect::<Vec<_>>()
    };
    let at = "2026-11-28T09:00:01.123456789Z";
    assert_eq!(
        taken(&[
            &format!("{at} stdout P a "),
            &format!("{at} stderr F x"),
            &format!("{at} stdout P b "),
            &format!("{at} stdout F c"),
            &format!("{at} stdout F d"),
        ]),
        ["x", "a b c", "d"]
    );
    assert_eq!(
        taken(&[
            r#"{"log":"a ","stream":"stdout","time":"2026-11-28T09:00:01.2Z"}"#,
            r#"{"log":"b\n","stream":"stdout","time":"2026-11-28T09:00:01.2Z"}"#,
        ]),
        ["a b"]
    );
    let long = format!("{at} stdout P {}", "a".repeat(40_000));
    assert_eq!(
        taken(&[
            &long,
            &long,
            &format!("{at} stdout F b"),
            &format!("{at} stdout F c")
        ]),
        ["c"],
        "what is too long is nobody's"
    );
    let mut open = OpenLines::default();
    assert_eq!(open.service_line(format!("{at} stderr P a").as_bytes()), None);
    assert_eq!((open.is_open(), open.divided()), (true, [false, true]));
    let mut unseen = OpenLines::unseen(open.divided());
    assert_eq!(unseen.service_line(format!("{at} stderr F b").as_bytes()), None);
    assert!(!unseen.is_open(), "the rest of a line that was not seen to begin");
}

#[test]
fn a_bad_filter_is_one_clear_error() {
    let good = r#"
name = "x"
title = "X"
programs = ["x"]
must_not = []
must = []
rule = { threshold = 5, window = "10m" }
[[pattern]]
kind = "login"
event = "auth-failure"
match = ['no {user} from {client}']
"#;
    assert_eq!(Filter::parse(good).err(), None);
    for (from, to, error) in [
        (
            "\"x\"\n",
            "\"X\"\n",
            "name: invalid name `X`: expected 1 to 32 lower-case letters, digits and hyphens, a letter first",
        ),
        (
            "{client}",
            "(",
            "pattern[0].match[0]: {client} stands in it 0 times, and must stand once",
        ),
        ("no ", "no (", "pattern[0].match[0]: unclosed group"),
        (
            "\"10m\"",
            "\"soon\"",
            "line 7: failed to parse input in the \"friendly\" duration format: expected duration to start with a unit value (a decimal integer) after an optional sign, but no integer was found",
        ),
        (
            "auth-failure",
            "fun",
            "line 10: unknown variant `fun`, expected one of `auth-failure`, `abuse`, `scan`",
        ),
        (
            "programs = [\"x\"]",
            "",
            "programs: a filter needs `programs` or `heads`, so that a line of another service is known",
        ),
        (
            "title = \"X\"",
            "title = \"X\"\nlongest = 5",
            "longest: it says how far a message reaches that is not `whole`, which is not stated",
        ),
        (
            "title = \"X\"",
            "title = \"X\"\nothers = ['x']",
            "others[0]: {client} stands in it 0 times, and must stand once",
        ),
        (
            "title = \"X\"",
            "title = \"X\"\nforgives = ['yes {client}']",
            "forgives: it takes back what lines of the same attempt said, and `attempt` is not stated",
        ),
        (
            "title = \"X\"",
            "title = \"X\"\nattempt = 'pid'\nforgives = ['yes {client}']",
            "forgives: it takes back what patterns with `waits = true` said, so one needs the other",
        ),
        (
            "title = \"X\"",
            "title = \"X\"\njournald.units = ['x*.service']",
            "journald.units: invalid unit `x*.service`: expected a full name, such as nginx.service or x@*.service",
        ),
        (
            "threshold = 5",
            "threshold = 0",
            "rule: threshold and window are at least 1",
        ),
        (
            "kind =",
            "kid =",
            "line 9: unknown field `kid`, expected one of `kind`, `event`, `echo`, `waits`, `match`",
        ),
    ] {
        let told = Filter::parse(&good.replacen(from, to, 1))
            .unwrap_err()
            .to_string();
        assert_eq!(told, error, "{to}");
    }
}

#[test]
fn hostile_lines_take_bounded_time() {
    let started = std::time::Instant::now();
    for name in shipped_names() {
        let filter = filter(name);
        for test in &filter.must {
            let head = &test.line[..test.line.len() / 2];
            for part in [
                &test.line,
                " from 203.0.113.9 port 22 ssh2",
                "\"",
                "203.0.113.9, client: ",
            ] {
                let line = format!("{head}{}", part.repeat(32_000 / part.len()));
                let _ = blamed(&filter, &line);
            }
        }
    }
    // Some 200 lines of 32 KiB.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// How many attempts `lines` of the service are, as an edge counts them.
fn attempts(name: &str, lines: &[&str]) -> u32 {
    let filter = filter(name);
    let mut attempts = Attempts::default();
    let new = |line: &&str| match filter.judge(&Input::Line(line.as_bytes()), &clock()).verdict {
        Verdict::Blames(blame) if blame.is_echo => 0,
        Verdict::Blames(blame) => attempts.count(&blame, 0),
        other => panic!("{other:?}: {line}"),
    };
    lines.iter().map(new).sum()
}

#[test]
fn all_lines_of_one_attempt_count_once() {
    let of = |program: &str, messages: &[&str]| -> Vec<String> {
        let line = |message: &&str| format!("Nov 28 09:00:01 host {program}: {message}");
        messages.iter().map(line).collect()
    };
    let count = |name, lines: Vec<String>| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        attempts(name, &lines)
    };
    let invalid = [
        "Invalid user a from 203.0.113.7 port 4022",
        "Failed none for invalid user a from 203.0.113.7 port 4022 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7 ",
        "Failed password for invalid user a from 203.0.113.7 port 4022 ssh2",
        "Disconnecting invalid user a 203.0.113.7 port 4022: Change of username or service not allowed: (a,x) -> (b,x) [preauth]",
    ];
    assert_eq!(count("sshd", of("sshd[1]", &invalid)), 1);
    let passwords = [
        "Failed password for root from 203.0.113.7 port 4022 ssh2",
        "Failed password for root from 203.0.113.7 port 4022 ssh2",
        "error: maximum authentication attempts exceeded for root from 203.0.113.7 port 4022 ssh2 [preauth]",
        "Disconnecting authenticating user root 203.0.113.7 port 4022: Too many authentication failures [preauth]",
        "PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7  user=root",
    ];
    assert_eq!(
        count("sshd", of("sshd-session[1]", &passwords)),
        2,
        "each password"
    );
    assert_eq!(
        count("sshd", of("sshd-session[1]", &passwords[2..])),
        1,
        "of keys"
    );
    let repeated = [
        "Failed password for root from 203.0.113.7 port 4022 ssh2",
        "message repeated 4 times: [ Failed password for root from 203.0.113.7 port 4022 ssh2]",
    ];
    assert_eq!(count("sshd", of("sshd[1]", &repeated)), 5, "one line for four");
    let mail = [
        "auth(bob,203.0.113.7,sasl:plain)<AbC>: Info: pam: Password mismatch",
        "imap-login: Login aborted: Logged out (auth failed, 1 attempts in 2 secs) (auth_failed): user=<bob>, method=PLAIN, rip=203.0.113.7, lip=198.51.100.1, session=<AbC>",
    ];
    assert_eq!(count("dovecot", of("dovecot", &mail)), 1);
    let calls = [
        "[2026-11-28 09:00:01] NOTICE[1] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:a@b>' failed for '203.0.113.7:5060' (callid: a1) - Failed to authenticate",
        r#"[2026-11-28 09:00:01] SECURITY[1] res_security_log.c: SecurityEvent="InvalidPassword",EventTV="x",Severity="Error",Service="PJSIP",EventVersion="2",AccountID="a",SessionID="a1",LocalAddress="IPV4/UDP/198.51.100.1/5060",RemoteAddress="IPV4/UDP/203.0.113.7/5060""#,
    ];
    assert_eq!(attempts("asterisk", &calls), 1);
}

/// A failure of pam_unix is none if SSSD lets the user in behind it; a text of a client says nothing of that.
#[test]
fn success_of_another_module_of_pam_forgives_its_client() {
    let filter = filter("pam");
    let forgiven = |message: &str| {
        let line = format!("Nov 28 09:00:01 host vsftpd[7000]: {message}");
        assert!(filter.may_blame(line.as_bytes()), "{line}");
        let judged = filter.judge(&Input::Line(line.as_bytes()), &clock());
        let forgiven = judged.forgiven?;
        assert_eq!(forgiven.attempt.as_deref(), Some("7000"), "{message}");
        Some((
            forgiven.client.map(|client| client.to_string()),
            forgiven.user.map(String::from),
            forgiven.account.map(String::from),
        ))
    };
    let who = "logname= uid=0 euid=0 tty=ftp ruser=bob rhost=203.0.113.7 user=bob";
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(
        forgiven(&format!("pam_sss(vsftpd:auth): authentication success; {who}")),
        Some((own("203.0.113.7"), own("bob"), own("bob")))
    );
    for message in [
        "pam_winbind(vsftpd:auth): user 'bob' granted access",
        "pam_krb5(vsftpd:auth): user bob authenticated as bob@EXAMPLE.ORG",
    ] {
        assert_eq!(forgiven(message), Some((None, None, own("bob"))), "{message}");
    }
    for message in [
        format!("pam_unix(vsftpd:auth): authentication failure; {who}"),
        format!("pam_unix(vsftpd:auth): check pass; x pam_sss(vsftpd:auth): authentication success; {who}"),
    ] {
        assert_eq!(forgiven(&message), None, "{message}");
    }
}

#[test]
fn the_offset_of_a_time_is_not_thrown_away() {
    let filter = filter("exim");
    let line = "2026-11-28 14:00:01 +0500 login authenticator failed for (User) [203.0.113.7]: 535 Incorrect authentication data";
    let judged = filter.judge(&Input::Line(line.as_bytes()), &clock());
    // 2026-11-28T09:00:01Z
    assert_eq!(judged.at_ms, Some(1_795_856_401_000));
}

#[test]
fn a_time_within_the_message_is_read() {
    let filter = filter("grafana");
    let line = r#"{"error":"user not found","level":"error","logger":"context","msg":"Invalid username or password","orgId":0,"remote_addr":"203.0.113.7","t":"2026-11-28T10:00:01.123+01:00","traceID":"","uname":"","userId":0}"#;
    let judged = filter.judge(&Input::Line(line.as_bytes()), &clock());
    // 2026-11-28T09:00:01.123Z
    assert_eq!(judged.at_ms, Some(1_795_856_401_123));
}
