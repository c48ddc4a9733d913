//! The command line: `run` is in [`crate::app`], everything else is here.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use comfy_table::Table;
use jiff::tz::TimeZone;
use secbeat_common::{
    daemon::{
        api::ApiClient,
        cli::{Output, print_json},
        config::HumanDuration,
        time::{left, now_ms},
    },
    logs::FormatChoice,
    prefix::Prefix,
};

use crate::{
    api::{BanRequest, Unbanned, view::BanView},
    config::{self, Config},
    ledger::LedgerConfig,
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
    /// Run the detector over access logs and show whom it would have banned.
    Replay {
        /// What the lines look like: auto, combined, common, nginx-json, caddy-json, traefik-json, haproxy, envoy,
        /// envoy-json, or a pattern as `$remote_addr [$time_local] "$request" $status`.
        #[arg(long, short, value_name = "FORMAT", default_value_t)]
        format: FormatChoice,
        /// Time zone of times that are logged without one, as Europe/Berlin.
        #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = TimeZone::get)]
        time_zone: TimeZone,
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
        /// Log files, oldest first; `-` is standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
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
            Command::Bans { output } => bans(&api.get::<Vec<BanView>>("/api/v1/bans")?, *output),
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
            Command::Replay {
                format,
                time_zone,
                output,
                files,
            } => {
                let ledger = replay_ledger(&config);
                let replay =
                    replay::Replay::new(config.detector(), ledger, format.clone(), time_zone.clone());
                replay_files(replay, files, *output)
            }
        }
    }

    fn check(&self, config: &Config) {
        let path = self
            .config
            .as_deref()
            .map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
        let (errors, requests, waf) = (
            config.detect.error_flood,
            config.detect.request_flood,
            &config.detect.waf_flood,
        );
        println!("{path}: ok");
        println!(
            "{} errors in {}, {} requests in {} or {} WAF events in {} ban for {}",
            errors.count,
            errors.window,
            requests.count,
            requests.window,
            waf.count,
            waf.window,
            config.ban.duration
        );
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

/// Opens one input of `replay`.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// What the ledger protects when it comes to old logs: what it protects now.
fn replay_ledger(config: &Config) -> LedgerConfig {
    let protected = config.protect.entries().into_iter();
    let protected = protected.filter(|entry| entry.holds_at(now_ms()));
    config.ledger(protected.map(|entry| entry.network).collect())
}

fn replay_files(mut replay: replay::Replay, files: &[PathBuf], output: Output) -> anyhow::Result<()> {
    let format = match output {
        Output::Table => replay::Format::Table,
        Output::Json => replay::Format::Json,
    };
    let mut findings = replay::Output::new(io::BufWriter::new(io::stdout().lock()), format);
    for path in files {
        let name = path.display().to_string();
        replay
            .read(&name, open(path)?, &mut findings)
            .with_context(|| format!("replaying {name}"))?;
    }
    findings.into_inner().flush().context("writing the findings")?;
    eprintln!("{}", replay.finish());
    Ok(())
}
