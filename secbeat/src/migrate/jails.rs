//! fail2ban's settings: whom it ignores, and the limits of its jails.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use glob::Pattern;
use secbeat_common::prefix::Prefix;
use secbeat_logs::services::{shipped, shipped_names};

use super::{Found, Limits, python};

/// What a jail's name says: the filter of the service here, and the rule.
const JAILS: &[(&str, &str, &str)] = &[
    ("sshd", "sshd", "ssh-bruteforce"),
    ("ssh", "sshd", "ssh-bruteforce"),
    ("sshd-ddos", "sshd", "ssh-bruteforce"),
    ("ssh-ddos", "sshd", "ssh-bruteforce"),
    ("sshd-aggressive", "sshd", "ssh-bruteforce"),
    ("dropbear", "dropbear", "ssh-bruteforce"),
    ("postfix", "postfix", "mail-bruteforce"),
    ("postfix-sasl", "postfix", "mail-bruteforce"),
    // As Debian called it until 8.
    ("sasl", "postfix", "mail-bruteforce"),
    ("dovecot", "dovecot", "mail-bruteforce"),
    ("sieve", "cyrus", "service-bruteforce"),
    ("exim", "exim", "mail-bruteforce"),
    ("exim4", "exim", "mail-bruteforce"),
    ("vsftpd", "vsftpd", "ftp-bruteforce"),
    ("proftpd", "proftpd", "ftp-bruteforce"),
    ("pure-ftpd", "pure-ftpd", "ftp-bruteforce"),
    ("pureftpd", "pure-ftpd", "ftp-bruteforce"),
    ("mysqld-auth", "mysql", "database-bruteforce"),
    ("mysql", "mysql", "database-bruteforce"),
    ("mysqld", "mysql", "database-bruteforce"),
    ("mariadb", "mysql", "database-bruteforce"),
    ("asterisk", "asterisk", "voip-bruteforce"),
    ("grafana", "grafana", "service-bruteforce"),
    ("gitea", "gitea", "service-bruteforce"),
    ("forgejo", "gitea", "service-bruteforce"),
    ("nextcloud", "nextcloud", "service-bruteforce"),
    ("vaultwarden", "vaultwarden", "service-bruteforce"),
    ("phpmyadmin-syslog", "phpmyadmin", "service-bruteforce"),
    ("courier-auth", "courier", "service-bruteforce"),
    ("courier-smtp", "courier", "service-bruteforce"),
    ("cyrus-imap", "cyrus", "service-bruteforce"),
    ("ejabberd-auth", "ejabberd", "service-bruteforce"),
    ("murmur", "mumble", "service-bruteforce"),
    ("roundcube-auth", "roundcube", "service-bruteforce"),
    ("webmin-auth", "webmin", "service-bruteforce"),
    ("postgresql", "postgresql", "database-bruteforce"),
    ("pam-generic", "pam", "service-bruteforce"),
    ("cockpit", "pam", "service-bruteforce"),
];
/// What a jail may have behind the name of its service that does not change what it counts; also a number, as in `sshd-2222`.
const VARIANTS: [&str; 4] = ["auth", "hard", "soft", "login"];
/// What others do whose names begin so.
const COVERED: &[(&str, &str)] = &[
    (
        "nginx-",
        "the rules over access logs count errors, logins and signatures of nginx's clients",
    ),
    (
        "apache-",
        "the rules over access logs count errors, logins and signatures of Apache's clients",
    ),
    (
        "recidive",
        "who is banned again is banned for longer: `strike_factor` under [ban]",
    ),
];

/// Longest window of a rule, in seconds.
const LONGEST_WINDOW: u64 = 24 * 86_400;

/// The settings of a jail.
#[derive(Clone, Debug, Default)]
struct Jail {
    max_retry: Option<u32>,
    find_time: Option<i64>,
    ban_time: Option<i64>,
    paths: Vec<String>,
    is_started: bool,
}

/// Options that mean nothing here, the value that a jail has by default, and what holds here.
const OPTIONS: &[(&str, &str, &str)] = &[
    (
        "bantime.increment",
        "False",
        "who is banned again is banned for longer here at any rate: `strike_factor` and `max_duration` under [ban]",
    ),
    ("ignoreself", "True", "this host's own addresses are never banned"),
    ("ignorecommand", "", "nothing here asks a program whom to ignore"),
];

