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
/// Port at which the servers of a cluster reach each other.
const CLUSTER_PORT: u16 = 6222;

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
    /// Name or address of nats-server, for its certificate; members use the first one. With --replicas, one per server.
    #[arg(long = "host", value_name = "HOST", required_unless_present = "renew")]
    hosts: Vec<String>,
    /// Make new certificates for a fleet that is there; all members stay connected and enrolled.
    #[arg(long, conflicts_with_all = ["hosts", "replicas", "listen", "nats_dir"])]
    renew: bool,
    /// Number of nats-servers that keep everything, each on a host of its own: 1, 3 or 5.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    replicas: usize,
    /// Port on which the servers of a cluster listen to each other.
    #[arg(long, value_name = "PORT", default_value_t = CLUSTER_PORT, requires = "replicas")]
    cluster_port: u16,
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
    /// Make new credentials for a member that is there; its earlier key is let in until --retire.
    #[arg(long, conflicts_with_all = ["orchestrator", "retire"])]
    renew: bool,
    /// No longer let in the earlier key of a member, which has its new credentials.
    #[arg(long, conflicts_with = "orchestrator")]
    retire: bool,
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
                secbeat_daemon::say!("removed {name}; {} to close its connection", reload(&fleet));
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
        if self.renew {
            return self.renew();
        }
        let is_local = |host: &String| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let address: IpAddr = match self.hosts.iter().all(is_local) {
            true => Ipv4Addr::LOCALHOST.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        let founding = Founding {
            hosts: self.hosts.clone(),
            servers: self.replicas,
            cluster_port: self.cluster_port,
            listen: self.listen.unwrap_or(SocketAddr::new(address, PORT)),
            store_dir: self.store_dir.clone(),
            nats_dir: self.nats_dir.clone(),
        };
        let fleet = Fleet::found(&self.dir.dir, &founding)?;
        let server = match &self.nats_dir {
            _ if self.replicas > 1 => self.how_to_start(&fleet),
            None => format!("start it with --config {}", fleet.nats_configs()[0].display()),
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

impl Init {
    fn renew(&self) -> anyhow::Result<()> {
        let fleet = Fleet::open(&self.dir.dir)?;
        fleet.renew()?;
        let servers = match fleet.nats_configs().as_slice() {
            [_] => "reload nats-server (SIGHUP)".to_owned(),
            configs => format!(
                "copy the *.pem, server.key and users.conf of each of the {} NATS servers to its host, and reload them (SIGHUP) one by one",
                configs.len()
            ),
        };
        secbeat_daemon::say!(
            "made new certificates in {}: {servers}\nmembers take them as they are; `enroll --renew NAME` gives one new credentials",
            self.dir.dir.display()
        );
        Ok(())
    }

    /// Where the folder of each server goes.
    fn how_to_start(&self, fleet: &Fleet) -> String {
        let place = self.nats_dir.clone().unwrap_or_else(|| self.dir.dir.join("nats"));
        let folders = fleet.nats_configs();
        let folders = folders.iter().filter_map(|config| config.parent());
        let lines = folders.zip(&self.hosts).map(|(folder, host)| {
            format!(
                "\n  {host}: copy {} to {}, readable by nobody else",
                folder.display(),
                place.display()
            )
        });
        format!(
            "one on each host, all with --config {}/nats-server.conf{}",
            place.display(),
            lines.collect::<String>()
        )
    }
}

/// What makes the change of a roster known to the servers.
fn reload(fleet: &Fleet) -> String {
    match fleet.nats_configs().as_slice() {
        [_] => "reload nats-server (SIGHUP)".to_owned(),
        configs => format!(
            "copy users.conf from the folder of each of the {} NATS servers to its host, and reload them (SIGHUP)",
            configs.len()
        ),
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
        let mut fleet = Fleet::open(&self.dir.dir)?;
        if self.retire {
            fleet.retire(&self.name)?;
            secbeat_daemon::say!(
                "the earlier key of {} ends; {} to end it",
                self.name,
                reload(&fleet)
            );
            return Ok(());
        }
        if self.renew {
            return self.renew(fleet);
        }
        let path = fleet.enroll(&self.name, role)?;
        secbeat_daemon::say!(
            "wrote {}: {install}\n{} to let it connect",
            path.display(),
            reload(&fleet)
        );
        Ok(())
    }

    fn renew(&self, mut fleet: Fleet) -> anyhow::Result<()> {
        let (path, role) = fleet.renew_member(&self.name)?;
        let install = match role {
            Role::Edge => "on its host, `secbeat-edge enroll --replace FILE` installs it",
            Role::Orchestrator => "copy it to /etc/secbeat/orchestrator.credentials on its host",
        };
        secbeat_daemon::say!(
            "wrote new credentials to {path}\n\
             1. {reload}: the new key is let in beside the earlier one\n\
             2. {install}; restart the daemon\n\
             3. `secbeat-orchestrator enroll --retire {name}` ends the earlier key",
            path = path.display(),
            reload = reload(&fleet),
            name = self.name,
        );
        Ok(())
    }
}
