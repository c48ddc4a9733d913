//! `migrate`: takes over from another program on this host.

mod crowdsec;
mod fail2ban;
mod jails;
mod python;

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use clap::Parser as _;
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{api::Remote, config::MAX_DURATION, say};
use secbeat_orchestrator::cli::Order;
use serde_json::{Value, json};
use toml_edit::{Array, DocumentMut, Item, Table, value};

use self::jails::is_beside_usual;
use crate::{
    config::{self, Config},
    fleet::edit,
    memory::InMemory,
    setup::{UNIT, UnitUser, added, check, write},
};

/// Take over bans, the allowlist and limits from another program on this host.
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// Show what would be taken over, and change nothing.
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    Fail2ban(fail2ban::Fail2ban),
    Crowdsec(crowdsec::Crowdsec),
}

/// Bans, allowlist and limits of another program.
#[derive(Debug, Default)]
struct Found {
    /// Its file or origin.
    read: Vec<String>,
    bans: Vec<Ban>,
    /// Networks that are never banned, each with its origin.
    allowed: Vec<(String, String)>,
    limits: Vec<Limits>,
    /// Things that are not taken over, each with the reason.
    left: Vec<String>,
}

/// A ban that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ban {
    target: String,
    /// RFC 3339; `None` without end.
    ends: Option<String>,
    note: String,
}

/// Limits of a service's failures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limits {
    /// The filter of its log.
    service: &'static str,
    /// Whether the filter knows where a log is.
    is_found_by_itself: bool,
    /// Logs of which it does not.
    paths: Vec<String>,
    rule: &'static str,
    threshold: u32,
    /// Seconds.
    window: u64,
    /// Seconds; `None` for what the config says of all bans.
    ban: Option<u64>,
}

impl Migrate {
    /// # Errors
    ///
    /// Returns an error if the other program's files cannot be read, the daemon does not answer, or the config cannot be written.
    pub(crate) fn execute(&self, path: &Path, remote: &Remote) -> anyhow::Result<()> {
        let mut found = match &self.from {
            From::Fail2ban(fail2ban) => fail2ban.look()?,
            From::Crowdsec(crowdsec) => crowdsec.look()?,
        };
        found.leave_what_is_invalid();
        let (config, mut document) = match self.dry_run && !path.exists() {
            true => (
                Config::load(&InMemory::new("")?.path()).context("reading an empty config")?,
                DocumentMut::new(),
            ),
            false => (
                Config::load(path)
                    .with_context(|| format!("reading {}, which `secbeat setup` writes", path.display()))?,
                edit::read(path)?,
            ),
        };
        let before = document.to_string();
        let reader = UnitUser::find(UNIT);
        let check = |text: &str| check(text, reader.as_ref()).map(drop);
        let TakenOver { changes, entries } = take(&mut found, &config, &mut document, &check);
        let after = document.to_string();
        let is_changed = before != after || !entries.is_empty();
        // Before anything is done: nothing is taken over by half.
        let whole = added(path, &after, &entries, reader.as_ref())?;
        for line in &found.read {
            say!("read {line}");
        }
        let imported = self.import(&found, &config, remote);
        if !self.dry_run && imported.is_err() {
            return imported;
        }
        match is_changed {
            false => say!("no limits for {}", path.display()),
            true => say!(
                "limits for {}:\n{}{}",
                path.display(),
                changes,
                entries.trim_end()
            ),
        }
        if !self.dry_run && is_changed {
            write(path, &whole)?;
            say!("written; `systemctl restart secbeat` takes them over");
        }
        for left in &found.left {
            say!("NOT TAKEN OVER {left}");
        }
        // What would be taken over was told without a daemon, too.
        imported
    }

    /// Has the daemon take the bans and the allowlist.
    fn import(&self, found: &Found, config: &Config, remote: &Remote) -> anyhow::Result<()> {
        say!("bans in force: {}", found.bans.len());
        let banned = self.order(
            &["import", "--format=json", "--skip-invalid"],
            &bans(&found.bans),
            found.bans.len(),
            config,
            remote,
        );
        if !self.dry_run && banned.is_err() {
            return banned;
        }
        say!("allowlisted networks: {}", found.allowed.len());
        let allowed: Vec<_> = found
            .allowed
            .iter()
            .map(|(network, comment)| json!({"target": network, "permanent": true, "note": comment}))
            .collect();
        let let_in = self.order(
            &["allowlist", "import", "--format=json", "--skip-invalid"],
            &Value::from(allowed),
            found.allowed.len(),
            config,
            remote,
        );
        banned.and(let_in)
    }

