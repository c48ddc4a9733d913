//! `init`, `enroll`, `expel` and `members`: who is in the fleet.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use secbeat_daemon::{
    cli::{Output, print_json, table},
    credentials::Role,
};

use crate::enroll::{DEFAULT_DIR, FIRST_ORCHESTRATOR, Fleet, Founding};

/// Port of NATS.
const PORT: u16 = 4222;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Found a fleet: keys, certificates, a config for nats-server, and credentials for the first orchestrator.
    Init(Init),
    /// Take an edge or a further orchestrator into the fleet: writes the file with its credentials.
    Enroll(Enroll),
    /// Take a member out of the fleet.
    Expel(Expel),
    /// List who is in the fleet.
    Members(Members),
}

#[derive(Debug, Args)]
struct Dir {
    /// The fleet's folder.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    dir: Dir,
    /// A name or an address by which members reach nats-server; may be repeated, the first is the one that they use.
    #[arg(long = "host", value_name = "HOST", required = true)]
    hosts: Vec<String>,
    /// Where nats-server listens [default: port 4222, on loopback if that is the host, else everywhere].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where nats-server keeps bans and audit records.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/secbeat/nats")]
    store_dir: PathBuf,
    /// Where the folder `nats` will lie, if not here: nats-server's host needs nothing else of the fleet's folder.
    #[arg(long, value_name = "DIR")]
    nats_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Enroll {
    /// An edge's id, or an orchestrator's name: letters, digits, `-` and `_`.
    name: String,
    /// It is an orchestrator, which may ban.
    #[arg(long)]
    orchestrator: bool,
    #[command(flatten)]
    dir: Dir,
}

#[derive(Debug, Args)]
pub struct Expel {
    /// As it was enrolled.
    name: String,
    #[command(flatten)]
    dir: Dir,
}

#[derive(Debug, Args)]
pub struct Members {
    #[command(flatten)]
    dir: Dir,
    /// A table for people, or JSON for programs.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Command {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        match self {
            Self::Init(init) => init.execute(),
            Self::Enroll(enroll) => enroll.execute(),
            Self::Expel(Expel { name, dir }) => {
                let mut fleet = Fleet::open(&dir.dir)?;
                fleet.expel(name)?;
                println!(
                    "{name} is out of the fleet once nats-server has read its config again: send it SIGHUP"
                );
                Ok(())
            }
            Self::Members(Members { dir, output }) => {
                let fleet = Fleet::open(&dir.dir)?;
                if *output == Output::Json {
                    return print_json(&fleet.members());
                }
                let mut table = table(["NAME", "ROLE", "NKEY"]);
                for member in fleet.members() {
                    table.add_row([member.name.clone(), member.role.to_string(), member.nkey.clone()]);
                }
                println!("{table}");
                Ok(())
            }
        }
    }
}

impl Init {
    fn execute(&self) -> anyhow::Result<()> {
        let is_local = |host: &String| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let address: IpAddr = match self.hosts.iter().all(is_local) {
            true => Ipv4Addr::LOCALHOST.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        let founding = Founding {
            hosts: self.hosts.clone(),
            listen: self.listen.unwrap_or(SocketAddr::new(address, PORT)),
            store_dir: self.store_dir.clone(),
            nats_dir: self.nats_dir.clone(),
        };
        let fleet = Fleet::found(&self.dir.dir, &founding)?;
        let server = match &self.nats_dir {
            None => format!("run it with --config {}", fleet.nats_config().display()),
            Some(elsewhere) => format!(
                "copy {}/nats to {} on its host, readable by nobody else",
                self.dir.dir.display(),
                elsewhere.display()
            ),
        };
        println!(
            "founded a fleet in {dir}: keep that folder secret and safe\n\
             nats-server: {server}\n\
             orchestrator: copy {credentials} to /etc/secbeat/orchestrator.credentials on its host\n\
             edges: `secbeat-orchestrator enroll NAME` makes the credentials of each",
            dir = self.dir.dir.display(),
            credentials = fleet.credentials(FIRST_ORCHESTRATOR).display(),
        );
        Ok(())
    }
}

impl Enroll {
    fn execute(&self) -> anyhow::Result<()> {
        let (role, install) = match self.orchestrator {
            true => (
                Role::Orchestrator,
                "copy it to /etc/secbeat/orchestrator.credentials on its host",
            ),
            false => (Role::Edge, "on its host, `secbeat-edge enroll FILE` installs it"),
        };
        let path = Fleet::open(&self.dir.dir)?.enroll(&self.name, role)?;
        println!(
            "wrote {}: {install}\nnats-server lets it in once it has read its config again: send it SIGHUP",
            path.display()
        );
        Ok(())
    }
}
