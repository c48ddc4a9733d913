//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use secbeat_daemon::{
    api::Remote,
    cli::{Generate, Output},
    exit,
};
use secbeat_edge::cli::{self as edge, ConfigFile, Local};
use secbeat_orchestrator::cli::{self as orchestrator, Order};

use crate::{
    config::{self, File},
    doctor::Doctor,
    migrate::Migrate,
    setup::Setup,
    status,
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
    #[command(flatten)]
    remote: Remote,
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
    /// Show what is protected, what was dropped, and what the detector does.
    Status {
        /// Only this service, such as sshd or nginx: its logs, whom its rules banned, and whether the kernel has these bans.
        service: Option<String>,
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    #[command(visible_alias = "check")]
    Doctor(Doctor),
    Migrate(Migrate),
    #[command(flatten)]
    Order(Order),
    #[command(flatten)]
    Local(Local),
    #[command(flatten)]
    Generate(Generate),
}

impl Cli {
    /// The config file that was named.
    #[must_use]
    pub fn named_config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The config file, or where it would be.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH))
    }

    fn edge_file(&self) -> ConfigFile<'_> {
        config::edge_file(self.config.as_deref())
    }

    /// The orchestrator's part of the config, or the defaults where none was named and there is none.
    fn orchestrator_config(&self) -> anyhow::Result<secbeat_orchestrator::config::Config> {
        let path = self.config_path();
        match self.config.is_some() || path.exists() {
            true => Ok(config::Config::load_orchestrator(path)?),
            false => Ok(secbeat_orchestrator::config::Config::default()),
        }
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
            Command::Status { service, output } => {
                let host = edge::status(&self.edge_file())?;
                let config = self.orchestrator_config()?;
                match service {
                    None => status::show(&host, orchestrator::status(&self.remote, &config), *output),
                    Some(service) => {
                        let api = orchestrator::client(&self.remote, &config)?;
                        let in_kernel = edge::banned_in_kernel(&self.edge_file())?;
                        status::show_service(service, &host, &config.rules, &api, &in_kernel, *output)
                    }
                }
            }
            Command::Doctor(doctor) => doctor.execute(self.config.as_deref(), &self.remote),
            Command::Migrate(migrate) => migrate.execute(self.config_path(), &self.remote),
            Command::Order(order) => order.execute(&self.remote, &self.orchestrator_config()?, "secbeat"),
            Command::Local(local) => local.execute(&self.edge_file()),
            Command::Generate(generate) => generate.run::<Self, File>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn words_of_other_programs_lead_to_commands_that_exist() {
        assert_eq!(
            secbeat_daemon::cli::words::untrue::<Cli>(crate::words::WORDS),
            [""; 0]
        );
    }

    /// Both daemons' commands have names of their own.
    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
