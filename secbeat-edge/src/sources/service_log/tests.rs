//! From lines to events.

use secbeat_logs::services::shipped;
use tokio::sync::mpsc;

use super::*;

fn lines(names: &[&str], users: bool) -> (ServiceLines, mpsc::Receiver<ServiceEvent>) {
    let (queue, events) = mpsc::channel(100);
    let recorder = ServiceRecorder {
        queue,
        stats: Arc::default(),
    };
    let lines = ServiceLines {
        filters: names.iter().map(|name| shipped(name).unwrap().unwrap()).collect(),
        special: Arc::default(),
        attempts: Attempts::default(),
        held: Held::default(),
        learned_from: LearnedFrom::Peer,
        users,
        zone: TimeZone::UTC,
        trusted: ["192.0.2.0/24".parse().unwrap()].into_iter().collect(),
        recorder,
        entry: None,
    };
    (lines, events)
}

fn take(lines: &mut ServiceLines, line: &str, oldest_ms: Option<i64>) -> Taken {
    let piece = Piece::Line(line.as_bytes());
    lines
        .take(piece, &mut OpenLines::default(), oldest_ms)
        .unwrap_or(Taken::TooLong)
}

const ATTEMPT: [&str; 4] = [
    "2026-11-28T09:00:01+00:00 h sshd[7]: Invalid user bob from 203.0.113.7 port 4711",
    "2026-11-28T09:00:02+00:00 h sshd[8]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7 ",
    "2026-11-28T09:00:03+00:00 h sshd[7]: Failed password for invalid user bob from 203.0.113.7 port 4711 ssh2",
    "2026-11-28T09:00:04+00:00 h sshd[7]: Connection closed by invalid user bob 203.0.113.7 port 4711 [preauth]",
];

#[test]
fn one_attempt_is_one_event_also_where_two_filters_know_its_lines() {
    for names in [&["sshd"][..], &["sshd", "pam"], &["pam", "sshd", "dropbear"]] {
        let (mut lines, mut events) = lines(names, false);
        for line in ATTEMPT {
            assert!(
                matches!(take(&mut lines, line, None), Taken::Reported { at_ms: Some(_) }),
                "{line}"
            );
        }
        let event = events.try_recv().unwrap();
        assert_eq!(
            (event.service.as_str(), event.kind.as_str(), event.user.as_str()),
            ("sshd", "invalid-user", "")
        );
        assert_eq!(event.client.to_string(), "203.0.113.7");
        assert!(events.try_recv().is_err(), "{names:?}");
    }
}

/// The lines of one login that SSSD lets in behind pam_unix, as Debian's common-auth asks them, and of one that both refuse.
const PAM: [[&str; 2]; 2] = [
    [
        "2026-11-28T09:00:01+00:00 h vsftpd[PID]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=203.0.113.7  user=bob",
        "2026-11-28T09:00:01+00:00 h vsftpd[PID]: pam_sss(vsftpd:auth): authentication success; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=203.0.113.7 user=bob",
    ],
    [
        "2026-11-28T09:00:02+00:00 h vsftpd[PID]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=203.0.113.7  user=bob",
        "2026-11-28T09:00:02+00:00 h vsftpd[PID]: pam_sss(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=203.0.113.7 user=bob",
    ],
];

#[test]
fn a_login_that_another_module_of_pam_lets_in_counts_for_nobody() {
    let (mut lines, mut events) = lines(&["pam"], false);
    for pid in 0..10 {
        for line in PAM[0] {
            take(&mut lines, &line.replace("PID", &pid.to_string()), None);
        }
    }
    for pid in 20..25 {
        for line in PAM[1] {
            take(&mut lines, &line.replace("PID", &pid.to_string()), None);
        }
    }
    lines.release(false).unwrap();
    assert!(events.try_recv().is_err(), "a line may take it back");
    lines.release(true).unwrap();
    let count = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert_eq!(count, 5, "a password that two modules refuse is one");
}

fn count(lines: &mut ServiceLines, events: &mut mpsc::Receiver<ServiceEvent>, of: &[&str]) -> usize {
    for line in of {
        take(lines, &line.replace("PID", "7"), None);
    }
    lines.release(true).unwrap();
    std::iter::from_fn(|| events.try_recv().ok()).count()
}

#[test]
fn an_own_account_takes_back_no_guess_of_another() {
    let own = PAM[0][1].replace("bob", "own");
    let winbind =
        "2026-11-28T09:00:01+00:00 h vsftpd[PID]: pam_winbind(vsftpd:auth): user 'bob' granted access";
    let of_another = winbind.replace("bob", "own");
    let of_another_process = winbind.replace("PID", "8");
    let of_domain = winbind.replace("bob", r"DOMAIN\bob");
    for (second, expected) in [
        (PAM[0][1], 0),
        (own.as_str(), 1),
        (winbind, 0),
        (of_domain.as_str(), 0),
        (of_another.as_str(), 1),
        (of_another_process.as_str(), 1),
    ] {
        let (mut lines, mut events) = lines(&["pam"], false);
        let found = count(&mut lines, &mut events, &[PAM[0][0], second]);
        assert_eq!(found, expected, "{second}");
    }
}

