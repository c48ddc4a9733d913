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
    /// Initialize a fleet: keys, certificates, nats-server config, first credentials.
    Init(Init),
    /// Add an edge or an orchestrator to the fleet and write its credentials.
    Enroll(Enroll),
    /// Remove a member from the fleet.
    Expel(Expel),
    /// List the members of the fleet.
    Members(Members),
}

#[derive(Debug, Args)]
struct Dir {
    /// Fleet folder.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    dir: Dir,
    /// Name or address of nats-server, for its certificate; members use the first one.
    #[arg(long = "host", value_name = "HOST", required = true)]
    hosts: Vec<String>,
    /// Address of nats-server [default: port 4222, on loopback if that is the host, else on all].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Folder where nats-server stores bans and audit records.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/secbeat/nats")]
    store_dir: PathBuf,
    /// Path of the folder `nats` on nats-server's host, if that is another one.
    #[arg(long, value_name = "DIR")]
    nats_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Enroll {
    /// Id of an edge, or name of an orchestrator: letters, digits, `-` and `_`.
    name: String,
    /// Add an orchestrator, which may ban.
    #[arg(long)]
    orchestrator: bool,
    #[command(flatten)]
    dir: Dir,
}

#[derive(Debug, Args)]
pub struct Expel {
    /// Name used with `enroll`.
    name: String,
    #[command(flatten)]
    dir: Dir,
}

#[derive(Debug, Args)]
pub struct Members {
    #[command(flatten)]
    dir: Dir,
    /// Output format.
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
                secbeat_daemon::say!("removed {name}; reload nats-server (SIGHUP) to close its connection");
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
                secbeat_daemon::say!("{table}");
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
            None => format!("start it with --config {}", fleet.nats_config().display()),
            Some(elsewhere) => format!(
                "copy {}/nats to {} on its host, readable by nobody else",
                self.dir.dir.display(),
                elsewhere.display()
            ),
        };
        secbeat_daemon::say!(
            "initialized a fleet in {dir}: keep that folder secret, and back it up\n\
             nats-server: {server}\n\
             orchestrator: copy {credentials} to /etc/secbeat/orchestrator.credentials on its host\n\
             edges: `secbeat-orchestrator enroll NAME` writes the credentials of each",
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
        secbeat_daemon::say!(
            "wrote {}: {install}\nreload nats-server (SIGHUP) to let it connect",
            path.display()
        );
        Ok(())
    }
}
