//! `notify`: who is told of bans and troubles, and whether that works.

use anyhow::{bail, ensure};
use clap::Subcommand;
use secbeat_daemon::{
    cli::{Output, print_json, table},
    exit::Coded,
};
use serde_json::json;

use crate::{
    config::Config,
    notify::{Receiver, listed, try_all},
};

const NO_RECEIVER: &str = "no receivers: add a [[notify]] table (docs/notifications.md)";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a test message to every receiver of the config, or to one, and show what it answered. It is sent from here, not
    /// from the daemon: run it as a user that may read the receivers' files.
    Test {
        /// Name of the receiver.
        name: Option<String>,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// List the receivers of the config.
    List {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

impl Command {
    pub(super) fn execute(&self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Test { name, output } => test(config, name.as_deref(), *output),
            Self::List { output } => list(config, *output),
        }
    }
}

fn test(config: &Config, name: Option<&str>, output: Output) -> anyhow::Result<()> {
    ensure!(!config.notify.is_empty(), "{NO_RECEIVER}");
    let mut entries = config.notify.clone();
    if let Some(name) = name {
        entries.retain(|entry| entry.name == name);
        if entries.is_empty() {
            return Err(
                Coded::not_found(format!("the config has no [[notify]] with name = \"{name}\"")).into(),
            );
        }
    }
    let receivers = Receiver::all(&entries).map_err(|(key, why)| anyhow::anyhow!("{key}: {why}"))?;
    let host = nix::unistd::gethostname().unwrap_or_default();
    let tried = try_all(receivers, &host.to_string_lossy());
    let failed = tried.iter().filter(|tried| tried.outcome.is_err()).count();
    if output == Output::Json {
        let tried = tried.iter().map(|tried| {
            let (ok, answer) = match &tried.outcome {
                Ok(answer) => (true, answer),
                Err(why) => (false, why),
            };
            json!({"name": tried.name, "kind": tried.kind.name(), "ok": ok, "answer": answer})
        });
        print_json(&tried.collect::<Vec<_>>())?;
    } else {
        for tried in &tried {
            let (name, kind) = (&tried.name, tried.kind.name());
            match &tried.outcome {
                Ok(answer) => secbeat_daemon::say!("{name} ({kind}): delivered, {answer}"),
                Err(why) => secbeat_daemon::say!("{name} ({kind}): FAILED: {why}"),
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} receivers did not accept the message", tried.len());
    }
    Ok(())
}

fn list(config: &Config, output: Output) -> anyhow::Result<()> {
    let rows = config.notify.iter().map(listed);
    if output == Output::Json {
        let rows = rows.map(|[name, kind, events, digest, max_per_hour]| {
            let events: Vec<_> = events.split(", ").collect();
            json!({"name": name, "kind": kind, "events": events, "digest": digest, "max_per_hour": max_per_hour})
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    if config.notify.is_empty() {
        secbeat_daemon::say!("{NO_RECEIVER}");
        return Ok(());
    }
    let mut table = table(["NAME", "KIND", "EVENTS", "DIGEST", "MAX PER HOUR"]);
    table.add_rows(rows);
    secbeat_daemon::say!("{table}");
    Ok(())
}