/// Reads what `fail2ban-client -d` printed.
pub(super) fn read_settings(text: &str, found: &mut Found) {
    let mut jails: BTreeMap<String, Jail> = BTreeMap::new();
    let mut ignored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut options: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for words in text.lines().filter_map(python::list) {
        let words: Vec<&str> = words.iter().map(python::Item::text).collect();
        match words.as_slice() {
            ["start", jail] => jails.entry((*jail).to_owned()).or_default().is_started = true,
            ["set", jail, "addignoreip", networks @ ..] => {
                for network in networks {
                    ignored
                        .entry((*network).to_owned())
                        .or_default()
                        .push((*jail).to_owned());
                }
            }
            ["set", jail, "addlogpath", path, ..] => {
                let paths = &mut jails.entry((*jail).to_owned()).or_default().paths;
                if !paths.iter().any(|known| known == path) {
                    paths.push((*path).to_owned());
                }
            }
            ["set", jail, key @ ("maxretry" | "findtime" | "bantime"), value] => {
                let jail = jails.entry((*jail).to_owned()).or_default();
                match *key {
                    "maxretry" => jail.max_retry = value.parse().ok(),
                    "findtime" => jail.find_time = seconds(value),
                    _ => jail.ban_time = seconds(value),
                }
            }
            ["set", jail, key, value] => {
                let known = OPTIONS.iter().find(|(known, ..)| known == key);
                let is_set = |default: &str| !value.eq_ignore_ascii_case(default);
                if let Some((_, _, why)) = known.filter(|(_, default, _)| is_set(default)) {
                    let jails = options.entry((format!("{key} = {value}"), *why)).or_default();
                    jails.push((*jail).to_owned());
                }
            }
            _ => {}
        }
    }
    for ((option, why), jails) in options {
        found
            .left
            .push(format!("{option} of {}: {why}", jails.join(", ")));
    }
    for (network, jails) in ignored {
        take_ignored(&network, &jails.join(", "), found);
    }
    let started = jails.into_iter().filter(|(_, jail)| jail.is_started);
    for (name, jail) in started {
        take_jail(&name, jail, found);
    }
}

fn take_ignored(network: &str, jails: &str, found: &mut Found) {
    let written = match network.split_once('/') {
        Some((address, mask)) => match mask.parse().ok().and_then(length_of) {
            Some(length) => format!("{address}/{length}"),
            None => network.to_owned(),
        },
        None => network.to_owned(),
    };
    let address = network.split('/').next().unwrap_or_default();
    match (address.parse::<IpAddr>(), written.parse::<Prefix>()) {
        // A host itself is never banned.
        (Ok(address), _) if address.is_loopback() => {}
        (_, Ok(network)) => found
            .allowed
            .push((network.to_string(), format!("ignoreip of {jails}"))),
        (_, Err(why)) => found.left.push(format!("ignoreip {network} of {jails}: {why}")),
    }
}

/// The length of the prefix that a mask such as 255.255.255.0 stands for.
fn length_of(mask: Ipv4Addr) -> Option<u32> {
    let length = mask.to_bits().leading_ones();
    (length == mask.to_bits().count_ones()).then_some(length)
}

/// The filter of the service that a jail of this name is for, and the rule.
fn service_of(name: &str) -> Option<(&'static str, &'static str)> {
    let known = |name: &str| {
        let jail = JAILS.iter().find(|(known, ..)| *known == name);
        let jail = jail.map(|(_, service, rule)| (*service, *rule));
        let shipped = || shipped_names().find(|shipped| *shipped == name);
        jail.or_else(|| Some((shipped()?, "service-bruteforce")))
    };
    let variant = || {
        let (service, variant) = name.rsplit_once('-')?;
        let is_number = variant.bytes().all(|byte| byte.is_ascii_digit());
        known(service).filter(|_| is_number || VARIANTS.contains(&variant))
    };
    known(name).or_else(variant)
}

