//! The command line: what runs the daemon is in [`crate::app`], everything else is here.
//!
//! None needs the daemon: where it does not run, the pinned maps are read and written.

mod allowed;
mod allowlist;
mod bans;
mod check;
mod enroll;
mod explain;
mod filter;
mod health;
mod mode;
mod on_host;
mod self_test;
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
    sync::Once,
};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use secbeat_common::{maps, sign::Trust};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Asked, Generate, Output, Records},
    config::{HumanDuration, load_part},
    exit::{self, Coded},
    program,
    protect::Known,
};
use secbeat_edge_core::FilterMode;
use serde::Deserialize;

pub use self::{
    check::{Finding, Installed, State, look_at_host},
    on_host::{Allowed, OnHost, allowed, ask, banned_in_kernel, leak, list_allowed, status, test, tested},
    signatures::{OwnSignature, Trial},
    status::Status,
    words::WORDS,
};
use crate::{
    config::{self, Config, Part},
    kernel::{DETACHED, ObjectSource, Pins, Selection},
    local_allowlist::LocalAllowlistFile,
    notes::Notes,
    signatures::{FleetFile, SignaturesConfig, Sought},
    sources::service_log::Filters,
    view::StatsView,
};

/// SecBeat's edge agent: reports HTTP responses and drops packets of banned clients in the kernel.
#[derive(Debug, Parser)]
#[command(name = "secbeat-edge", version, after_help = exit::HELP)]
pub struct Cli {
    /// Config file [default: /etc/secbeat/edge.toml].
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
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Show interfaces, dropped packets, and the state of the daemon.
    Status {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    #[command(flatten)]
    Bans(OnHost),
    #[command(flatten)]
    Local(Local),
    /// List, check or try signatures: what single requests give away.
    #[command(subcommand)]
    Signatures(signatures::Signatures),
    Enroll(enroll::Enroll),
    #[command(flatten)]
    Asked(Asked),
    #[command(flatten)]
    Generate(Generate),
}

/// Commands about this host alone, which `secbeat` has as well.
#[derive(Debug, Subcommand)]
pub enum Local {
    /// List the allowlisted addresses of this host, and why.
    Allowed(Records),
    /// Ask the kernel what it does with a packet of an address, and show why; without an address, test it with a ban of a second.
    Test(verdict::Test),
    /// Show the mode, or switch it until the next start.
    Mode {
        /// `enforce` drops banned packets; `observe` counts them and lets them pass.
        mode: Option<FilterMode>,
        /// Switch this interface alone. Nothing is enforced anywhere while the whole host observes.
        #[arg(long, requires = "mode")]
        interface: Option<String>,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Show how each line of an access log is read, or why it is not understood.
    Explain(explain::Args),
    Filter(filter::Args),
    /// Kill switch: detach the XDP program from all interfaces and remove all bans, until `attach`.
    Detach {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Undo `detach`: a running daemon attaches at once, otherwise the next start does.
    Attach {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

/// Where the edge's config is, and what holds without one.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFile<'a> {
    /// The one that was named.
    pub named: Option<&'a Path>,
    pub default: &'a Path,
    /// What of the file is the edge's; all of it unless said.
    pub part: Option<Part>,
    /// Address of the API without a config.
    pub api: SocketAddr,
    /// Where state is without a config.
    pub state_dir: &'a Path,
}

/// What a config that is wrong elsewhere says of places.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidOfPlaces {
    api_listen: Option<SocketAddr>,
    api_socket: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    kernel: SaidOfKernel,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidOfKernel {
    pin_dir: Option<PathBuf>,
}

impl SaidOfPlaces {
    const KEYS: [&str; 4] = ["api_listen", "api_socket", "state_dir", "kernel"];
}

impl<'a> ConfigFile<'a> {
    /// The config; `None` where none was named and there is none at the usual place.
    fn load(&self) -> anyhow::Result<Option<Config>> {
        let path = self.path();
        if self.named.is_none() && !path.exists() {
            return Ok(None);
        }
        Ok(Some(match self.part {
            None => Config::load(path)?,
            Some(part) => Config::load_part(path, part)?,
        }))
    }

    /// Returns where the config is, or would be.
    fn path(&self) -> &'a Path {
        self.named.unwrap_or(self.default)
    }

    /// Returns where the daemon's API and the pins are, and whom to protect: from the config if there is one, else the defaults.
    fn places(&self) -> anyhow::Result<Places> {
        match self.load() {
            Ok(Some(config)) => Ok(Places::of(&config)),
            Ok(None) => Ok(self.usual_places()),
            // A name with a slip is not a wrong config.
            Err(error) if !self.path().exists() => Err(error),
            Err(error) => Ok(self.places_in_need(&error)),
        }
    }

    fn usual_places(&self) -> Places {
        Places {
            api: self.api,
            socket: config::default_socket().find(config::PROGRAM),
            pins: Pins::at(Path::new(maps::DEFAULT_PIN_DIR)),
            interfaces: None,
            detached: self.state_dir.join(DETACHED),
            known: Known::default(),
            max_ban: config::Bans::default().max_duration,
            notes: Notes::in_folder(self.state_dir),
            allowlist: LocalAllowlistFile::in_folder(self.state_dir),
            is_guessed: false,
        }
    }

    /// Of a config that is wrong, what it says of places, else the usual ones: who has spoiled the file must still be able to look, to unban
    /// and to detach.
    fn places_in_need(&self, error: &anyhow::Error) -> Places {
        // Some commands ask for places more than once.
        static WARNED: Once = Once::new();
        let mut places = self.usual_places();
        places.is_guessed = true;
        let said: SaidOfPlaces =
            load_part(self.path(), |key| SaidOfPlaces::KEYS.contains(&key)).unwrap_or_default();
        if let Some(pins) = said.kernel.pin_dir {
            places.pins = Pins::at(&pins);
        }
        if let Some(state) = said.state_dir {
            places.detached = state.join(DETACHED);
            places.notes = Notes::in_folder(&state);
            places.allowlist = LocalAllowlistFile::in_folder(&state);
        }
        if let Some(socket) = said.api_socket {
            places.socket = Some(socket).filter(|socket| !socket.as_os_str().is_empty());
        }
        places.api = said.api_listen.unwrap_or(places.api);
        WARNED.call_once(|| {
            secbeat_daemon::complain!(
                "warning: {error:#}; going on with the daemon at {} and the pins in {}",
                match &places.socket {
                    Some(socket) => socket.display().to_string(),
                    None => places.api.to_string(),
                },
                places.pins.dir().display()
            )
        });
        places
    }

    /// Returns where filters are: the usual folder without a config.
    fn filters(&self) -> anyhow::Result<Filters> {
        let config = self.load()?;
        Ok(config.map_or_else(
            || Filters(config::default_filters_dir()),
            |config| config.filters(),
        ))
    }

    /// Returns which signatures are looked for: as the config says if there is one, else the default; and as the fleet says, as
    /// far as the daemon has heard.
    fn signatures(&self) -> anyhow::Result<Sought> {
        let (config, state_dir) = match self.load()? {
            Some(config) => (config.signatures, config.state_dir),
            None => (SignaturesConfig::default(), self.state_dir.to_owned()),
        };
        // Only the daemon writes there, and it has looked whose it is.
        let fleet = FleetFile::in_folder(&state_dir).read(&Trust::default());
        let fleet = fleet.unwrap_or_else(|error| {
            secbeat_daemon::complain!("what the fleet published of signatures is left out: {error}");
            None
        });
        Ok(Sought { config, fleet })
    }

    /// The signatures of this host.
    ///
    /// # Errors
    ///
    /// Returns an error if the config cannot be used.
    pub fn own_signatures(&self) -> anyhow::Result<Vec<OwnSignature>> {
        Ok(signatures::own(&self.signatures()?))
    }
}

impl Local {
    /// Carries it out.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self, file: &ConfigFile<'_>) -> anyhow::Result<()> {
        match self {
            Self::Allowed(records) => allowed::list(&file.places()?, records),
            Self::Test(test) => test.run(&file.places()?),
            Self::Mode {
                mode,
                interface,
                output,
            } => mode::run(&file.places()?, *mode, interface.as_deref(), *output),
            Self::Explain(args) => {
                let logs = file.load()?.map(explain::Logs::of).unwrap_or_default();
                explain::run(
                    args,
                    &file.filters()?,
                    &file.signatures().unwrap_or_default(),
                    &logs,
                )
            }
            Self::Filter(args) => filter::run(args, &file.filters()?),
            Self::Detach { output } => {
                let places = file.places().unwrap_or_else(|error| file.places_in_need(&error));
                switch::detach(&places, *output)
            }
            Self::Attach { output } => switch::attach(&file.places()?, *output),
        }
    }
}

impl Trial {
    /// Carries it out.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self, file: &ConfigFile<'_>) -> anyhow::Result<()> {
        self.run(&file.signatures()?)
    }
}

impl Cli {
    /// The config file to run with.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH))
    }

