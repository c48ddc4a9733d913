//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use secbeat_daemon::exit;

use crate::config;

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
}

impl Cli {
    /// The config file.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH))
    }
}