    /// Has a command read `list` as if it were a file.
    fn order(
        &self,
        command: &[&str],
        list: &Value,
        count: usize,
        config: &Config,
        remote: &Remote,
    ) -> anyhow::Result<()> {
        /// The orders as a command line.
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(subcommand)]
            order: Order,
        }
        if count == 0 {
            return Ok(());
        }
        let file = InMemory::new(&list.to_string())?;
        let file = file.path();
        let dry_run = self.dry_run.then_some("--dry-run");
        let words = ["secbeat"]
            .into_iter()
            .chain(command.iter().copied())
            .chain(dry_run);
        let file = file.to_string_lossy();
        let line = Line::try_parse_from(words.chain([&*file])).context("importing")?;
        line.order.execute(remote, &config.orchestrator, config::ORDERS)
    }
}

impl Found {
    /// Names the bans whose target nobody understands: an import would name a file that nobody knows.
    fn leave_what_is_invalid(&mut self) {
        let left = &mut self.left;
        self.bans.retain(|ban| match ban.target.parse::<Prefix>() {
            Ok(_) => true,
            Err(why) => {
                left.push(format!("the ban of `{}` ({}): {why}", ban.target, ban.note));
                false
            }
        });
    }
}

/// Whether a ban of so many seconds is one without end: none that ends is longer here.
fn is_for_ever(seconds: i64) -> bool {
    u64::try_from(seconds).is_ok_and(|seconds| seconds > MAX_DURATION.as_secs())
}

fn bans(bans: &[Ban]) -> Value {
    let entry = |ban: &Ban| match &ban.ends {
        Some(ends) => json!({"target": ban.target, "expires_at": ends, "note": ban.note}),
        None => json!({"target": ban.target, "permanent": true, "note": ban.note}),
    };
    bans.iter().map(entry).collect()
}

/// Changes of a config by the limits.
struct TakenOver {
    /// Changes of rules that are there, as lines for people.
    changes: String,
    /// Entries to add.
    entries: String,
}

/// The rule that counts the failures of any service, unless it says of which.
const OF_ANY: &str = "service-bruteforce";

/// A rule that a config states.
struct Stated {
    name: &'static str,
    threshold: u32,
    /// Seconds.
    window: u64,
    /// Seconds.
    ban: Option<u64>,
    /// Those that count; empty for those of the rule itself.
    services: Vec<&'static str>,
}

impl Stated {
    /// No ban is longer than `longest`, in seconds.
    fn new(limits: &Limits, longest: u64) -> Self {
        Self {
            name: limits.rule,
            threshold: limits.threshold,
            window: limits.window,
            ban: limits.ban.map(|ban| ban.min(longest)),
            services: match limits.rule {
                OF_ANY => vec![limits.service],
                _ => Vec::new(),
            },
        }
    }

    fn values(&self) -> Vec<(&'static str, Item)> {
        let mut values = vec![
            ("threshold", value(i64::from(self.threshold))),
            ("window", value(format!("{}s", self.window))),
        ];
        values.extend(self.ban.map(|ban| ("ban", value(format!("{ban}s")))));
        if !self.services.is_empty() {
            values.push((
                "services",
                value(self.services.iter().copied().collect::<Array>()),
            ));
        }
        values
    }

    fn lines(&self) -> Vec<String> {
        let values = self.values().into_iter();
        let lines = values.map(|(key, value)| format!("{key} = {}", value.to_string().trim()));
        lines.collect()
    }

    /// Has the services of `other` counted too, if it has the same limits.
    fn takes_in(&mut self, other: &Self) -> bool {
        let is_alike = (self.threshold, self.window, self.ban) == (other.threshold, other.window, other.ban);
        let may = is_alike && !other.services.is_empty();
        for service in other.services.iter().copied().filter(|_| may) {
            if !self.services.contains(&service) {
                self.services.push(service);
            }
        }
        may
    }

