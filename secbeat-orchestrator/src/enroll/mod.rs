//! Makes a fleet that trusts nobody by accident: keys, certificates, a config of nats-server, and one file with credentials
//! for each member. All of it lies in one folder, which belongs on one machine and into its backup.
//!
//! * `authority`: the certificate authority of the bus, and its server's certificate.
//! * `roster`: who is a member.
//! * `permissions`: what each may do on the bus.
//! * `renewal`: new certificates and keys for a fleet that is there.
//! * `nats_config`: the server's config.

mod authority;
mod nats_config;
mod permissions;
mod renewal;
mod roster;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, Permissions},
    net::{IpAddr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use nix::unistd::{Group, chown, geteuid};
use nkeys::KeyPair;
use secbeat_common::{sign::SecretKey, subjects};
use secbeat_daemon::credentials::{Credentials, Role, Secret, write_private};

pub(crate) use self::roster::Member;
use self::{authority::Authority, roster::Roster};

/// Default path of the folder.
pub(crate) const DEFAULT_DIR: &str = "/etc/secbeat/fleet";
/// The orchestrator that `init` enrolls.
pub(crate) const FIRST_ORCHESTRATOR: &str = "orchestrator-1";

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SIGNING_KEY: &str = "signing.key";
const ROSTER: &str = "roster.toml";
const CREDENTIALS: &str = "credentials";
/// The folder of the first server; that of the second is `nats-2`.
const NATS: &str = "nats";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
const NATS_CONFIG: &str = "nats-server.conf";
const NATS_USERS: &str = "users.conf";

/// As whom nats-server and the orchestrator run.
const GROUP: &str = "secbeat";

/// What a new fleet is told.
#[derive(Clone, Debug)]
pub(crate) struct Founding {
    /// Names and addresses under which members reach the server, the one that they use first. Of a cluster, one for each server.
    pub hosts: Vec<String>,
    /// Of how many servers; 1 is none.
    pub servers: usize,
    /// Address at which the server listens.
    pub listen: SocketAddr,
    /// Port at which the servers of a cluster listen to each other.
    pub cluster_port: u16,
    /// Folder for what it stores.
    pub store_dir: PathBuf,
    /// Where it finds the folder `nats`, if that is carried elsewhere.
    pub nats_dir: Option<PathBuf>,
}

/// The folder of a fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    dir: PathBuf,
    roster: Roster,
}

/// Checks that a member can have this name.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    ensure!(
        subjects::is_token(name),
        "invalid name `{name}`: use up to 64 letters, digits, `-` and `_`"
    );
    Ok(())
}

impl Fleet {
    /// Makes a fleet with one orchestrator in `dir`, which must not exist or be empty.
    ///
    /// # Errors
    ///
    /// When something is there, or cannot be written.
    pub(crate) fn found(dir: &Path, founding: &Founding) -> anyhow::Result<Self> {
        let shown = dir.display();
        let is_empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
        ensure!(is_empty, "{shown} is not empty: a fleet is founded once");
        ensure!(
            !founding.hosts.is_empty(),
            "no host by which members reach the server"
        );
        let servers = servers(founding)?;
        // nats-server, which need not be root, finds its own folder in the first.
        let folders = [(dir.to_owned(), 0o711), (dir.join(CREDENTIALS), 0o700)];
        let of_servers = (0..servers.len()).map(|index| (dir.join(nats_folder(index)), 0o750));
        for (folder, mode) in folders.into_iter().chain(of_servers) {
            let made = DirBuilder::new().recursive(true).mode(mode).create(&folder);
            made.with_context(|| format!("making the folder {}", folder.display()))?;
        }
        let authority = Authority::new().context("making a certificate authority")?;
        let signing = SecretKey::generate()?;
        for (name, text) in [
            (CA, authority.certificate()),
            (CA_KEY, &authority.key()),
            (SIGNING_KEY, &format!("{}\n", signing.reveal())),
        ] {
            write_private(&dir.join(name), text.as_bytes(), false)?;
        }
        // The server looks for certificates where it was started, not beside its config. Each of a cluster has its folder on a host
        // of its own, at the same place.
        let nats = match &founding.nats_dir {
            Some(elsewhere) => elsewhere.clone(),
            None => fs::canonicalize(dir.join(NATS)).with_context(|| format!("finding {shown}"))?,
        };
        for (index, server) in servers.iter().enumerate() {
            let folder = dir.join(nats_folder(index));
            give_to_server(&folder)?;
            let config = nats_config::server(founding, server, &servers, &nats);
            write_for_server(&folder.join(NATS_CONFIG), &config, false)?;
            certify(&authority, &folder, &server.names)?;
        }
        let url = |server: &Server| format!("tls://{}:{}", in_url(&server.host), founding.listen.port());
        let mut fleet = Self {
            dir: dir.to_owned(),
            roster: Roster::new(servers.iter().map(url).collect()),
        };
        fleet.enroll(FIRST_ORCHESTRATOR, Role::Orchestrator)?;
        Ok(fleet)
    }