fn take_jail(name: &str, jail: Jail, found: &mut Found) {
    let Found { limits, left, .. } = found;
    if let Some((_, why)) = COVERED.iter().find(|(begin, _)| name.starts_with(begin)) {
        return left.push(format!("jail {name}, since it is not needed: {why}"));
    }
    let Some((service, rule)) = service_of(name) else {
        let of = match jail.paths.as_slice() {
            [] => String::new(),
            paths => format!(" and `path` = {}", paths.join(", ")),
        };
        return left.push(format!(
            "jail {name}: no filter here is of that name. If `secbeat filter list` has one for its service, add a [[service_log]] with \
             it{of}; `secbeat filter import` translates the file in /etc/fail2ban/filter.d that the jail's `filter` names"
        ));
    };
    let window = jail.find_time.and_then(|seconds| u64::try_from(seconds).ok());
    let (Some(threshold), Some(window @ 1..)) = (jail.max_retry, window) else {
        return left.push(format!("jail {name}: its maxretry or findtime cannot be read"));
    };
    if window > LONGEST_WINDOW {
        left.push(format!(
            "findtime of {name}, {} days: failures count for 24 days at most",
            window / 86_400
        ));
    }
    let Some(Ok(filter)) = shipped(service) else {
        return;
    };
    if filter.names_no_log() {
        let note = filter.note.unwrap_or_default();
        return left.push(format!("jail {name}: the filter {service} names no log. {note}"));
    }
    let ban = match jail.ban_time {
        Some(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds > 0),
        None => None,
    };
    if jail.ban_time.is_some_and(|seconds| seconds < 0) {
        left.push(format!(
            "bantime of {name}: automatic bans end here; `max_duration` under [ban] says when at the latest"
        ));
    }
    let is_usual = |path: &String| {
        let mut patterns = filter.paths.iter().filter_map(|usual| Pattern::new(usual).ok());
        patterns.any(|usual| usual.matches(path))
    };
    let is_found_by_itself = jail.paths.is_empty() || jail.paths.iter().any(is_usual);
    // fail2ban has no jail for it: a jail of the name may count something else.
    if !is_found_by_itself && !JAILS.iter().any(|(_, known, _)| *known == service) {
        return left.push(format!(
            "jail {name}: {} is not where the filter {service} looks. If `secbeat filter test {service} --log FILE` finds its lines there, \
             add a [[service_log]] with the filter and this `path`",
            jail.paths.join(", ")
        ));
    }
    let mut paths = jail.paths;
    paths.retain(|path| !is_usual(path));
    limits.push(Limits {
        service,
        is_found_by_itself,
        paths,
        rule,
        // At 0, fail2ban bans at the first failure too.
        threshold: threshold.max(1),
        window: window.min(LONGEST_WINDOW),
        ban,
    });
}

/// Whether a log lies in a folder where the filter of `service` looks by itself.
pub(super) fn is_beside_usual(service: &str, path: &Path) -> bool {
    let Some(Ok(filter)) = shipped(service) else {
        return false;
    };
    let mut usual = filter.paths.iter().map(Path::new);
    usual.any(|usual| usual.parent().is_some() && usual.parent() == path.parent())
}

