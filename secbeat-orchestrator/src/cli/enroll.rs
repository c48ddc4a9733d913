//! `init`, `enroll`, `expel` and `members`: who is in the fleet.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use secbeat_daemon::{
    cli::{Output, print_json, table},
    credentials::Role,
};

use crate::enroll::{DEFAULT_DIR, FIRST_ORCHESTRATOR, Fleet, Founding, check_name};

/// New members that are named at the end.
const NAMED: usize = 10;
/// Port of NATS.
const PORT: u16 = 4222;
/// Port at which the servers of a cluster reach each other.
const CLUSTER_PORT: u16 = 6222;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Initialize a fleet: keys, certificates, nats-server config, first credentials.
    Init(Init),
    /// Add edges or orchestrators to the fleet and write the credentials of each.
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
    /// Names of edges or orchestrators: letters, digits, `-` and `_`.
    #[arg(value_name = "NAME", required_unless_present = "file")]
    names: Vec<String>,
    /// File with further names, one per line, or `-` for standard input; `#` begins a comment. Members stay as they are.
    #[arg(long, visible_alias = "from", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Add orchestrators, which may ban.
    #[arg(long)]
    orchestrator: bool,
    /// Make new credentials for members that are there; the earlier key of each is let in until --retire.
    #[arg(long, conflicts_with_all = ["orchestrator", "retire", "file"])]
    renew: bool,
    /// Revoke the earlier key of members that use their new one.
    #[arg(long, conflicts_with_all = ["orchestrator", "file"])]
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
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
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
                "copy {}/nats to {} on its host, readable by its owner only",
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

    /// Returns how to start the servers, and where the folder of each goes.
    fn how_to_start(&self, fleet: &Fleet) -> String {
        let place = self.nats_dir.clone().unwrap_or_else(|| self.dir.dir.join("nats"));
        let folders = fleet.nats_configs();
        let folders = folders.iter().filter_map(|config| config.parent());
        let lines = folders
            .zip(&self.hosts)
            .map(|(folder, host)| match folder == place {
                true => format!(
                    "\n  {host}: {} is there already, if this is its host",
                    folder.display()
                ),
                false => format!(
                    "\n  {host}: copy {} to {}, readable by its owner only",
                    folder.display(),
                    place.display()
                ),
            });
        format!(
            "one on each host, all with --config {}/nats-server.conf{}",
            place.display(),
            lines.collect::<String>()
        )
    }
}

/// Returns what makes the change of a roster known to the servers.
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
            false => (
                Role::Edge,
                "on its host, `secbeat-edge enroll FILE` or `secbeat join FILE` installs it",
            ),
        };
        let mut fleet = Fleet::open(&self.dir.dir)?;
        if self.retire {
            for name in &self.names {
                fleet.retire(name)?;
                secbeat_daemon::say!("the earlier key of {name} ends; {} to end it", reload(&fleet));
            }
            return Ok(());
        }
        if self.renew {
            let mut names = self.names.iter();
            return names.try_for_each(|name| Self::renew(&mut fleet, name));
        }
        let listed = self.listed()?;
        let (there, listed): (Vec<_>, Vec<_>) = listed
            .iter()
            .map(String::as_str)
            .partition(|name| fleet.members().iter().any(|member| member.name == *name));
        let mut names: Vec<_> = self.names.iter().map(String::as_str).collect();
        names.extend(listed);
        if !there.is_empty() {
            secbeat_daemon::say!("already members, and left as they are: {}", there.join(" "));
        }
        fleet.enroll_all(&names, role)?;
        for name in &names {
            secbeat_daemon::say!("wrote {}: {install}", fleet.credentials(name).display());
        }
        if !names.is_empty() {
            let whom = match names.as_slice() {
                few if few.len() <= NAMED => few.join(" "),
                many => format!("these {}", many.len()),
            };
            secbeat_daemon::say!("{} to let {whom} connect", reload(&fleet));
        }
        Ok(())
    }

    /// The names in the file.
    fn listed(&self) -> anyhow::Result<Vec<String>> {
        let Some(file) = &self.file else {
            return Ok(Vec::new());
        };
        let text = match file.as_os_str() == "-" {
            true => io::read_to_string(io::stdin()).context("reading standard input")?,
            false => fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        };
        let lines = (1..).zip(text.trim_start_matches('\u{feff}').lines());
        let names = lines.map(|(line, text)| (line, text.split('#').next().unwrap_or_default().trim()));
        let mut listed: Vec<String> = Vec::new();
        for (line, name) in names.filter(|(_, name)| !name.is_empty()) {
            let place = || format!("{}:{line}: no edge was enrolled", file.display());
            check_name(name).with_context(place)?;
            let is_new = !listed.iter().any(|known| known == name);
            ensure!(is_new, "{}: {name} is named twice", place());
            listed.push(name.to_owned());
        }
        ensure!(!listed.is_empty(), "{} names no edge", file.display());
        Ok(listed)
    }

    fn renew(fleet: &mut Fleet, name: &str) -> anyhow::Result<()> {
        let (path, role) = fleet.renew_member(name)?;
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
            reload = reload(fleet),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn a_file_of_names_is_enrolled_again_with_what_is_new_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (dir, hosts) = (path("fleet"), path("hosts"));
        let run = |words: &[&str]| {
            let line = ["secbeat-orchestrator"].iter().chain(words);
            let line = Line::try_parse_from(line.copied().chain(["--dir", &dir])).unwrap();
            line.command.execute().map_err(|error| format!("{error:#}"))
        };
        let members = || Fleet::open(dir.as_ref()).unwrap().members().len();
        run(&["init", "--host", "localhost"]).unwrap();
        fs::write(&hosts, "# the web servers\nweb-1\n\n web-2 # in Oslo\n").unwrap();
        run(&["enroll", "--file", &hosts]).unwrap();
        assert_eq!(members(), 3);
        fs::write(&hosts, "web-1\nweb-2\nweb-3\n").unwrap();
        run(&["enroll", "web-4", "--file", &hosts]).unwrap();
        assert_eq!(members(), 5);
        fs::write(&hosts, "web-5\nweb.6\n").unwrap();
        let error = run(&["enroll", "--file", &hosts]).unwrap_err();
        let at = format!("{hosts}:2: no edge was enrolled: invalid name `web.6`");
        assert!(error.starts_with(&at), "{error}");
        for (names, said) in [
            ("# none\n", "names no edge"),
            ("web-6\nweb-6\n", "web-6 is named twice"),
        ] {
            fs::write(&hosts, names).unwrap();
            let error = run(&["enroll", "--from", &hosts]).unwrap_err();
            assert!(error.ends_with(said), "{error}");
        }
        assert_eq!(members(), 5);
        fs::write(&hosts, "\u{feff}web-5\r\n").unwrap();
        run(&["enroll", "--from", &hosts]).unwrap();
        assert_eq!(members(), 6);
        run(&["enroll", "--renew", "web-1", "web-2"]).unwrap();
        run(&["enroll", "--retire", "web-1", "web-2"]).unwrap();
    }
}
