//! Makes a fleet that trusts nobody by accident: keys, certificates, a config of nats-server, and one file with credentials
//! for each member. All of it lies in one folder, which belongs on one machine and into its backup.
//!
//! * `authority`: the certificate authority of the bus, and its server's certificate.
//! * `roster`: who is a member.
//! * `permissions`: what each may do on the bus.
//! * `nats_config`: the server's config.

mod authority;
mod nats_config;
mod permissions;
mod roster;
#[cfg(test)]
mod tests;

use std::{
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

/// Where the folder is unless told otherwise.
pub(crate) const DEFAULT_DIR: &str = "/etc/secbeat/fleet";
/// The orchestrator that `init` enrolls.
pub(crate) const FIRST_ORCHESTRATOR: &str = "orchestrator-1";

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SIGNING_KEY: &str = "signing.key";
const ROSTER: &str = "roster.toml";
const CREDENTIALS: &str = "credentials";
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
    /// Names and addresses under which members reach the server, the one that they use first.
    pub hosts: Vec<String>,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where it stores what lasts.
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
        let host = founding
            .hosts
            .first()
            .context("no host by which members reach the server")?;
        // nats-server, which need not be root, finds its own folder in the first.
        for (folder, mode) in [
            (dir.to_owned(), 0o711),
            (dir.join(CREDENTIALS), 0o700),
            (dir.join(NATS), 0o750),
        ] {
            let made = DirBuilder::new().recursive(true).mode(mode).create(&folder);
            made.with_context(|| format!("making the folder {}", folder.display()))?;
        }
        give_to_server(&dir.join(NATS))?;
        let authority = Authority::new().context("making a certificate authority")?;
        let server = authority
            .server(&founding.hosts)
            .with_context(|| format!("making a certificate for {}", founding.hosts.join(", ")))?;
        let signing = SecretKey::generate()?;
        // The server looks for certificates where it was started, not beside its config.
        let nats = match &founding.nats_dir {
            Some(elsewhere) => elsewhere.clone(),
            None => fs::canonicalize(dir.join(NATS)).with_context(|| format!("finding {shown}"))?,
        };
        let config = nats_config::server(founding, &nats);
        for (name, text) in [
            (PathBuf::from(CA), authority.certificate()),
            (CA_KEY.into(), &authority.key()),
            (SIGNING_KEY.into(), &format!("{}\n", signing.reveal())),
            (Path::new(NATS).join(SERVER), &server.certificate),
            (Path::new(NATS).join(SERVER_KEY), &server.key),
            (Path::new(NATS).join(NATS_CONFIG), &config),
        ] {
            let path = dir.join(name);
            write_private(&path, text.as_bytes(), false)?;
            if path.starts_with(dir.join(NATS)) {
                give_to_server(&path)?;
            }
        }
        let host = match host.parse() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            _ => host.clone(),
        };
        let url = format!("tls://{host}:{}", founding.listen.port());
        let mut fleet = Self {
            dir: dir.to_owned(),
            roster: Roster::new(url),
        };
        fleet.enroll(FIRST_ORCHESTRATOR, Role::Orchestrator)?;
        Ok(fleet)
    }

    /// The fleet in `dir`.
    ///
    /// # Errors
    ///
    /// When there is none, or its roster cannot be read.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let roster = dir.join(ROSTER);
        ensure!(
            roster.exists(),
            "{} is no fleet's folder: `secbeat-orchestrator init` makes one",
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
    /// When there is one of that name, or something cannot be written.
    pub(crate) fn enroll(&mut self, name: &str, role: Role) -> anyhow::Result<PathBuf> {
        ensure!(
            subjects::is_token(name),
            "`{name}` is no name: up to 64 letters, digits, `-` and `_`"
        );
        if let Some(member) = self.roster.member(name) {
            bail!(
                "{name} is a member already, as an {}; `expel` it first",
                member.role
            );
        }
        let user = KeyPair::new_user();
        let signing: SecretKey = self
            .read(SIGNING_KEY)?
            .parse()
            .with_context(|| self.shown(SIGNING_KEY))?;
        let credentials = Credentials {
            role,
            name: name.to_owned(),
            url: self.roster.url.clone(),
            nkey: Secret(
                user.seed()
                    .map_err(|error| anyhow::anyhow!("a new nkey: {error}"))?,
            ),
            ca: Some(self.read(CA)?),
            trusted_keys: vec![signing.public().to_string()],
            signing_key: (role == Role::Orchestrator).then(|| Secret(signing.reveal().to_owned())),
        };
        let path = self.credentials(name);
        credentials.save(&path, true)?;
        self.roster.members.push(Member {
            name: name.to_owned(),
            role,
            nkey: user.public_key(),
        });
        self.save()?;
        Ok(path)
    }

    /// Takes a member out: once the server has read its config again, it is let in no more.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or something cannot be written.
    pub(crate) fn expel(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(self.roster.member(name).is_some(), "{name} is no member");
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

    /// Where the config of nats-server is.
    #[must_use]
    pub(crate) fn nats_config(&self) -> PathBuf {
        self.dir.join(NATS).join(NATS_CONFIG)
    }

    /// Where the credentials of the member `name` are.
    #[must_use]
    pub(crate) fn credentials(&self, name: &str) -> PathBuf {
        self.dir.join(CREDENTIALS).join(format!("{name}.toml"))
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = self.dir.join(NATS).join(NATS_USERS);
        write_private(&path, nats_config::users(&self.roster).as_bytes(), true)?;
        give_to_server(&path)?;
        self.roster.save(&self.dir.join(ROSTER))
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.dir.join(name)).with_context(|| format!("reading {}", self.shown(name)))
    }

    fn shown(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
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
