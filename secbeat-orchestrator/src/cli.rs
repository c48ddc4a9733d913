//! The command line: `run` is in [`crate::app`], everything else is here.

mod bans;
mod explain;
mod export;
mod fleet;
mod import;
mod status;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use secbeat_common::{
    daemon::{api::ApiClient, cli::Output, config::HumanDuration},
    prefix::Prefix,
};

use crate::{
    api::{bans::Unbanned, edges::FleetEdge, propagation::PropagationView, view::ApiStats},
    config::{self, Config},
    detect::Action,
    replay,
};

/// SecBeat's orchestrator: sees what all edges report, decides who is banned, and keeps the ledger.
#[derive(Debug, Parser)]
#[command(name = "secbeat-orchestrator", version)]
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
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run,
    /// Check the config file and say what it means.
    Check,
    /// Show how the running daemon does, and who owns which partition.
    Status {
        /// Text for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// List the active bans.
    Bans(bans::List),
    /// Ban a source or a network on every edge.
    Ban(bans::Ban),
    /// Lift a ban on every edge, and forget what the source did.
    Unban {
        /// The address or CIDR, as `bans` shows it.
        target: Prefix,
    },
    /// Ban what a file lists: an address or a CIDR on each line, CSV with a header, or what `export` wrote.
    Import(import::Args),
    /// Write the active bans to standard output, for a file.
    Export(export::Args),
    /// List the edges: which are there, what they enforce, and whether that is what the ledger says.
    Edges {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how long bans take from the decision into each edge's kernel, and who has not answered.
    Propagation {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    Why(explain::Why),
    Findings(explain::Findings),
    Audit(explain::Audit),
    /// Run the detector over access logs and show whom it would have banned.
    Replay(replay::Args),
}

impl Cli {
    /// The config: the file named, the default file if it exists, or the defaults.
    ///
    /// # Errors
    ///
    /// When the file cannot be used.
    pub fn load_config(&self) -> anyhow::Result<Config> {
        let default = Path::new(config::DEFAULT_PATH);
        match &self.config {
            Some(path) => Ok(Config::load(path)?),
            None if default.exists() => Ok(Config::load(default)?),
            None => Ok(Config::default()),
        }
    }

    /// Carries out any command but `run`.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self) -> anyhow::Result<()> {
        let config = self.load_config()?;
        let api = ApiClient::new(config.api_listen);
        match &self.command {
            Command::Run | Command::Check => {
                self.check(&config);
                Ok(())
            }
            Command::Status { output } => status::show(&api.get::<ApiStats>("/api/v1/stats")?, *output),
            Command::Bans(args) => args.execute(&api),
            Command::Ban(args) => args.execute(&api),
            Command::Import(args) => args.execute(&api),
            Command::Export(args) => args.execute(&api),
            Command::Edges { output } => fleet::edges(&api.get::<Vec<FleetEdge>>("/api/v1/edges")?, *output),
            Command::Propagation { output } => {
                fleet::propagation(&api.get::<PropagationView>("/api/v1/propagation")?, *output)
            }
            Command::Unban { target } => {
                let lifted: Unbanned = api.delete(&format!("/api/v1/bans/{target}"))?;
                println!("lifted the ban of {} on every edge", lifted.target);
                Ok(())
            }
            Command::Why(why) => why.execute(&api),
            Command::Findings(findings) => findings.execute(&api),
            Command::Audit(audit) => audit.execute(&api),
            Command::Replay(args) => args.run(&config),
        }
    }

    fn check(&self, config: &Config) {
        let path = self
            .config
            .as_deref()
            .map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
        println!("{path}: ok");
        for rule in &config.rules.0 {
            let what = match rule.action {
                Action::Ban => "ban for",
                Action::Observe => "observed, would ban for",
            };
            println!(
                "{}: {} {} in {} {what} {}",
                rule.rule,
                rule.threshold.count,
                rule.counted(),
                HumanDuration(rule.threshold.window),
                rule.ban.map_or(config.ban.duration, HumanDuration),
            );
        }
        println!(
            "the API listens on {}, NATS is at {}",
            config.api_listen, config.nats.url
        );
    }
}
