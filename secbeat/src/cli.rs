//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use secbeat_daemon::{cli::Generate, exit};

use crate::{
    config::{self, File},
    setup::Setup,
};

/// SecBeat on one host: bans abusive clients in the kernel, by the logs and the proxy of this host.
#[derive(Debug, Parser)]
#[command(name = "secbeat", version, after_help = exit::HELP)]
pub struct Cli {
    /// Config file [default: /etc/secbeat/secbeat.toml].
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "SECBEAT_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run {
        /// Load this XDP object instead of the built-in one.
        #[arg(long, value_name = "FILE")]
        bpf_object: Option<PathBuf>,
    },
    Setup(Setup),
    #[command(flatten)]
    Generate(Generate),
}

impl Cli {
    /// The config file.
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
            Command::Run { .. } => Ok(()),
            Command::Setup(setup) => setup.execute(self.config_path()),
            Command::Generate(generate) => generate.run::<Self, File>(),
        }
    }
}