/// A duration as fail2ban has it, `600`, `10m`, `1d 12h` or `-1`, in seconds.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.trim().parse::<i64>() {
        return Some(seconds);
    }
    let mut sum: i64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.trim_start();
        let end = letters
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(letters.len());
        let (unit, behind) = letters.split_at(end);
        let unit = match unit {
            "" | "s" | "ss" | "sec" | "second" | "seconds" => 1,
            "m" | "mm" | "min" | "minute" | "minutes" => 60,
            "h" | "hh" | "hour" | "hours" => 3600,
            "d" | "dd" | "day" | "days" => 86_400,
            "w" | "ww" | "week" | "weeks" => 7 * 86_400,
            // As fail2ban reckons them.
            "mo" | "mon" | "month" | "months" => 2_629_800,
            "y" | "yy" | "year" | "years" => 31_557_600,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = behind.trim_start();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `fail2ban-client -d` of 1.0.2 prints it.
    const SETTINGS: &str = "['set', 'dbfile', '/var/lib/fail2ban/fail2ban.sqlite3']\n\
        ['add', 'sshd', 'auto']\n['set', 'sshd', 'maxretry', 3]\n['set', 'sshd', 'findtime', '1h']\n\
        ['set', 'sshd', 'bantime', '1d 12h']\n['set', 'sshd', 'addignoreip', '127.0.0.1/8', '::1', '192.0.2.0/24', 'office.example']\n\
        ['set', 'sshd', 'ignorecommand', '']\n['start', 'sshd']\n\
        ['add', 'mine', 'auto']\n['set', 'mine', 'maxretry', 3]\n['set', 'mine', 'findtime', '600']\n['start', 'mine']\n\
        ['add', 'nginx-http-auth', 'auto']\n['start', 'nginx-http-auth']\n\
        ['add', 'vsftpd', 'auto']\n['set', 'vsftpd', 'maxretry', 5]\n['set', 'vsftpd', 'findtime', 600]\n\
        ['set', 'vsftpd', 'bantime', -1]\n['start', 'vsftpd']\n\
        ['add', 'gitea', 'auto']\n['set', 'gitea', 'maxretry', 5]\n['set', 'gitea', 'findtime', 600]\n['start', 'gitea']\n";

    #[test]
    fn settings_become_limits_and_the_rest_is_named() {
        let mut found = Found::default();
        read_settings(SETTINGS, &mut found);
        assert_eq!(
            found.allowed,
            [("192.0.2.0/24".to_owned(), "ignoreip of sshd".to_owned())]
        );
        let limits = |service, rule, threshold, window, ban| Limits {
            service,
            is_found_by_itself: true,
            paths: Vec::new(),
            rule,
            threshold,
            window,
            ban,
        };
        assert_eq!(
            found.limits,
            [
                limits("sshd", "ssh-bruteforce", 3, 3600, Some(129_600)),
                limits("vsftpd", "ftp-bruteforce", 5, 600, None),
            ]
        );
        for (left, word) in found.left.iter().zip([
            "office.example",
            "jail gitea: the filter gitea names no log",
            "jail mine",
            "nginx",
            "bantime of vsftpd",
        ]) {
            assert!(left.contains(word), "{left}");
        }
        assert_eq!(found.left.len(), 5, "{:?}", found.left);
    }

    fn read(settings: &str) -> Found {
        let mut found = Found::default();
        read_settings(settings, &mut found);
        found
    }

    /// One jail of this name that follows `paths`.
    fn jail(name: &str, paths: &[&str]) -> Found {
        let paths = paths.iter();
        let paths = paths.map(|path| format!("['set', '{name}', 'addlogpath', '{path}', 'head']\n"));
        read(&format!(
            "{}['set', '{name}', 'maxretry', 5]\n['set', '{name}', 'findtime', '10m']\n['start', '{name}']\n",
            paths.collect::<String>()
        ))
    }

    #[test]
    fn a_jail_whose_name_tells_its_service_is_taken_over() {
        for (name, expected) in [
            ("sieve", Some(("cyrus", "service-bruteforce"))),
            ("pam-generic", Some(("pam", "service-bruteforce"))),
            ("proxmox", Some(("proxmox", "service-bruteforce"))),
            ("authelia", Some(("authelia", "service-bruteforce"))),
            ("wordpress-hard", Some(("wordpress", "service-bruteforce"))),
            ("nextcloud-auth", Some(("nextcloud", "service-bruteforce"))),
            ("sshd-2222", Some(("sshd", "ssh-bruteforce"))),
            ("sshd-aggressive", Some(("sshd", "ssh-bruteforce"))),
            ("sasl", Some(("postfix", "mail-bruteforce"))),
            ("pureftpd", Some(("pure-ftpd", "ftp-bruteforce"))),
            ("mariadb", Some(("mysql", "database-bruteforce"))),
            ("forgejo-auth", Some(("gitea", "service-bruteforce"))),
            // Which counts what the filter does not.
            ("postfix-rbl", None),
            ("web-login", None),
        ] {
            assert_eq!(service_of(name), expected, "{name}");
        }
        let found = jail("web-login", &["/srv/pro.log"]);
        assert!(
            found.left[0].contains("of that name") && found.left[0].contains("/srv/pro.log"),
            "{:?}",
            found.left
        );
    }

    #[test]
    fn limits_are_such_as_a_rule_may_have() {
        for (max_retry, find_time, expected) in [
            ("0", "10m", Some((1, 600))),
            ("5", "1y", Some((5, LONGEST_WINDOW))),
            ("5", "24d", Some((5, LONGEST_WINDOW))),
            ("5", "0", None),
            ("-1", "10m", None),
        ] {
            let found = read(&format!(
                "['set', 'sshd', 'maxretry', {max_retry}]\n['set', 'sshd', 'findtime', '{find_time}']\n['start', 'sshd']\n"
            ));
            let limits = found.limits.first();
            let taken = limits.map(|limits| (limits.threshold, limits.window));
            assert_eq!(taken, expected, "{max_retry} {find_time}");
            let is_named = taken.is_none() || find_time == "1y";
            assert_eq!(!found.left.is_empty(), is_named, "{:?}", found.left);
        }
    }

    #[test]
    fn a_log_that_a_filter_does_not_find_by_itself_is_named() {
        for (paths, is_found_by_itself, own) in [
            (&[][..], true, &[][..]),
            (&["/var/log/vsftpd.log"], true, &[]),
            (&["/srv/a/ftp.log"], false, &["/srv/a/ftp.log"]),
            (
                &["/srv/a/ftp.log", "/var/log/vsftpd.log"],
                true,
                &["/srv/a/ftp.log"],
            ),
        ] {
            let found = jail("vsftpd", paths);
            assert_eq!(
                found.limits[0].is_found_by_itself, is_found_by_itself,
                "{paths:?}"
            );
            assert_eq!(found.limits[0].paths, own, "{paths:?}");
        }
    }

    #[test]
    fn a_jail_that_has_only_the_name_of_a_filter_is_taken_over_where_its_log_is_the_filters() {
        for (paths, is_taken) in [
            (&[][..], true),
            (&["/var/log/auth.log"], true),
            (&["/var/log/nginx/access.log"], false),
        ] {
            let found = jail("wordpress", paths);
            assert_eq!(found.limits.len() == 1, is_taken, "{paths:?}");
            let is_named = found
                .left
                .iter()
                .any(|left| left.contains("/var/log/nginx/access.log"));
            assert_eq!(is_named, !is_taken, "{:?}", found.left);
        }
        assert_eq!(service_of("mysql"), Some(("mysql", "database-bruteforce")));
    }

    #[test]
    fn options_that_mean_nothing_here_are_named_once() {
        let found = read(
            "['set', 'a', 'bantime.increment', True]\n['set', 'b', 'bantime.increment', True]\n\
             ['set', 'a', 'ignoreself', 'false']\n['set', 'b', 'ignoreself', 'true']\n['set', 'a', 'ignorecommand', '/x']\n",
        );
        let begins: Vec<_> = found
            .left
            .iter()
            .filter_map(|left| left.split(':').next())
            .collect();
        assert_eq!(
            begins,
            [
                "bantime.increment = True of a, b",
                "ignorecommand = /x of a",
                "ignoreself = false of a"
            ]
        );
    }

    #[test]
    fn a_mask_in_four_parts_is_a_length() {
        let found =
            read("['set', 'sshd', 'addignoreip', '192.168.2.0/255.255.255.0', '192.168.3.0/255.0.255.0']\n");
        assert_eq!(found.allowed[0].0, "192.168.2.0/24");
        assert_eq!(
            (found.allowed.len(), found.left.len()),
            (1, 1),
            "{:?}",
            found.left
        );
    }

    #[test]
    fn durations_are_read_as_fail2ban_reads_them() {
        for (text, expected) in [
            ("600", Some(600)),
            ("-1", Some(-1)),
            ("10m", Some(600)),
            ("1d 12h", Some(129_600)),
            ("1h30m", Some(5400)),
            ("2w", Some(1_209_600)),
            ("soon", None),
            ("1 fortnight", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
