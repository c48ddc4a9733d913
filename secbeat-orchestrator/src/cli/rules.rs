//! `check` and `rules`: what the orchestrator goes by.

use std::path::Path;

use secbeat_daemon::{
    api::{ApiClient, SocketPath},
    cli::{Output, print_json, table},
    credentials::Role,
};
use serde::Serialize;

use crate::{
    config::{self, Config, RuleAction},
    view::RuleView,
};

/// What `check` says of a config.
#[derive(Debug, Serialize)]
struct Checked {
    /// `None` for the defaults.
    config: Option<String>,
    api: String,
    /// Empty for none.
    socket: SocketPath,
    tls: bool,
    tokens: usize,
    nats: String,
    /// Whether it has credentials.
    signs_commands: bool,
    rules: Vec<RuleView>,
}

pub(super) fn check(path: Option<&Path>, config: &Config, output: Output) -> anyhow::Result<()> {
    let member = config.nats.membership(
        Role::Orchestrator,
        path.unwrap_or(Path::new(config::DEFAULT_PATH)),
    )?;
    let default = Some(Path::new(config::DEFAULT_PATH)).filter(|path| path.exists());
    let checked = Checked {
        config: path.or(default).map(|path| path.display().to_string()),
        api: config.api.listen.to_string(),
        socket: config.api.socket.clone(),
        tls: config.api.tls.is_some(),
        tokens: config.api.token.len(),
        nats: member.servers.to_string(),
        signs_commands: member.trust.is_needed(),
        rules: RuleView::all(config),
    };
    if output == Output::Json {
        return print_json(&checked);
    }
    secbeat_daemon::say!("{}: ok", checked.config.as_deref().unwrap_or("defaults"));
    for rule in &checked.rules {
        let what = match rule.action {
            RuleAction::Ban => "ban for",
            RuleAction::Observe => "observed, would ban for",
        };
        secbeat_daemon::say!(
            "{}: {} {} in {} {what} {}",
            rule.name,
            rule.threshold,
            rule.counts,
            rule.window,
            rule.ban
        );
    }
    let (tls, whom) = (
        if checked.tls { " in TLS" } else { "" },
        match checked.tokens {
            0 => "everybody on this host, to read".to_owned(),
            1 => "one token".to_owned(),
            tokens => format!("{tokens} tokens"),
        },
    );
    secbeat_daemon::say!(
        "the API listens on {}{tls} for {whom}, NATS is at {}, and commands are {}",
        checked.api,
        checked.nats,
        match checked.signs_commands {
            true => "signed",
            false => "not signed (there are no credentials)",
        }
    );
    Ok(())
}

pub(super) fn rules(api: &ApiClient, output: Output) -> anyhow::Result<()> {
    let rules: Vec<RuleView> = api.get("/api/v1/rules")?;
    if output == Output::Json {
        return print_json(&rules);
    }
    let mut table = table(["NAME", "COUNTS", "THRESHOLD", "WINDOW", "BAN", "ACTION"]);
    for rule in rules {
        table.add_row([
            rule.name,
            rule.counts,
            rule.threshold.to_string(),
            rule.window,
            rule.ban,
            rule.action.name().to_owned(),
        ]);
    }
    secbeat_daemon::say!("{table}");
    Ok(())
}
