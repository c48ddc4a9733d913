//! The command line: `run` is in [`crate::app`], everything else is here.

mod allowlist;
mod bans;
mod enroll;
mod explain;
mod export;
mod fleet;
mod import;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod top;
mod watch;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use secbeat_daemon::{
    api::Remote,
    cli::{Generate, Output, Target},
    exit,
};

use crate::{
    config::{self, Config},
    replay,
};

/// SecBeat's orchestrator: sees what all edges report, decides who is banned, and keeps the ledger.
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
    /// Check the config file and say what it means.
    Check {
        /// Text for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Show what the daemon counts, which edges are there, and who owns which partition.
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
        #[command(flatten)]
        target: Target,
        /// A sentence for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Whom nobody in the fleet bans.
    #[command(subcommand)]
    Allowlist(allowlist::Command),
    /// Show findings, bans, unbans and edges that come and go, as it happens.
    Watch {
        /// A line for people, or a JSON object a line for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    Top(top::Top),
    /// List what the detector looks for.
    Rules {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
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
    /// Tokens for the REST API.
    #[command(subcommand)]
    Token(token::Command),
    #[command(flatten)]
    Fleet(enroll::Command),
    #[command(flatten)]
    Generate(Generate),
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

    /// Where the config is, or would be.
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
            Command::Token(command) => return token::run(command),
            Command::Fleet(command) => return command.execute(),
            Command::Generate(generate) => return generate.run::<Self, Config>(),
            _ => {}
        }
        let config = self.load_config()?;
        let api = || self.remote.client(config.api.listen, config.api.scheme());
        match &self.command {
            Command::Run | Command::Token(_) | Command::Fleet(_) | Command::Generate(_) => Ok(()),
            Command::Check { output } => rules::check(self.config.as_deref(), &config, *output),
            Command::Status { output } => status::show(&api()?, *output),
            Command::Bans(args) => args.execute(&api()?),
            Command::Ban(args) => args.execute(&api()?),
            Command::Unban { target, output } => bans::unban(&api()?, &target.prefix()?, *output),
            Command::Allowlist(command) => command.execute(&api()?),
            Command::Import(args) => args.execute(&api()?),
            Command::Export(args) => args.execute(&api()?),
            Command::Why(why) => why.execute(&api()?),
            Command::Findings(findings) => findings.execute(&api()?),
            Command::Audit(audit) => audit.execute(&api()?),
            Command::Edges { output } => fleet::edges(&api()?, *output),
            Command::Propagation { output } => fleet::propagation(&api()?, *output),
            Command::Watch { output } => watch::run(&api()?, *output),
            Command::Top(top) => top.execute(api()?),
            Command::Rules { output } => rules::rules(&api()?, *output),
            Command::Replay(args) => args.run(&config),
        }
    }
}
