//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use secbeat_daemon::{
    api::Remote,
    cli::{Asked, Generate, Output, Records},
    complain, exit,
};
use secbeat_edge::cli::{self as edge, ConfigFile, Local, OwnSignature, Trial};
use secbeat_orchestrator::{
    cli::{self as orchestrator, Order, SignatureOrder, TokenCommand},
    view::{DisabledView, SignatureView},
};

use crate::{
    config::{self, File},
    doctor::Doctor,
    fleet::{Join, Leave, Member},
    migrate::Migrate,
    setup::Setup,
    status,
};

/// SecBeat on one host: bans abusive clients in the kernel, by the logs and the proxy of this host.
#[derive(Debug, Parser)]
#[command(name = "secbeat", version, after_help = exit::HELP_WITH_DOCTOR)]
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
    Join(Join),
    Leave(Leave),
    /// Show what is protected, what was dropped, and what the detector does.
    Status {
        /// Only this service, such as sshd or nginx: its logs, whom its rules banned, and whether the kernel has these bans.
        service: Option<String>,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    #[command(visible_alias = "check")]
    Doctor(Doctor),
    Migrate(Migrate),
    #[command(flatten)]
    Order(Order),
    #[command(flatten)]
    Local(Local),
    /// Show what signatures recognised, check or try them, publish some, and disable some.
    #[command(subcommand)]
    Signatures(Signatures),
    /// Manage tokens for the REST API.
    #[command(subcommand)]
    Token(TokenCommand),
    #[command(flatten)]
    Generate(Generate),
}

/// What both daemons have of signatures.
#[derive(Debug, Subcommand)]
pub enum Signatures {
    /// List the signatures, with their hits, their bans, and the bans that were lifted.
    List(Records),
    #[command(flatten)]
    Trial(Trial),
    #[command(flatten)]
    Order(SignatureOrder),
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

    /// The orchestrator's part of the config, or the defaults where none was named and there is none, or where it is wrong: who has spoiled
    /// the file must still be able to look and to unban.
    fn orchestrator_config(&self) -> anyhow::Result<secbeat_orchestrator::config::Config> {
        let path = self.config_path();
        if self.config.is_none() && !path.exists() {
            return Ok(secbeat_orchestrator::config::Config::default());
        }
        match config::Config::load_orchestrator(path) {
            Ok(config) => Ok(config),
            Err(error) if !path.exists() => Err(error.into()),
            Err(error) => {
                complain!("warning: {error}; going on with the usual place of the daemon's API");
                Ok(secbeat_orchestrator::config::Config::api_of(path))
            }
        }
    }

    /// Whether the config, as far as it can be read, makes this host an edge of a fleet.
    #[must_use]
    pub fn is_in_fleet(&self) -> bool {
        config::is_in_fleet(self.config_path())
    }

    /// Returns what this host is in the fleet, if it is an edge of one.
    fn member(&self) -> anyhow::Result<Option<Member>> {
        if !self.is_in_fleet() {
            return Ok(None);
        }
        Ok(Some(match config::Config::load(self.config_path()) {
            Ok(config) => Member::of(&config),
            Err(error) => {
                complain!("warning: {error}");
                Member::default()
            }
        }))
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
            Command::Join(join) => join.execute(self.config_path(), &self.remote),
            Command::Leave(leave) => leave.execute(self.config_path()),
            Command::Status { service, output } => {
                if let Some(member) = self.member()? {
                    return member.status(&self.edge_file(), service.as_deref(), *output);
                }
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
            Command::Order(order) => match self.member()? {
                Some(member) => member.order(order, &self.edge_file()),
                None => {
                    // Each part of the process has its own.
                    if let Order::Asked(asked @ Asked::Metrics) = order
                        && !self.remote.is_named()
                    {
                        edge::ask(&self.edge_file(), *asked, config::ORDERS.name)?;
                    }
                    order.execute(&self.remote, &self.orchestrator_config()?, config::ORDERS)?;
                    // Static lists are known to the kernel alone.
                    if let Some(address) = order.asks_why().filter(|_| !self.remote.is_named())
                        && let Ok(told) = edge::tested(&self.edge_file(), address)
                    {
                        secbeat_daemon::say!("\n{told}");
                    }
                    if order.tells_of_bans()
                        && !self.remote.is_named()
                        && let Ok(Some(why)) = edge::leak(&self.edge_file(), "secbeat")
                    {
                        complain!("secbeat: {why}");
                    }
                    Ok(())
                }
            },
            Command::Local(local) => local.execute(&self.edge_file()),
            Command::Signatures(signatures) => self.signatures(signatures),
            Command::Token(command) => match self.member()? {
                Some(member) => Err(member.tokens()),
                None => command.execute(),
            },
            Command::Generate(generate) => generate.run::<Self, File>(),
        }
    }