    /// The fleet in `dir`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, or its roster cannot be read.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let roster = dir.join(ROSTER);
        ensure!(
            roster.exists(),
            "{} is not the folder of a fleet: `secbeat-orchestrator init` makes one",
            dir.display()
        );
        Ok(Self {
            dir: dir.to_owned(),
            roster: Roster::load(&roster)?,
        })
    }

    /// Takes a member in and writes its credentials. Returns where they are.
    ///
    /// # Errors
    ///
    /// Returns an error if there is one of that name, or something cannot be written.
    pub(crate) fn enroll(&mut self, name: &str, role: Role) -> anyhow::Result<PathBuf> {
        self.enroll_all(&[name], role)?;
        Ok(self.credentials(name))
    }

    /// Takes members in, or none of them, and writes the credentials of each.
    ///
    /// # Errors
    ///
    /// Returns an error if a name is invalid, taken, or there twice, or something cannot be written.
    pub(crate) fn enroll_all(&mut self, names: &[&str], role: Role) -> anyhow::Result<()> {
        let mut seen = HashSet::new();
        for name in names {
            check_name(name)?;
            if let Some(member) = self.roster.member(name) {
                bail!(
                    "{name} is a member already, as an {}; `expel` it first",
                    member.role
                );
            }
            ensure!(seen.insert(name), "{name} is named twice");
        }
        let before = self.roster.members.len();
        let enrolled = names.iter().try_for_each(|name| self.add(name, role));
        // The members' keys are told to the servers once, at the end.
        let enrolled = enrolled.and_then(|()| self.save());
        if enrolled.is_err() {
            for member in self.roster.members.split_off(before) {
                drop(fs::remove_file(self.credentials(&member.name)));
            }
        }
        enrolled
    }

    fn add(&mut self, name: &str, role: Role) -> anyhow::Result<()> {
        let user = KeyPair::new_user();
        self.write_credentials(name, role, &user, false)?;
        self.roster.members.push(Member {
            name: name.to_owned(),
            role,
            nkey: user.public_key(),
            retiring: None,
        });
        Ok(())
    }

    fn write_credentials(
        &self,
        name: &str,
        role: Role,
        user: &KeyPair,
        replace: bool,
    ) -> anyhow::Result<PathBuf> {
        let signing: SecretKey = self
            .read(SIGNING_KEY)?
            .parse()
            .with_context(|| self.shown(SIGNING_KEY))?;
        let credentials = Credentials {
            role,
            name: name.to_owned(),
            url: self.roster.url.clone(),
            urls: self.roster.urls.clone(),
            nkey: Secret(
                user.seed()
                    .map_err(|error| anyhow::anyhow!("a new nkey: {error}"))?,
            ),
            ca: Some(self.read(CA)?),
            trusted_keys: vec![signing.public().to_string()],
            signing_key: (role == Role::Orchestrator).then(|| Secret(signing.reveal().to_owned())),
        };
        let path = self.credentials(name);
        credentials.save(&path, replace)?;
        Ok(path)
    }

    /// Takes a member out: once the server has read its config again, it is let in no more.
    ///
    /// # Errors
    ///
    /// Returns an error if no member has that name, or something cannot be written.
    pub(crate) fn expel(&mut self, name: &str) -> anyhow::Result<()> {
        self.roster.member_mut(name)?;
        self.roster.members.retain(|member| member.name != name);
        self.save()?;
        match fs::remove_file(self.credentials(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.credentials(name).display()))
            }
            _ => Ok(()),
        }
    }

    /// Its members, in the order in which they came.
    #[must_use]
    pub(crate) fn members(&self) -> &[Member] {
        &self.roster.members
    }

    /// Returns where the configs of the servers are.
    #[must_use]
    pub(crate) fn nats_configs(&self) -> Vec<PathBuf> {
        self.nats_folders()
            .map(|folder| folder.join(NATS_CONFIG))
            .collect()
    }

    fn nats_folders(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.roster.servers()).map(|index| self.dir.join(nats_folder(index)))
    }

    /// Returns where the credentials of the member `name` are.
    #[must_use]
    pub(crate) fn credentials(&self, name: &str) -> PathBuf {
        self.dir.join(CREDENTIALS).join(format!("{name}.toml"))
    }

    fn save(&self) -> anyhow::Result<()> {
        let users = nats_config::users(&self.roster);
        for folder in self.nats_folders() {
            write_for_server(&folder.join(NATS_USERS), &users, true)?;
        }
        self.roster.save(&self.dir.join(ROSTER))
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.dir.join(name)).with_context(|| format!("reading {}", self.shown(name)))
    }

    fn shown(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// One server.
#[derive(Clone, Debug)]
struct Server {
    /// By which members and other servers reach it.
    host: String,
    /// What its certificate names.
    names: Vec<String>,
}

/// The servers that are asked for.
fn servers(founding: &Founding) -> anyhow::Result<Vec<Server>> {
    let hosts = &founding.hosts;
    let count = founding.servers;
    if count <= 1 {
        let host = hosts.first().cloned().unwrap_or_default();
        let names = hosts.clone();
        return Ok(vec![Server { host, names }]);
    }
    ensure!(
        count % 2 == 1,
        "{count} servers: use 3 or 5, of which a majority is left when one fails"
    );
    ensure!(
        hosts.len() == count,
        "{count} servers need {count} hosts, and {} are named",
        hosts.len()
    );
    let distinct: HashSet<_> = hosts.iter().collect();
    ensure!(
        distinct.len() == count,
        "a host is named twice: each server needs its own"
    );
    let server = |host: &String| Server {
        host: host.clone(),
        names: vec![host.clone()],
    };
    Ok(hosts.iter().map(server).collect())
}

fn nats_folder(index: usize) -> String {
    match index {
        0 => NATS.to_owned(),
        later => format!("{NATS}-{}", later + 1),
    }
}

/// As hosts stand in an address.
fn in_url(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => host.to_owned(),
    }
}

/// Writes a certificate for a server of these names, and all that vouches for it, into its folder.
fn certify(authority: &Authority, folder: &Path, names: &[String]) -> anyhow::Result<()> {
    let server = authority
        .server(names)
        .with_context(|| format!("making a certificate for {}", names.join(", ")))?;
    for (name, text) in [
        (CA, authority.certificate()),
        (SERVER, &server.certificate),
        (SERVER_KEY, &server.key),
    ] {
        write_for_server(&folder.join(name), text, true)?;
    }
    Ok(())
}

fn write_for_server(path: &Path, text: &str, replace: bool) -> anyhow::Result<()> {
    write_private(path, text.as_bytes(), replace)?;
    give_to_server(path)
}

/// Lets the group [`GROUP`] read what nats-server reads, if there is one and this is root.
fn give_to_server(path: &Path) -> anyhow::Result<()> {
    let shown = || format!("giving {} to the group {GROUP}", path.display());
    let Some(group) = Group::from_name(GROUP).with_context(shown)? else {
        return Ok(());
    };
    if !geteuid().is_root() {
        return Ok(());
    }
    chown(path, None, Some(group.gid)).with_context(shown)?;
    let mode = if path.is_dir() { 0o750 } else { 0o640 };
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(shown)
}