    /// That its limits, those of `service`, are not taken over.
    fn left(&self, service: &str) -> String {
        let Self {
            name,
            threshold,
            window,
            ..
        } = self;
        let ban = self.ban.map(|ban| format!(", bans of {ban} s"));
        let why = match *name {
            OF_ANY => {
                "is there already, and counts other services too; one of another name can have them, with `services`"
            }
            _ => "has limits already; change them if you like",
        };
        format!(
            "{threshold} failures of {service} in {window} s{}: the rule {name} {why}",
            ban.unwrap_or_default()
        )
    }
}

/// Returns the changes of the config that the limits need. A limit that it states already stays as it is. `check` says what is wrong
/// with a config.
fn take(
    found: &mut Found,
    config: &Config,
    document: &mut DocumentMut,
    check: &dyn Fn(&str) -> anyhow::Result<()>,
) -> TakenOver {
    let (mut changes, mut text) = (String::new(), String::new());
    let longest = config.orchestrator.ban.max_duration.0.as_secs();
    let (mut rules, mut changed): (Vec<Stated>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut watched = Watched::default();
    let Found { limits, left, .. } = found;
    for limits in &*limits {
        let Limits { service, rule, .. } = limits;
        for entry in watched.entries(limits, config, left) {
            match check(&format!("{document}\n{text}{entry}")) {
                Ok(()) => text.push_str(&entry),
                Err(error) => left.push(format!(
                    "the log of {service} by {}: {error:#}",
                    entry.trim().replace('\n', ", ")
                )),
            }
        }
        if let Some(ban) = limits.ban.filter(|ban| *ban > longest) {
            left.push(format!(
                "bans of {ban} s for {service}: they end after {longest} s, the `max_duration` under [ban]"
            ));
        }
        let stated = Stated::new(limits, longest);
        let is_there = config.orchestrator.rules.has(rule);
        if is_there
            && *rule != OF_ANY
            && !changed.contains(rule)
            && let Some(table) = bare_rule(document, rule)
        {
            changed.push(rule);
            for (key, value) in stated.values() {
                table.insert(key, value);
            }
            let _ = writeln!(changes, "the rule {rule} gets {}", stated.lines().join(", "));
            continue;
        }
        let known = rules.iter_mut().find(|known| known.name == *rule);
        if known.is_some_and(|known| known.takes_in(&stated)) {
            continue;
        }
        if is_there || rules.iter().any(|known| known.name == *rule) {
            left.push(stated.left(service));
        } else {
            rules.push(stated);
        }
    }
    for rule in &rules {
        let lines = rule.lines().join("\n");
        let _ = writeln!(text, "\n[[rule]]\nname = \"{}\"\n{lines}", rule.name);
    }
    TakenOver {
        changes,
        entries: text,
    }
}

/// Services and logs that have an entry already.
#[derive(Default)]
struct Watched<'a> {
    services: Vec<&'a str>,
    logs: Vec<(&'a str, &'a str)>,
}

impl<'a> Watched<'a> {
    /// The entries that have the logs of `limits` watched, as far as `config` does not. Names in `left` the logs that need none.
    fn entries(&mut self, limits: &'a Limits, config: &Config, left: &mut Vec<String>) -> Vec<String> {
        let service = limits.service;
        let mut entries = Vec::new();
        let is_followed = config.edge.follows_service(service) || self.services.contains(&service);
        if limits.is_found_by_itself && !is_followed {
            self.services.push(service);
            entries.push(format!("\n[[service_log]]\nfilter = \"{service}\"\n"));
        }
        let is_followed = is_followed || limits.is_found_by_itself;
        for path in &limits.paths {
            let (log, file) = ((service, path.as_str()), Path::new(path));
            if config.edge.follows_service_log(service, file) || self.logs.contains(&log) {
                continue;
            }
            if config.edge.follows(file) {
                left.push(format!(
                    "the log {path} of {service}: it is an access log here, and rules over access logs count its clients"
                ));
                continue;
            }
            if is_followed && is_beside_usual(service, file) {
                left.push(format!(
                    "the log {path} of {service}: the service is watched, and a log beside its usual one mostly has the same lines; add a \
                     [[service_log]] with this `path` if it has others"
                ));
                continue;
            }
            self.logs.push(log);
            let quoted = value(path.as_str()).to_string();
            let quoted = quoted.trim();
            entries.push(format!(
                "\n[[service_log]]\nfilter = \"{service}\"\npath = {quoted}\n"
            ));
        }
        entries
    }
}

