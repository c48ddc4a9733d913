//! `migrate`: takes over from another program on this host.

mod crowdsec;
mod fail2ban;
mod python;

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use clap::Parser as _;
use secbeat_daemon::{api::Remote, say};
use secbeat_orchestrator::cli::Order;
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, Table, value};

use crate::{
    config::{self, Config},
    fleet::edit,
    memory::InMemory,
    setup::{UNIT, UnitUser, added, write},
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

/// What another program has.
#[derive(Debug, Default)]
struct Found {
    /// Where it was read.
    read: Vec<String>,
    bans: Vec<Ban>,
    /// Who is never banned, with where that stood.
    allowed: Vec<(String, String)>,
    limits: Vec<Limits>,
    /// What is not taken over, and why.
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

/// How many failures of a service are too many.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limits {
    /// The filter of its log.
    service: &'static str,
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
    /// When the other program's files cannot be read, the daemon does not answer, or the config cannot be written.
    pub(crate) fn execute(&self, path: &Path, remote: &Remote) -> anyhow::Result<()> {
        let mut found = match &self.from {
            From::Fail2ban(fail2ban) => fail2ban.look()?,
            From::Crowdsec(crowdsec) => crowdsec.look()?,
        };
        let config = Config::load(path)
            .with_context(|| format!("reading {}, which `secbeat setup` writes", path.display()))?;
        let mut document = edit::read(path)?;
        let before = document.to_string();
        let Taken { changes, entries } = take(&mut found, &config, &mut document);
        let after = document.to_string();
        let is_changed = before != after || !entries.is_empty();
        // Before anything is done: nothing is taken over by half.
        let whole = added(path, &after, &entries, UnitUser::find(UNIT).as_ref())?;
        for line in &found.read {
            say!("read {line}");
        }
        say!("{} bans that hold:", found.bans.len());
        self.order(
            &["import", "--format=json", "--skip-invalid"],
            &bans(&found.bans),
            found.bans.len(),
            &config,
            remote,
        )?;
        say!("{} networks that are never banned:", found.allowed.len());
        let allowed: Vec<_> = found
            .allowed
            .iter()
            .map(|(network, comment)| json!({"target": network, "permanent": true, "note": comment}))
            .collect();
        self.order(
            &["allowlist", "import", "--format=json", "--skip-invalid"],
            &Value::from(allowed),
            found.allowed.len(),
            &config,
            remote,
        )?;
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
        Ok(())
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

fn bans(bans: &[Ban]) -> Value {
    let entry = |ban: &Ban| match &ban.ends {
        Some(ends) => json!({"target": ban.target, "expires_at": ends, "note": ban.note}),
        None => json!({"target": ban.target, "permanent": true, "note": ban.note}),
    };
    bans.iter().map(entry).collect()
}

/// What the limits make of a config.
struct Taken {
    /// What changes in rules that are there, as lines for people.
    changes: String,
    /// What is added.
    entries: String,
}

/// What the config has to say for the limits. A limit that it states already stays as it is.
fn take(found: &mut Found, config: &Config, document: &mut DocumentMut) -> Taken {
    let (mut changes, mut text) = (String::new(), String::new());
    let longest = config.orchestrator.ban.max_duration.0.as_secs();
    let mut rules: Vec<&str> = Vec::new();
    let mut services: Vec<&str> = Vec::new();
    for limits in &found.limits {
        let Limits {
            service,
            rule,
            threshold,
            window,
            ban,
        } = limits;
        if !config.edge.follows_service(service) && !services.contains(service) {
            services.push(service);
            let _ = writeln!(text, "\n[[service_log]]\nfilter = \"{service}\"");
        }
        if let Some(ban) = ban.filter(|ban| *ban > longest) {
            found.left.push(format!(
                "bans of {ban} s for {service}: they end after {longest} s, the `max_duration` under [ban]"
            ));
        }
        let ban = ban.map(|ban| ban.min(longest));
        let values = [
            ("threshold", value(i64::from(*threshold))),
            ("window", value(format!("{window}s"))),
        ];
        let values = values
            .into_iter()
            .chain(ban.map(|ban| ("ban", value(format!("{ban}s")))));
        if !rules.contains(rule)
            && config.orchestrator.rules.has(rule)
            && let Some(table) = bare_rule(document, rule)
        {
            rules.push(rule);
            let said: Vec<_> = values
                .map(|(key, value)| {
                    let said = format!("{key} = {}", value.to_string().trim());
                    table.insert(key, value);
                    said
                })
                .collect();
            let _ = writeln!(changes, "the rule {rule} gets {}", said.join(", "));
            continue;
        }
        if config.orchestrator.rules.has(rule) || rules.contains(rule) {
            let ban = ban.map_or(String::new(), |ban| format!(", bans of {ban} s"));
            found.left.push(format!(
                "{threshold} failures of {service} in {window} s{ban}: the rule {rule} has limits already; change them if you like"
            ));
            continue;
        }
        rules.push(rule);
        let _ = writeln!(
            text,
            "\n[[rule]]\nname = \"{rule}\"\nthreshold = {threshold}\nwindow = \"{window}s\""
        );
        if let Some(ban) = ban {
            let _ = writeln!(text, "ban = \"{ban}s\"");
        }
    }
    Taken {
        changes,
        entries: text,
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
            rule,
            threshold: 3,
            window: 3600,
            ban: Some(7200),
        }
    }

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
        let text = take(&mut found, &load(""), &mut DocumentMut::new()).entries;
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
    fn what_the_config_says_already_stays() {
        let mut found = Found {
            limits: vec![limits("sshd", "ssh-bruteforce")],
            ..Found::default()
        };
        let text = "[[service_log]]\nfilter = \"sshd\"\n[[rule]]\nname = \"ssh-bruteforce\"\nban = \"10m\"\n";
        let mut document = text.parse().unwrap();
        let taken = take(&mut found, &load(text), &mut document);
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
        let taken = take(&mut found, &load(text), &mut document);
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