    fn file(&self) -> ConfigFile<'_> {
        ConfigFile {
            named: self.config.as_deref(),
            default: Path::new(config::DEFAULT_PATH),
            part: None,
            api: config::default_api(),
            state_dir: Path::new(config::DEFAULT_STATE_DIR),
        }
    }

    fn places(&self) -> anyhow::Result<Places> {
        self.file().places()
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
            Command::Bans(bans) => bans.execute(&self.file()),
            Command::Local(local) => local.execute(&self.file()),
            Command::Signatures(signatures) => signatures.run(&self.file().signatures()?),
            Command::Asked(asked) => ask(&self.file(), *asked, config::PROGRAM),
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
    /// What this host's operators allowlist at run time.
    allowlist: LocalAllowlistFile,
    /// Whether there is a config that cannot be read, so that nobody knows whom it protects.
    is_guessed: bool,
}

impl Places {
    fn of(config: &Config) -> Self {
        Self {
            api: config.api_listen,
            socket: config.api_socket(),
            pins: Pins::at(&config.kernel.pin_dir),
            interfaces: Some(config.interfaces()),
            detached: config.detached_marker(),
            known: config.known(&config.nats.servers()),
            max_ban: config.bans.max_duration,
            notes: Notes::in_folder(&config.state_dir),
            allowlist: LocalAllowlistFile::in_folder(&config.state_dir),
            is_guessed: false,
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
        let (program, path) = (program::of_host(), path.display());
        let message = if self.detached.exists() {
            bail!(
                "there is no pinned map {path}: detached by `{program} detach`; `{program} attach` undoes that"
            )
        } else if self.api().get::<StatsView>("/api/v1/stats").is_ok() {
            bail!("the daemon answers, and there is no pinned map {path}: `{program} status` says why")
        } else {
            format!(
                "no daemon answers at {} and there is no pinned map {path}: SecBeat is not active on this host",
                self.api
            )
        };
        Err(Coded::unavailable(message).into())
    }
}
