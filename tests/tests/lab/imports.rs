//! fail2ban's shipped filters, translated, beside `fail2ban-regex`'s own reading of them.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use jiff::tz::TimeZone;
use secbeat_logs::services::{Clock, Filter, Input, Verdict, import};
use secbeat_tests::lab::executable::{Executable as _, TestProgram};

/// Where fail2ban's package has its filters.
const FILTERS: &str = "/etc/fail2ban/filter.d";

/// The lines of a service, and fail2ban's filter for them.
const OF_SERVICES: &[(&str, &str)] = &[
    ("apache-error", "apache-auth"),
    ("asterisk", "asterisk"),
    ("dovecot", "dovecot"),
    ("exim", "exim"),
    ("grafana", "grafana"),
    ("mysql", "mysqld-auth"),
    ("nginx-error", "nginx-http-auth"),
    ("nginx-error", "nginx-limit-req"),
    ("pam", "pam-generic"),
    ("phpmyadmin", "phpmyadmin-syslog"),
    ("postfix", "postfix"),
    ("proftpd", "proftpd"),
    ("sshd", "sshd"),
    ("vaultwarden", "bitwarden"),
    ("vsftpd", "vsftpd"),
];

fn translated(name: &str) -> import::Translation {
    let include = |name: &str| fs::read_to_string(Path::new(FILTERS).join(name)).ok();
    import::translate(name, &include(&format!("{name}.conf")).unwrap(), &include)
}

/// The lines of `text` that fail2ban's own reading of its filter matches.
fn matched_by_fail2ban(text: &str, name: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, text).unwrap();
    let output = TestProgram::Fail2banRegex
        .command()
        .args(["--print-all-matched", "--usedns=no"])
        .arg(&log)
        .arg(format!("{FILTERS}/{name}.conf"))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = output
        .lines()
        .skip_while(|line| *line != "|- Matched line(s):")
        .skip(1);
    lines
        .map_while(|line| line.strip_prefix("|  "))
        .map(str::to_owned)
        .collect()
}

/// Where fail2ban's package has the lines that its own tests go by.
const SAMPLES: &str = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs";
/// Filters that are translated whole, and yet match none of fail2ban's lines: the one names clients by a command, the other's lines begin with
/// a word that syslog has for a host.
const SILENT: [&str; 2] = ["apache-fakegooglebot", "softethervpn"];

/// The lines that fail2ban's tests say that the filter `name` matches.
fn samples(name: &str) -> Vec<String> {
    let text = fs::read(Path::new(SAMPLES).join(name)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (mut lines, mut is_match) = (Vec::new(), false);
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# failJSON:") {
            let said = serde_json::from_str::<serde_json::Value>(said).unwrap_or_default();
            is_match = said["match"] == true;
        } else if !line.starts_with('#') && !line.is_empty() {
            lines.extend(std::mem::take(&mut is_match).then(|| line.to_owned()));
        }
    }
    lines
}

/// What is translated without a word matches lines of fail2ban's own tests.
#[test]
fn what_is_translated_whole_matches_lines_of_fail2bans_own_tests() {
    let clock = Clock {
        zone: TimeZone::UTC,
        now_ms: 1_795_857_000_000,
    };
    let (mut silent, mut tried) = (Vec::new(), 0);
    for entry in fs::read_dir(SAMPLES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let lines = samples(&name);
        if lines.is_empty() || !Path::new(FILTERS).join(format!("{name}.conf")).exists() {
            continue;
        }
        let translation = translated(&name);
        let Some(filter) = translation.filter.filter(|_| translation.left_out.is_empty()) else {
            continue;
        };
        let filter = Filter::parse(&import::with_lines(&filter, &[], &[])).unwrap();
        let blames = |line: &String| {
            let judged = filter.judge(&Input::Line(line.as_bytes()), &clock);
            matches!(judged.verdict, Verdict::Blames(_))
        };
        tried += 1;
        if !lines.iter().any(blames) {
            silent.push(name);
        }
    }
    silent.sort();
    assert_eq!(silent, SILENT, "of {tried}");
    assert!(tried > 40, "{tried}");
}

#[test]
fn shipped_filters_of_fail2ban_become_filters_and_agree_with_it() {
    let mut names: Vec<_> = fs::read_dir(FILTERS)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .into_string()
                .ok()?
                .strip_suffix(".conf")
                .map(str::to_owned)
        })
        // Parts of others.
        .filter(|name| !name.ends_with("common"))
        .collect();
    names.sort();
    let (mut table, mut whole, mut partly, mut expressions, mut left_out) = (String::new(), 0, 0, 0, 0);
    for name in &names {
        let translation = translated(name);
        let state = match (&translation.filter, translation.left_out.is_empty()) {
            (Some(_), true) => "whole",
            (Some(_), false) => "partly",
            (None, _) => "none",
        };
        whole += usize::from(state == "whole");
        partly += usize::from(state == "partly");
        expressions += translation.translated;
        left_out += translation.left_out.len();
        let why = translation.left_out.join("; ");
        let _ = writeln!(
            table,
            "{name:<24} {state:<7} {:>3} expressions   {why}",
            translation.translated
        );
    }
    let _ = writeln!(
        table,
        "{whole} whole and {partly} partly of {}; {expressions} expressions, {left_out} left out",
        names.len()
    );
    let clock = Clock {
        zone: TimeZone::UTC,
        now_ms: 1_795_857_000_000,
    };
    let (mut lines, mut agreed) = (0, 0);
    for (service, name) in OF_SERVICES {
        let translation = translated(name);
        let Some(filter) = translation.filter else {
            let _ = writeln!(table, "{name:<24} not compared");
            continue;
        };
        let filter = Filter::parse(&import::with_lines(&filter, &[], &[])).unwrap();
        let read = |file: &str| {
            let lines =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../secbeat-common/logs/src/services/tests/lines");
            fs::read_to_string(lines.join(service).join(file)).unwrap()
        };
        let text = read("must.log") + &read("must-not.log");
        let theirs = matched_by_fail2ban(&text, name);
        let (mut same, mut all) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let judged = filter.judge(&Input::Line(line.as_bytes()), &clock);
            let ours = matches!(judged.verdict, Verdict::Blames(_));
            all += 1;
            match ours == theirs.contains(line.trim_end()) {
                true => same += 1,
                false => drop(writeln!(
                    table,
                    "    {} alone: {line}",
                    if ours { "ours" } else { "theirs" }
                )),
            }
        }
        lines += all;
        agreed += same;
        let _ = writeln!(table, "{name:<24} agrees on {same}/{all} lines of {service}");
    }
    let _ = writeln!(table, "the same on {agreed} of {lines} lines");
    println!("{table}");
    assert!(whole + partly >= names.len() / 2, "{table}");
    assert!(agreed * 10 >= lines * 8, "{table}");
}
