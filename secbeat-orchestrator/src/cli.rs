//! The command line: `run` is in [`crate::app`], everything else is here.

mod explain;
mod fleet;
mod status;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use comfy_table::Table;
use secbeat_common::{
    daemon::{
        api::ApiClient,
        cli::{Output, print_json},
        config::HumanDuration,
        time::left,
    },
    prefix::Prefix,
};

use crate::{
    api::{
        BanRequest, Unbanned,
        edges::FleetEdge,
        propagation::PropagationView,
        view::{ApiStats, BanView},
    },
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
    Bans {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Ban a source or a network on every edge.
    Ban {
        /// An address, which stands for its source (an IPv4 address, or the /64 of an IPv6 address), or a CIDR.
        target: Prefix,
        /// How long, as 30m, 4h or 7d.
        #[arg(long, short, default_value = "4h")]
        duration: HumanDuration,
        /// Why, for whoever looks later.
        #[arg(long, short, default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Lift a ban on every edge, and forget what the source did.
    Unban {
        /// The address or CIDR, as `bans` shows it.
        target: Prefix,
    },
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
            Command::Bans { output } => bans(&api.get::<Vec<BanView>>("/api/v1/bans")?, *output),
            Command::Edges { output } => fleet::edges(&api.get::<Vec<FleetEdge>>("/api/v1/edges")?, *output),
            Command::Propagation { output } => {
                fleet::propagation(&api.get::<PropagationView>("/api/v1/propagation")?, *output)
            }
            Command::Ban {
                target,
                duration,
                note,
            } => {
                let request = BanRequest {
                    target: target.to_string(),
                    duration: duration.to_string(),
                    note: note.clone(),
                };
                let ban: BanView = api.post("/api/v1/bans", &request)?;
                println!(
                    "banned {} for {} on every edge",
                    ban.target,
                    left(ban.expires_in_ms)
                );
                Ok(())
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

fn bans(bans: &[BanView], output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_json(bans);
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "TARGET", "REASON", "STATE", "LAYER", "ENDS IN", "STRIKES", "BY", "NOTE",
    ]);
    for ban in bans {
        table.add_row([
            ban.target.clone(),
            ban.reason.clone(),
            ban.state.clone(),
            ban.layer.clone(),
            left(ban.expires_in_ms),
            ban.strikes.to_string(),
            ban.issuer.clone(),
            ban.note.clone(),
        ]);
    }
    println!("{table}");
    Ok(())
}
