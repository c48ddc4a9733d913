//! The commands of a host that is an edge of a fleet, as far as the edge can answer.

use std::{fmt, net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use secbeat_daemon::{
    api::Remote,
    cli::{Output, print_json},
    exit::{self, Coded},
    say,
};
use secbeat_edge::cli::{self as edge, ConfigFile, OnHost, Status};
use secbeat_orchestrator::cli::Order;
use serde::Serialize;

use crate::{config::Config, words::WORDS};

/// What this host is in the fleet, as far as the credentials can be read.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Member {
    edge: Option<String>,
    /// Addresses of the fleet's NATS servers.
    servers: Option<String>,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.edge, &self.servers) {
            (Some(edge), Some(servers)) => write!(f, "the edge {edge} of the fleet at {servers}"),
            _ => write!(f, "an edge of a fleet (its credentials cannot be read)"),
        }
    }
}

/// The words of these commands, as the edge takes them.
#[derive(Debug, Parser)]
#[command(name = "secbeat", version, after_help = exit::HELP)]
struct Words {
    /// The config was read by then.
    #[arg(long = "config", short = 'c', global = true, env = "SECBEAT_CONFIG")]
    _config: Option<PathBuf>,
    #[command(flatten)]
    _remote: Remote,
    #[command(subcommand)]
    command: OfMember,
}

#[derive(Debug, Subcommand)]
enum OfMember {
    #[command(flatten)]
    OnHost(Box<OnHost>),
    /// Show what this host does with packets of an address, and why.
    Why {
        address: IpAddr,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

/// What `status -o json` has.
#[derive(Serialize)]
struct Shown<'a> {
    host: &'a Status,
    fleet: &'a Member,
}

impl Member {
    /// Returns what this config makes of a host, with the credentials that it names. Not everybody may read these.
    pub(crate) fn of(config: &Config) -> Self {
        let membership = config.edge.membership().ok();
        let edge = membership.as_ref().map(|member| config.edge.edge_id(member));
        Self {
            edge: edge.and_then(Result::ok),
            servers: membership.map(|member| member.servers.to_string()),
        }
    }

    /// Says that only an orchestrator of the fleet knows.
    fn refer(&self, what: &str) -> anyhow::Error {
        Coded::unavailable(format!("{what}: this host is {self}: ask an orchestrator")).into()
    }

    /// Prints the state of the edge.
    ///
    /// # Errors
    ///
    /// Returns an error if an interface is not protected that should be, or no daemon answers.
    pub(crate) fn status(
        &self,
        file: &ConfigFile<'_>,
        service: Option<&str>,
        output: Output,
    ) -> anyhow::Result<()> {
        if service.is_some() {
            return Err(self.refer("whom the rules about a service banned"));
        }
        let host = edge::status(file)?;
        match output {
            Output::Json => print_json(&Shown {
                host: &host,
                fleet: self,
            })?,
            Output::Table => {
                say!("fleet      {self}");
                host.print();
            }
        }
        host.ensure_protected()?;
        match host.is_running() {
            true => Ok(()),
            false => Err(Coded::unavailable("the daemon does not run".to_owned()).into()),
        }
    }

    /// Carries out `order`, as far as the edge can.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out, or that only an orchestrator can.
    pub(crate) fn order(&self, order: &Order, file: &ConfigFile<'_>) -> anyhow::Result<()> {
        let only_there = match order {
            // The edge has other options for these.
            Order::Bans(_) | Order::Ban(_) | Order::Unban(_) | Order::Why(_) => return of_edge(file),
            Order::Asked(asked) => return edge::ask(file, *asked, "secbeat"),
            Order::Allowlist(command) => match command.listing() {
                Some(records) => return edge::list_allowed(file, records),
                None if command.is_of_one() => return of_edge(file),
                None => "allowlist import: a list is for the whole fleet",
            },
            Order::Replay(_) => "replay: its rules are those of the fleet",
            Order::Alerts(_) => "alerts",
            Order::Watch { .. } => "watch",
            Order::Top(_) => "top",
            Order::Rules(_) => "rules",
            Order::Import(_) => "import",
            Order::Export(_) => "export",
            Order::Findings(_) => "findings",
            Order::Audit(_) => "audit",
            Order::Notify(_) => "notify",
            Order::Feed(_) => "feed",
            Order::Dashboard(_) => "dashboard",
            Order::Report(_) => "report",
            Order::Geo(_) => "geo",
        };
        Err(self.refer(only_there))
    }

    /// Says that signatures are the fleet's matter, but for trials of one's own.
    pub(crate) fn signatures(&self) -> anyhow::Error {
        self.refer("signatures")
    }

    /// Says that the API which takes tokens is the orchestrators'.
    pub(crate) fn tokens(&self) -> anyhow::Error {
        self.refer("token")
    }
}

/// Carries out what the edge has under the same name.
fn of_edge(file: &ConfigFile<'_>) -> anyhow::Result<()> {
    match exit::parse_arguments::<Words>(WORDS).command {
        OfMember::OnHost(command) => command.execute(file),
        OfMember::Why { address, output } => edge::test(file, address, output),
    }
}