    fn signatures(&self, signatures: &Signatures) -> anyhow::Result<()> {
        if !matches!(signatures, Signatures::Trial(_))
            && let Some(member) = self.member()?
        {
            return Err(member.signatures());
        }
        match signatures {
            Signatures::List(records) => {
                let own = self.edge_file().own_signatures()?;
                let config = self.orchestrator_config()?;
                orchestrator::list_signatures(&self.remote, &config, records, |views| complete(views, own))
            }
            Signatures::Trial(trial) => trial.execute(&self.edge_file()),
            Signatures::Order(order) => order.execute(&self.remote, &self.orchestrator_config()?),
        }
    }
}

/// Adds to `views` what this host's files say of its `own` signatures.
fn complete(views: &mut Vec<SignatureView>, own: Vec<OwnSignature>) {
    for own in own {
        let disabled = own.disabled.filter(|by| by.starts_with("by the config"));
        let disabled = disabled.map(|_| DisabledView {
            note: "[signatures]".to_owned(),
            by: "the config".to_owned(),
            at: String::new(),
        });
        let at = views.binary_search_by(|view| view.id.cmp(&own.id));
        let view = match at {
            Ok(at) => views.get_mut(at),
            Err(at) => {
                views.insert(at, SignatureView::unmet(own.id));
                views.get_mut(at)
            }
        };
        if let Some(view) = view {
            if view.title.is_empty() {
                view.title = own.title;
                own.class.clone_into(&mut view.class);
                own.severity.clone_into(&mut view.severity);
            }
            view.disabled = view.disabled.take().or(disabled);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn words_of_other_programs_lead_to_commands_that_exist() {
        use secbeat_daemon::cli::words::{EVERYWHERE, FIREWALL, untrue};
        assert_eq!(untrue::<Cli>(crate::words::WORDS), [""; 0]);
        assert_eq!(untrue::<Cli>(FIREWALL), [""; 0]);
        assert_eq!(untrue::<Cli>(EVERYWHERE), [""; 0]);
    }

    /// Both daemons' commands have names of their own.
    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn signatures_of_this_host_are_listed_with_those_that_the_daemon_knows() {
        let mut known = SignatureView::unmet("env-file".to_owned());
        known.hits = 3;
        known.title = "Environment file".to_owned();
        let mut met = SignatureView::unmet("mine".to_owned());
        met.hits = 2;
        let mut views = vec![known.clone(), met];
        let own = |id: &str, disabled: Option<&str>| OwnSignature {
            id: id.to_owned(),
            title: "Mine".to_owned(),
            class: "other",
            severity: "low",
            disabled: disabled.map(str::to_owned),
        };
        complete(
            &mut views,
            vec![
                own("env-file", None),
                own("mine", None),
                own("new", Some("by the config")),
            ],
        );
        let [first, mine, new] = &views[..] else {
            panic!("{views:?}");
        };
        assert_eq!(*first, known);
        assert_eq!((mine.title.as_str(), mine.hits), ("Mine", 2));
        assert_eq!((new.title.as_str(), new.hits), ("Mine", 0));
        assert_eq!(new.disabled.as_ref().unwrap().by, "the config");
    }
}
