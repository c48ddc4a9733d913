//! The command line: `run` is in [`crate::app`], everything else is here.

mod alerts;
mod allowlist;
mod bans;
mod dashboard;
mod enroll;
mod explain;
mod export;
mod feeds;
mod fleet;
mod geo;
mod import;
mod list;
mod notify;
mod report;
mod rules;
mod signatures;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod top;
mod unban;
mod watch;
mod words;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};
use secbeat_common::wire::parse_label;
use secbeat_daemon::{
    api::{ApiClient, Remote},
    cli::{Asked, Generate, Output, Records},
    exit,
};

pub use self::{
    signatures::{SignatureOrder, list_signatures},
    status::print as print_status,
    token::Command as TokenCommand,
    words::WORDS,
};
use crate::{
    config::{self, Config, LoadConfig},
    replay,
    view::ApiStats,
};

/// SecBeat's orchestrator: evaluates the reports of all edges and decides who is banned.
#[derive(Debug, Parser)]
#[command(name = "secbeat-orchestrator", version, after_help = exit::HELP)]
pub struct Cli {
    /// Config file [default: /etc/secbeat/orchestrator.toml if it exists, else built-in defaults].
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "SECBEAT_ORCHESTRATOR_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run,
    /// Check the config file and show what it does.
    Check {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Show statistics, telemetry of each edge, and the owners of partitions.
    Status {
        /// Only the telemetry and clocks of edges with this label, such as site=eu; several must all be there.
        #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
        label: Vec<(String, String)>,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    #[command(flatten)]
    Order(Order),
    /// Show what signatures recognised, publish some for all edges, and disable some.
    #[command(subcommand)]
    Signatures(signatures::Signatures),
    /// List the edges, what they enforce, and whether it equals the ledger.
    Edges(fleet::Edges),
    /// Show how long bans take into each kernel, and who has not acknowledged.
    Propagation(Records),
    /// Manage tokens for the REST API.
    #[command(subcommand)]
    Token(token::Command),
    #[command(flatten)]
    Fleet(enroll::Command),
    #[command(flatten)]
    Generate(Generate),
}

impl Command {
    /// Whether it goes by more of the config than where the daemon is.
    const fn reads_config(&self) -> bool {
        matches!(
            self,
            Self::Run | Self::Check { .. } | Self::Order(Order::Notify(_) | Order::Replay(_) | Order::Geo(_))
        )
    }
}

/// What a daemon is asked and ordered, also where it is a part of `secbeat`.
#[derive(Debug, Subcommand)]
pub enum Order {
    Alerts(alerts::Alerts),
    /// List the active bans.
    #[command(visible_alias = "list")]
    Bans(bans::List),
    /// Ban clients and networks.
    Ban(bans::Ban),
    Unban(unban::Unban),
    /// Manage the allowlist.
    #[command(subcommand, alias = "whitelist")]
    Allowlist(allowlist::Command),
    /// Follow findings, bans and unbans, and edges that go up and down.
    Watch {
        /// Output format, a line per event.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    Top(top::Top),
    /// List the rules in force.
    Rules(Records),
    /// List, update and test feeds: lists of networks that others publish.
    #[command(subcommand, alias = "feeds")]
    Feed(feeds::Command),
    /// Import bans from lists in many formats, among them the output of `export`.
    Import(import::Args),
    /// Export the active bans to standard output.
    Export(export::Args),
    Dashboard(dashboard::Dashboard),
    Report(report::Summary),
    Why(explain::Why),
    Findings(explain::Findings),
    Audit(explain::Audit),
    /// Evaluate access logs and show who would have been banned.
    Replay(replay::Args),
    /// List and test the receivers of notifications.
    #[command(subcommand)]
    Notify(notify::Command),
    /// Look addresses up in the files of `[geo]`, and make such a file.
    #[command(subcommand)]
    Geo(geo::Command),
    #[command(flatten)]
    Asked(Asked),
}

/// The program that an order is given to.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub name: &'static str,
    /// How its config files are read.
    pub load: LoadConfig,
}

impl Order {
    /// Whether it shows or makes bans, of which only those count that the kernel enforces.
    #[must_use]
    pub const fn tells_of_bans(&self) -> bool {
        matches!(
            self,
            Self::Bans(_)
                | Self::Ban(_)
                | Self::Import(_)
                | Self::Why(_)
                | Self::Findings(_)
                | Self::Report(_)
        )
    }

    /// The address of which people ask why it is banned, or is not.
    #[must_use]
    pub fn asks_why(&self) -> Option<IpAddr> {
        match self {
            Self::Why(why) => why.for_people(),
            _ => None,
        }
    }

    /// Carries it out at the daemon that `remote` names, or else at the one of this host with this config.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self, remote: &Remote, config: &Config, program: Program) -> anyhow::Result<()> {
        let api = || client(remote, config);
        match self {
            Self::Bans(args) => args.execute(&api()?),
            Self::Ban(args) => args.execute(&api()?),
            Self::Unban(args) => args.execute(&api()?),
            Self::Allowlist(command) => command.execute(&api()?),
            Self::Feed(command) => command.execute(api),
            Self::Import(args) => args.execute(&api()?),
            Self::Export(args) => args.execute(&api()?),
            Self::Dashboard(dashboard) => dashboard.execute(&api()?),
            Self::Report(report) => report.execute(&api()?),
            Self::Why(why) => why.execute(&api()?),
            Self::Findings(findings) => findings.execute(&api()?),
            Self::Audit(audit) => audit.execute(&api()?),
            Self::Alerts(alerts) => alerts.execute(&api()?),
            Self::Watch { output } => watch::run(&api()?, *output),
            Self::Top(top) => top.execute(api()?),
            Self::Rules(records) => rules::rules(&api()?, records),
            Self::Notify(command) => command.execute(config),
            Self::Replay(args) => args.run(config, program.load),
            Self::Geo(command) => command.execute(config),
            Self::Asked(asked) => asked.execute(&api()?, program.name, env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Asks for statistics, telemetry of each edge, and the owners of partitions.
///
/// # Errors
///
/// Returns an error if no daemon answers.
pub fn status(remote: &Remote, config: &Config) -> anyhow::Result<ApiStats> {
    Ok(client(remote, config)?.get("/api/v1/stats")?)
}

/// The API of the daemon that `remote` names, or else of the one of this host with this config.
///
/// # Errors
///
/// Returns an error if the token cannot be read.
pub fn client(remote: &Remote, config: &Config) -> anyhow::Result<ApiClient> {
    let socket = config.api.socket();
    remote.client(socket.as_deref(), config.api.listen, config.api.scheme())
}

impl Cli {
    /// The config: the file named, the default file if it exists, or the defaults.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be used.
    pub fn load_config(&self) -> anyhow::Result<Config> {
        let default = Path::new(config::DEFAULT_PATH);
        match &self.config {
            Some(path) => Ok(Config::load(path)?),
            None if default.exists() => Ok(Config::load(default)?),
            None => Ok(Config::default()),
        }
    }

    /// The config. Of one that is wrong, only where the daemon is, for commands that ask it: the daemon may run on with the one that it
    /// has read. A daemon that was named needs no config.
    fn config_in_need(&self) -> anyhow::Result<Config> {
        if self.command.reads_config() {
            return self.load_config();
        }
        if self.remote.is_named() {
            return Ok(Config::default());
        }
        let path = self.config_path();
        self.load_config().or_else(|error| {
            // A name with a slip is not a wrong config.
            if !path.exists() {
                return Err(error);
            }
            let config = Config::api_of(path);
            let place = config.api.socket().map(|socket| socket.display().to_string());
            secbeat_daemon::complain!(
                "warning: {error:#}; going on with the daemon at {}",
                place.unwrap_or_else(|| config.api.listen.to_string())
            );
            Ok(config)
        })
    }

    /// Returns where the config is, or would be.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH))
    }

    /// Carries out any command but `run`.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.command {
            Command::Token(command) => return command.execute(),
            Command::Fleet(command) => return command.execute(),
            Command::Generate(generate) => return generate.run::<Self, Config>(),
            _ => {}
        }
        let config = self.config_in_need()?;
        let api = || client(&self.remote, &config);
        match &self.command {
            Command::Run | Command::Token(_) | Command::Fleet(_) | Command::Generate(_) => Ok(()),
            Command::Check { output } => rules::check(self.config.as_deref(), &config, *output),
            Command::Status { label, output } => status::show(&api()?, label, *output),
            Command::Signatures(signatures) => signatures.execute(&api()?),
            Command::Edges(edges) => edges.execute(&api()?),
            Command::Propagation(records) => fleet::propagation(&api()?, records),
            Command::Order(order) => {
                let program = Program {
                    name: config::PROGRAM,
                    load: Config::load,
                };
                order.execute(&self.remote, &config, program)
            }
        }
    }
}
