//! `migrate`: takes over from another program on this host.

mod crowdsec;
mod fail2ban;
mod python;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use clap::Parser as _;
use secbeat_daemon::{api::Remote, say};
use secbeat_orchestrator::cli::Order;
use serde_json::{Value, json};

use crate::{
    config::Config,
    memory::InMemory,
    setup::{UNIT, UnitUser, add_to},
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
        let entries = entries(&mut found, &config);
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
        match entries.is_empty() {
            true => say!("no limits for {}", path.display()),
            false => say!("limits for {}:\n{}", path.display(), entries.trim_end()),
        }
        if !self.dry_run && !entries.is_empty() {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            add_to(path, &text, &entries, UnitUser::find(UNIT).as_ref())?;
            say!("added; `systemctl restart secbeat` takes them over");
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
        line.order.execute(remote, &config.orchestrator, "secbeat")
    }
}

fn bans(bans: &[Ban]) -> Value {
    let entry = |ban: &Ban| match &ban.ends {
        Some(ends) => json!({"target": ban.target, "expires_at": ends, "note": ban.note}),
        None => json!({"target": ban.target, "permanent": true, "note": ban.note}),
    };
    bans.iter().map(entry).collect()
}

/// What the config has to say for the limits. What it says already stays as it is.
fn entries(found: &mut Found, config: &Config) -> String {
    let mut text = String::new();
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
        if config.orchestrator.rules.has(rule) || rules.contains(rule) {
            found.left.push(format!(
                "{threshold} failures of {service} in {window} s: there is a rule {rule} already; change it if you like"
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
    text
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
        let text = entries(&mut found, &load(""));
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
        let config = load("[[service_log]]\nfilter = \"sshd\"\n[[rule]]\nname = \"ssh-bruteforce\"\n");
        assert_eq!(entries(&mut found, &config), "");
        assert!(found.left[0].contains("already"), "{:?}", found.left);
    }
}
