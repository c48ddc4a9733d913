//! `check` and `rules`: what the orchestrator goes by.

use std::path::Path;

use secbeat_common::wire::tell_labels;
use secbeat_daemon::{
    api::{ApiClient, SocketPath},
    cli::{Cell, Column, Output, Records, print_json},
    credentials::Role,
    geo::Geo,
};
use serde::Serialize;

use crate::{
    config::{self, Config},
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
    if let Err((key, why)) = Geo::check(&config.geo) {
        anyhow::bail!("{key}: {why}");
    }
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
        secbeat_daemon::say!("{rule}");
    }
    let (tls, whom) = (
        if checked.tls { " in TLS" } else { "" },
        match checked.tokens {
            0 => "all users of this host, to read".to_owned(),
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

const RULES: [Column<RuleView>; 7] = [
    Column("NAME", "name", |rule| Cell::Text(rule.name.clone())),
    Column("COUNTS", "counts", |rule| Cell::Text(rule.counts.clone())),
    Column("THRESHOLD", "threshold", |rule| Cell::number(rule.threshold)),
    Column("WINDOW", "window", |rule| Cell::Text(rule.window.clone())),
    Column("BAN", "ban", |rule| Cell::Text(rule.ban.clone())),
    Column("ACTION", "action", |rule| {
        Cell::Text(rule.action.name().to_owned())
    }),
    Column("EDGES", "edges", |rule| {
        Cell::Text(match rule.labels.is_empty() {
            true => "all".to_owned(),
            false => tell_labels(&rule.labels),
        })
    }),
];

pub(super) fn rules(api: &ApiClient, records: &Records) -> anyhow::Result<()> {
    let rules = api.get("/api/v1/rules")?;
    records.show(
        &RULES,
        rules,
        "no rule is in force: no client is banned automatically",
    )
}