/// The entry of a rule that goes by the limits of its preset.
fn bare_rule<'a>(document: &'a mut DocumentMut, rule: &str) -> Option<&'a mut Table> {
    let rules = document.get_mut("rule")?.as_array_of_tables_mut()?;
    let mut rules = rules.iter_mut();
    let found = rules.find(|table| table.get("name").and_then(Item::as_str) == Some(rule))?;
    let is_bare = ["threshold", "window", "ban"]
        .iter()
        .all(|key| !found.contains_key(key));
    is_bare.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(service: &'static str, rule: &'static str) -> Limits {
        Limits {
            service,
            is_found_by_itself: true,
            paths: Vec::new(),
            rule,
            threshold: 3,
            window: 3600,
            ban: Some(7200),
        }
    }

    /// A check that anything passes.
    const ANY: &dyn Fn(&str) -> anyhow::Result<()> = &|_| Ok(());

    fn load(text: &str) -> Config {
        Config::load(&InMemory::new(text).unwrap().path()).unwrap()
    }

    #[test]
    fn limits_become_entries_that_the_daemon_takes() {
        let mut found = Found {
            limits: vec![
                limits("sshd", "ssh-bruteforce"),
                limits("postfix", "mail-bruteforce"),
                limits("dovecot", "mail-bruteforce"),
            ],
            ..Found::default()
        };
        let text = take(&mut found, &load(""), &mut DocumentMut::new(), ANY).entries;
        let config = load(&text);
        assert!(config.orchestrator.rules.has("ssh-bruteforce"), "{text}");
        assert!(
            ["sshd", "postfix", "dovecot"]
                .iter()
                .all(|service| config.edge.follows_service(service))
        );
        assert_eq!(found.left.len(), 1, "one rule has one limit: {:?}", found.left);
    }

    #[test]
    fn logs_in_places_of_their_own_are_watched_there() {
        let at = |paths: &[&str], is_found_by_itself| Limits {
            is_found_by_itself,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..limits("vsftpd", "ftp-bruteforce")
        };
        let entries = |limits: Limits, text: &str| {
            let mut found = Found {
                limits: vec![limits],
                ..Found::default()
            };
            take(&mut found, &load(text), &mut text.parse().unwrap(), ANY).entries
        };
        let text = entries(at(&["/srv/\"a\"/ftp.log"], false), "");
        let path = Path::new("/srv/\"a\"/ftp.log");
        assert!(load(&text).edge.follows_service_log("vsftpd", path), "{text}");
        assert_eq!(text.matches("[[service_log]]").count(), 1, "{text}");
        let both = entries(at(&["/srv/ftp.log"], true), "");
        assert_eq!(both.matches("[[service_log]]").count(), 2, "{both}");
        let known = "[[service_log]]\nfilter = \"vsftpd\"\npath = \"/srv/*.log\"\n";
        let none = entries(at(&["/srv/ftp.log"], true), known);
        assert_eq!(none.matches("[[service_log]]").count(), 0, "{none}");
    }

    #[test]
    fn a_log_that_cannot_be_followed_or_is_read_already_is_named_and_the_rest_taken_over() {
        let mut found = Found {
            limits: vec![Limits {
                paths: [
                    "/srv/ftp.log",
                    "/srv/bad.log",
                    "/srv/web/access.log",
                    "/var/log/vsftpd.log.old",
                ]
                .map(str::to_owned)
                .to_vec(),
                ..limits("vsftpd", "ftp-bruteforce")
            }],
            ..Found::default()
        };
        let text = "[[access_log]]\npath = \"/srv/web/*.log\"\n";
        let check = |text: &str| {
            anyhow::ensure!(!text.contains("/srv/bad.log"), "not to be read");
            Ok(())
        };
        let entries = take(&mut found, &load(text), &mut text.parse().unwrap(), &check).entries;
        let paths: Vec<_> = entries.lines().filter(|line| line.starts_with("path")).collect();
        assert_eq!(paths, ["path = \"/srv/ftp.log\""], "{entries}");
        assert!(entries.contains("ftp-bruteforce"), "{entries}");
        for part in [
            "/srv/web/access.log of vsftpd: it is an access log",
            "/var/log/vsftpd.log.old of vsftpd: the service is watched",
            "path = \"/srv/bad.log\": not to be read",
        ] {
            assert!(
                found.left.iter().any(|left| left.contains(part)),
                "{:?}",
                found.left
            );
        }
        assert_eq!(found.left.len(), 3, "{:?}", found.left);
    }

    #[test]
    fn limits_of_one_service_are_not_those_of_another() {
        let mut found = Found {
            limits: vec![
                limits("cyrus", OF_ANY),
                limits("pam", OF_ANY),
                limits("pam", OF_ANY),
                Limits {
                    threshold: 9,
                    ..limits("roundcube", OF_ANY)
                },
            ],
            ..Found::default()
        };
        let entries = take(&mut found, &load(""), &mut DocumentMut::new(), ANY).entries;
        load(&entries);
        assert!(
            entries.contains("\nservices = [\"cyrus\", \"pam\"]\n"),
            "{entries}"
        );
        assert!(
            found.left[0].starts_with("9 failures of roundcube") && found.left.len() == 1,
            "{:?}",
            found.left
        );
        let bare = format!("[[rule]]\nname = \"{OF_ANY}\"\n");
        let mut document = bare.parse().unwrap();
        found.left.clear();
        let TakenOver { changes, entries } = take(&mut found, &load(&bare), &mut document, ANY);
        assert_eq!((changes, document.to_string()), (String::new(), bare));
        assert!(!entries.contains("[[rule]]"), "{entries}");
        assert_eq!(found.left.len(), 4, "{:?}", found.left);
    }

    #[test]
    fn a_ban_of_what_is_no_address_is_named() {
        let ban = |target: &str| Ban {
            target: target.to_owned(),
            ends: None,
            note: "fail2ban sshd".to_owned(),
        };
        let mut found = Found {
            bans: vec![ban("192.0.2.1"), ban("office.example")],
            ..Found::default()
        };
        found.leave_what_is_invalid();
        assert_eq!(found.bans, [ban("192.0.2.1")]);
        assert!(
            found.left[0].starts_with("the ban of `office.example` (fail2ban sshd)"),
            "{:?}",
            found.left
        );
    }

    #[test]
    fn what_the_config_says_already_stays() {
        let mut found = Found {
            limits: vec![limits("sshd", "ssh-bruteforce")],
            ..Found::default()
        };
        let text = "[[service_log]]\nfilter = \"sshd\"\n[[rule]]\nname = \"ssh-bruteforce\"\nban = \"10m\"\n";
        let mut document = text.parse().unwrap();
        let taken = take(&mut found, &load(text), &mut document, ANY);
        assert_eq!(
            (taken.entries, taken.changes, document.to_string()),
            (String::new(), String::new(), text.to_owned())
        );
        assert!(found.left[0].contains("already"), "{:?}", found.left);
    }

    #[test]
    fn a_rule_that_setup_wrote_gets_the_limits_and_no_ban_is_longer_than_bans_may_be() {
        let mut found = Found {
            limits: vec![Limits {
                ban: Some(2 * 24 * 3600),
                ..limits("sshd", "ssh-bruteforce")
            }],
            ..Found::default()
        };
        let text = "[[service_log]]\nfilter = \"sshd\"\n\n[[rule]]\nname = \"ssh-bruteforce\" # mine\n";
        let mut document = text.parse().unwrap();
        let taken = take(&mut found, &load(text), &mut document, ANY);
        assert_eq!(taken.entries, "");
        assert_eq!(
            taken.changes,
            "the rule ssh-bruteforce gets threshold = 3, window = \"3600s\", ban = \"86400s\"\n"
        );
        let after = document.to_string();
        assert!(
            after.starts_with(text) && after.contains("threshold = 3\n"),
            "{after}"
        );
        load(&after);
        assert!(found.left[0].contains("172800"), "{:?}", found.left);
    }
}