#[test]
fn another_general_filter_hides_no_success() {
    let other = r#"
name = "other"
title = "Other"
programs = ["*"]
rule = { threshold = 5, window = "10m" }
must = []
must_not = []
[[pattern]]
kind = "a"
event = "scan"
match = ['scan of {client}']
"#;
    let (mut lines, mut events) = lines(&["pam"], false);
    lines.filters.push(Filter::parse(other).unwrap());
    assert_eq!(count(&mut lines, &mut events, &PAM[0]), 0);
}

#[test]
fn only_what_a_later_line_can_take_back_waits() {
    let (mut lines, mut events) = lines(&["pam"], false);
    take(&mut lines, &PAM[1][1].replace("PID", "7"), None);
    assert!(events.try_recv().is_ok(), "pam_sss is asked last");
    take(&mut lines, &PAM[1][0].replace("PID", "8"), None);
    assert!(events.try_recv().is_err());
}

#[test]
fn what_pam_says_of_a_service_with_a_filter_of_its_own_is_left_to_that() {
    let of_dovecot = "2026-11-28T09:00:03+00:00 h auth[7]: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=bob rhost=203.0.113.7 ";
    let more = "2026-11-28T09:00:03+00:00 h auth[7]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=dovecot ruser=bob rhost=203.0.113.7 ";
    let cases: [(&[&str], usize); 3] = [(&["vsftpd", "dovecot"], 0), (&["vsftpd"], 1), (&[], 2)];
    for (special, expected) in cases {
        let (mut lines, mut events) = lines(&["pam"], false);
        let filters = special.iter().map(|name| shipped(name).unwrap().unwrap());
        lines.special = filters.collect();
        let found = count(&mut lines, &mut events, &[PAM[1][0], of_dovecot, more]);
        assert_eq!(found, expected, "{special:?}");
    }
    let (mut lines, mut events) = lines(&["pam", "dovecot"], false);
    let found = count(&mut lines, &mut events, &[PAM[1][0], of_dovecot, more]);
    assert_eq!(found, 1, "in the same log");
}

#[test]
fn user_names_are_told_only_if_the_config_says_so() {
    let (mut lines, mut events) = lines(&["sshd"], true);
    take(&mut lines, ATTEMPT[0], None);
    assert_eq!(events.try_recv().unwrap().user, "bob");
}

#[test]
fn what_blames_nobody_is_told_apart() {
    let (mut lines, mut events) = lines(&["sshd", "pam"], false);
    let of = |client: &str| ATTEMPT[0].replace("203.0.113.7", client);
    assert!(matches!(
        take(&mut lines, &of("192.0.2.7"), None),
        Taken::Unattributed
    ));
    assert!(matches!(
        take(&mut lines, &of("client.example"), None),
        Taken::Ambiguous(_)
    ));
    // 2026-11-28T09:00:01Z
    let at = 1_795_856_401_000;
    assert!(matches!(
        take(&mut lines, ATTEMPT[0], Some(at + 1)),
        Taken::TooOld
    ));
    let other = "2026-11-28T09:00:01+00:00 h cron[7]: pam_unix(cron:session): session opened for user root";
    assert!(matches!(
        take(&mut lines, other, None),
        Taken::Reported { at_ms: None }
    ));
    assert!(events.try_recv().is_err());
    assert!(
        matches!(take(&mut lines, ATTEMPT[0], Some(at)), Taken::Reported { at_ms: Some(found) } if found == at)
    );
}

/// As PostgreSQL 15 writes a user name with a line break.
#[test]
fn a_line_break_in_a_user_name_forges_no_line() {
    let (mut lines, mut events) = lines(&["postgresql"], false);
    let mut open = OpenLines::default();
    let mut take = |line: &str| {
        let taken = lines.take(Piece::Line(line.as_bytes()), &mut open, None);
        taken.unwrap_or(Taken::TooLong)
    };
    let refused = "2026-11-28 09:00:03.123 UTC [2] 203.0.113.7 bob@app FATAL:  password authentication failed for user \"bob\"";
    let forged = refused.replace("203.0.113.7", "203.0.113.9");
    assert!(matches!(take(refused), Taken::Reported { at_ms: Some(_) }));
    for line in [
        "2026-11-28 09:00:03.123 UTC [1] 203.0.113.7 x",
        "",
        &forged,
        " FATAL:  password authentication failed for user \"x",
    ] {
        assert!(
            !matches!(take(line), Taken::Reported { at_ms: Some(_) }),
            "{line}"
        );
    }
    let client = events.try_recv().unwrap().client;
    assert_eq!(
        (client.to_string().as_str(), events.try_recv().is_err()),
        ("203.0.113.7", true)
    );
    let other = "2026-11-28 09:00:03.123 UTC [2] 203.0.113.7 bob@app LOG:  disconnection";
    take(other);
    take(other);
    assert!(
        matches!(take(refused), Taken::Reported { at_ms: Some(_) }),
        "it is over"
    );
}

