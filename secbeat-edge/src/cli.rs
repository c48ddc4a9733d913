//! The command line: what runs the daemon is in [`crate::app`], everything else is here.
//!
//! None needs the daemon: where it does not run, the pinned maps are read and written.

mod allowed;
mod bans;
mod check;
mod enroll;
mod explain;
mod filter;
mod mode;
mod signatures;
mod status;
mod switch;
#[cfg(test)]
mod tests;
mod unban;
mod verdict;
mod words;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use secbeat_common::maps;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Asked, Generate, Output, Records, Target},
    config::HumanDuration,
    exit::{self, Coded},
    protect::Known,
    term::with_an_end,
};
use secbeat_edge_core::FilterMode;

pub use self::words::WORDS;
use crate::{
    config::{self, Config},
    kernel::{DETACHED, ObjectSource, Pins, Selection},
    notes::Notes,
    signatures::SignaturesConfig,
    sources::service_log::Filters,
};

/// SecBeat's edge agent: reports HTTP responses and drops packets of banned clients in the kernel.
#[derive(Debug, Parser)]
#[command(name = "secbeat-edge", version, after_help = exit::HELP)]
pub struct Cli {
    /// Config file, required for `run` and `check` [default: /etc/secbeat/edge.toml].
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "SECBEAT_EDGE_CONFIG",
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
    /// Check the config file, and whether this host has what it needs; show what it does.
    Check {
        /// Look at the file alone, as on another host.
        #[arg(long)]
        offline: bool,
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Show interfaces, dropped packets, and the state of the daemon.
    Status {
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    Bans(bans::List),
    /// List the allowlisted addresses of this host, and why.
    #[command(alias = "whitelist")]
    Allowed(Records),
    /// Ban a client or a network on this host only.
    Ban {
        #[command(flatten)]
        target: Target,
        /// Duration, such as 30m, 4h or 7d; a bare number is seconds.
        #[arg(long, short, default_value = "4h", value_parser = with_an_end, allow_hyphen_values = true)]
        duration: HumanDuration,
        /// Reason, shown in listings.
        #[arg(
            long,
            short,
            visible_alias = "reason",
            short_alias = 'R',
            default_value = "",
            hide_default_value = true
        )]
        note: String,
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    Unban(unban::Unban),
    /// Ask the kernel what it does with a packet of an address, and show why.
    Test(verdict::Test),
    /// Show the mode, or switch it until the next start.
    Mode {
        /// `enforce` drops banned packets; `observe` counts them and lets them pass.
        mode: Option<FilterMode>,
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Show how each line of an access log is read, or why it is not understood.
    Explain(explain::Args),
    Filter(filter::Args),
    /// List, check or try signatures: what single requests give away.
    #[command(subcommand)]
    Signatures(signatures::Signatures),
    Enroll(enroll::Enroll),
    /// Kill switch: detach the XDP program from all interfaces and remove all bans, until `attach`.
    Detach {
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Take the kill switch back: a running daemon attaches again at once, and else the next start does.
    Attach {
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    #[command(flatten)]
    Asked(Asked),
    #[command(flatten)]
    Generate(Generate),
}

impl Cli {
    /// The config file to run with.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH))
    }

    /// Where the daemon's API and the pins are, and whom to protect: from the config if there is one, else the defaults.
    fn places(&self) -> anyhow::Result<Places> {
        let path = self.config_path();
        if self.config.is_none() && !path.exists() {
            return Ok(Places::usual());
        }
        let config = Config::load(path)?;
        Ok(Places {
            api: config.api_listen,
            socket: config.api_socket(),
            pins: Pins::at(&config.kernel.pin_dir),
            interfaces: Some(config.interfaces()),
            detached: config.detached_marker(),
            known: config.known(&config.nats.servers()),
            max_ban: config.bans.max_duration,
            notes: Notes::in_folder(&config.state_dir),
        })
    }

    /// Where filters are: the usual folder without a config.
    fn filters(&self) -> anyhow::Result<Filters> {
        let path = self.config_path();
        if self.config.is_none() && !path.exists() {
            return Ok(Filters(config::default_filters_dir()));
        }
        Ok(Config::load(path)?.filters())
    }

    /// Which signatures are looked for: as the config says if there is one, else the default.
    fn signatures(&self) -> anyhow::Result<SignaturesConfig> {
        let path = self.config_path();
        match self.config.is_none() && !path.exists() {
            true => Ok(SignaturesConfig::default()),
            false => Ok(Config::load(path)?.signatures),
        }
    }

    /// As [`places`](Self::places); with a config that cannot be read, the usual ones: the kill switch must work then, too.
    fn places_in_need(&self) -> Places {
        self.places().unwrap_or_else(|error| {
            let usual = Places::usual();
            secbeat_daemon::complain!("secbeat-edge: {error:#}; using {}", usual.pins.dir().display());
            usual
        })
    }

    /// Carries out any command but `run`.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.command {
            Command::Run { .. } => Ok(()),
            Command::Check { offline, output } => check::run(self.config_path(), *offline, *output),
            Command::Enroll(enroll) => enroll.execute(self.config_path()),
            Command::Status { output } => status::run(&self.places()?, *output),
            Command::Bans(list) => list.run(&self.places()?),
            Command::Allowed(records) => allowed::list(&self.places()?, records),
            Command::Ban {
                target,
                duration,
                note,
                output,
            } => bans::ban(&self.places()?, &target.prefix()?, *duration, note, *output),
            Command::Unban(unban) => unban.run(&self.places()?),
            Command::Test(test) => test.run(&self.places()?),
            Command::Mode { mode, output } => mode::run(&self.places()?, *mode, *output),
            Command::Explain(args) => {
                explain::run(args, &self.filters()?, &self.signatures().unwrap_or_default())
            }
            Command::Filter(args) => filter::run(args, &self.filters()?),
            Command::Signatures(signatures) => signatures.run(&self.signatures()?),
            Command::Detach { output } => switch::detach(&self.places_in_need(), *output),
            Command::Attach { output } => switch::attach(&self.places()?, *output),
            Command::Asked(asked) => {
                asked.execute(&self.places()?.api(), config::PROGRAM, env!("CARGO_PKG_VERSION"))
            }
            Command::Generate(generate) => generate.run::<Self, Config>(),
        }
    }
}

/// The object that `run` loads.
#[must_use]
pub fn object_source(bpf_object: Option<&Path>) -> ObjectSource {
    bpf_object.map_or(ObjectSource::Embedded, |path| ObjectSource::File(path.to_owned()))
}

struct Places {
    api: SocketAddr,
    /// The API's Unix socket, where there is one.
    socket: Option<PathBuf>,
    pins: Pins,
    /// Those that are to be protected, where a config says so.
    interfaces: Option<Selection>,
    /// The file that is there after the kill switch.
    detached: PathBuf,
    known: Known,
    /// The longest ban.
    max_ban: HumanDuration,
    notes: Notes,
}

impl Places {
    /// Those without a config.
    fn usual() -> Self {
        Self {
            api: config::default_api(),
            socket: config::default_socket().find(config::PROGRAM),
            pins: Pins::at(Path::new(maps::DEFAULT_PIN_DIR)),
            interfaces: None,
            detached: Path::new(config::DEFAULT_STATE_DIR).join(DETACHED),
            known: Known::default(),
            max_ban: config::Bans::default().max_duration,
            notes: Notes::in_folder(Path::new(config::DEFAULT_STATE_DIR)),
        }
    }

    fn api(&self) -> ApiClient {
        ApiClient::local(self.socket.as_deref(), self.api)
    }

    /// For commands that find no daemon and fall back on the pinned maps.
    fn require_pinned(&self) -> anyhow::Result<()> {
        let path = self.pins.map(maps::BANNED_V4);
        if path
            .try_exists()
            .with_context(|| format!("looking for {}", path.display()))?
        {
            return Ok(());
        }
        let message = format!(
            "no daemon answers at {} and there is no pinned map {}: SecBeat is not active on this host",
            self.api,
            path.display()
        );
        Err(Coded::unavailable(message).into())
    }
}