#[test]
fn an_entry_of_the_journal_is_read_with_what_the_journal_knows_of_it() {
    let (mut lines, mut events) = lines(&["sshd"], false);
    for (identifier, is_taken) in [("sudo", false), ("sshd-session", true)] {
        lines.begin_entry(EntryFields {
            identifier,
            pid: "9",
            at_ms: 5,
        });
        take(&mut lines, "Invalid user bob from 203.0.113.7 port 4711", None);
        assert_eq!(
            events.try_recv().is_ok_and(|event| event.at_ms == 5),
            is_taken,
            "{identifier}"
        );
    }
    assert!(lines.takes_whole_entries());
    let broken = "Invalid user x\nInvalid user y from 203.0.113.9 port 1\n from 203.0.113.7 port 4711";
    take(&mut lines, broken, None);
    assert_eq!(events.try_recv().unwrap().client.to_string(), "203.0.113.7");
}

#[test]
fn a_file_takes_the_place_of_a_shipped_filter_and_a_bad_one_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let filters = Filters(folder.path().to_owned());
    assert_eq!(filters.load("sshd").unwrap().title, "OpenSSH server");
    assert!(
        filters
            .load("nothing")
            .unwrap_err()
            .starts_with("there is no filter `nothing`")
    );
    let own = r#"
name = "sshd"
title = "Mine"
programs = ["sshd"]
rule = { threshold = 5, window = "10m" }
must = []
must_not = []
[[pattern]]
kind = "a"
event = "scan"
match = ['x {client}']
"#;
    std::fs::write(folder.path().join("sshd.toml"), own).unwrap();
    std::fs::write(folder.path().join("bad.toml"), own).unwrap();
    assert_eq!(filters.load("sshd").unwrap().title, "Mine");
    let error = filters.load("bad").unwrap_err();
    assert!(
        error.ends_with("bad.toml: name: a file is called as its filter, sshd.toml"),
        "{error}"
    );
    let all = filters.all().unwrap();
    let bad: Vec<_> = all
        .iter()
        .filter(|known| known.filter.is_err())
        .map(|known| known.name.as_str())
        .collect();
    assert_eq!(
        (bad, all.len()),
        (vec!["bad"], secbeat_logs::services::shipped_names().count() + 1)
    );
    let entries = ["bad", "sshd"].map(|name| {
        toml::from_str::<ServiceLogConfig>(&format!("filter = \"{name}\"\npath = \"/nowhere/{name}\""))
            .unwrap()
    });
    let (lines, _events) = lines(&[], false);
    let (sources, broken) = sources(&entries, &filters, &lines.trusted, &lines.recorder);
    assert_eq!((sources.len(), broken.len()), (1, 1), "the other goes on");
    assert!(broken[0].error().is_some());
}

/// A name of 16 KiB has the runtime begin a new part within it, where a client can put a line of the service.
#[test]
fn a_part_of_a_containers_line_is_no_line() {
    let (mut lines, mut events) = lines(&["gitea"], false);
    let refused = |client: &str| {
        format!(
            "2026/11/28 09:00:01 ...ers/web/auth/auth.go:201:SignInPost() [I] Failed authentication attempt for x from {client}:40024: user does not exist [uid: 0, name: x]"
        )
    };
    let mut open = OpenLines::default();
    let mut take = |tag: &str, text: &str| {
        let line = format!("2026-11-28T09:00:01.123456789Z stdout {tag} {text}");
        lines.take(Piece::Line(line.as_bytes()), &mut open, None)
    };
    for (tag, text) in [
        ("F", refused("203.0.113.7").as_str()),
        (
            "P",
            "2026/11/28 09:00:01 ...x.go:1:f() [I] router: completed GET /",
        ),
        ("F", &refused("203.0.113.9")),
    ] {
        assert!(take(tag, text).is_ok());
    }
    assert_eq!(events.try_recv().unwrap().client.to_string(), "203.0.113.7");
    assert!(events.try_recv().is_err());
}

#[test]
fn a_line_that_stands_for_many_is_as_many_events() {
    let (mut lines, mut events) = lines(&["sshd"], false);
    let password =
        "2026-11-28T09:00:03+00:00 h sshd[7]: Failed password for root from 203.0.113.7 port 4711 ssh2";
    let repeated = "2026-11-28T09:00:09+00:00 h sshd[7]: message repeated 4 times: [ Failed password for root from 203.0.113.7 port 4711 ssh2]";
    for line in [password, repeated] {
        take(&mut lines, line, None);
    }
    let count = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert_eq!(count, 5);
}
