//! The edge's config file. `packaging/edge.toml` shows every key with its default.

mod check;
mod kernel;
mod labels;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use schemars::JsonSchema;
use secbeat_common::{prefix::Prefix, subjects};
use secbeat_daemon::{
    api::SocketPath,
    config::{self, ConfigError, HumanDuration, NatsServers, schema},
    credentials::{Login, Membership, Nats, Role},
    geo::GeoConfig,
    protect::{Known, Protect, sessions},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

pub use self::{
    kernel::{Interfaces, Kernel, NamePattern, Ports},
    labels::Labels,
};
pub use crate::stand_in::Local;
use crate::{
    kernel::{DETACHED, Selection, XdpSetup, has_tcx},
    lists::ListConfig,
    signatures::SignaturesConfig,
    sources::{
        access_log::{self, AccessLogConfig},
        client_address::{ClientHeader, ClientRule},
        proxy::{Place, ProxyConfig, ProxyFile},
        service_log::{self, Filters, ServiceLogConfig},
        waf::{self, WafLogConfig},
    },
    telemetry::TelemetryConfig,
};

/// Default path of the config, without `--config`.
pub const DEFAULT_PATH: &str = "/etc/secbeat/edge.toml";

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "SecBeat edge")]
pub struct Config {
    /// This edge's name in the fleet. Default: the host name, with dashes for dots. An enrolled edge takes the
    /// name in its credentials; another one is an error.
    #[serde(default)]
    #[schemars(with = "Option<schema::Name>")]
    pub edge_id: Option<EdgeId>,
    /// Labels of this edge: `secbeat-orchestrator edges --label` finds it by them, and bans and rules can be meant for them:
    /// `{ site = "eu" }`. At most 16.
    #[serde(default)]
    pub labels: Labels,
    /// Layers that enforce bans.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Address of the local API, on loopback. All users of this host may read there; none may change anything.
    #[serde(default = "default_api")]
    #[schemars(with = "schema::Listen")]
    pub api_listen: SocketAddr,
    /// Unix socket of the local API. Root and members of the group `secbeat` may add and remove bans by it, other
    /// users of this host may read. `""` for none: then no command can change a running edge.
    #[serde(default = "default_socket")]
    #[schemars(with = "schema::Socket")]
    pub api_socket: SocketPath,
    /// Proxies, load balancers and CDNs in front of this edge. The edge believes them when they name their
    /// clients, and never bans them. List all of them: SecBeat bans a proxy that is missing here for its clients'
    /// requests.
    #[schemars(with = "Vec<schema::Network>")]
    #[serde(default, deserialize_with = "config::proxies")]
    pub trusted_proxies: Vec<Prefix>,
    /// The header in which trusted proxies name the client: `x-forwarded-for`, `forwarded` (RFC 7239), or your
    /// CDN's, such as `cf-connecting-ip`. They must overwrite it or append to it.
    #[serde(default)]
    #[schemars(with = "schema::HeaderName")]
    pub client_header: ClientHeader,
    /// The XDP program.
    #[serde(default)]
    pub kernel: Kernel,
    /// The reverse proxy. Without this table there is none: the edge enforces bans, and reports from its other
    /// data sources. SIGHUP applies changes of this table without a dropped request.
    #[serde(default, rename = "proxy")]
    proxy_file: Option<ProxyFile>,
    /// `[proxy]` after validation.
    #[serde(skip)]
    proxy: Option<ProxyConfig>,
    /// Access logs of web servers on this host, one table each. Either `path` or `journald` is required.
    #[serde(default)]
    pub access_log: Vec<AccessLogConfig>,
    /// Audit logs of web application firewalls, one table each.
    #[serde(default)]
    pub waf_log: Vec<WafLogConfig>,
    /// Logs of services other than web servers, such as sshd and mail servers, one table each.
    #[serde(default)]
    pub service_log: Vec<ServiceLogConfig>,
    /// Static lists of prefixes, one table each. SIGHUP applies changes of these tables, and takes files again.
    #[serde(default)]
    pub list: Vec<ListConfig>,
    /// Countries of addresses, and networks of providers (AS), from MMDB files, for `[[list]]`. A change takes a restart.
    #[serde(default)]
    pub geo: GeoConfig,
    /// Folder of your own filters for `[[service_log]]`, `NAME.toml` each. One takes the place of a shipped filter of its name.
    #[serde(default = "default_filters_dir")]
    #[schemars(with = "schema::Folder")]
    pub filters_dir: PathBuf,
    /// Folder for state that outlives the daemon: how far logs were read, the spool, ACME keys and certificates, this host's allowlist,
    /// copies of the fleet's rules, signatures and feeds, own bans, and the kill switch.
    #[serde(default = "default_state_dir")]
    #[schemars(with = "schema::Folder")]
    pub state_dir: PathBuf,
    /// `GET /authz` responds with 200 or 403, for a web server of your own that asks about its clients.
    #[serde(default)]
    pub authz: Authz,
    /// Signatures of attacks in single requests.
    #[serde(default)]
    pub signatures: SignaturesConfig,
    /// Settings of the reports to the orchestrator.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// The detector on this host.
    #[serde(default)]
    pub detect: Detect,
    /// The connection to NATS.
    #[serde(default)]
    pub nats: Nats,
    /// The allowlist of this host, beside the addresses that the edge finds automatically.
    #[serde(default)]
    pub protect: Protect,
    /// Limits on bans.
    #[serde(default)]
    pub bans: Bans,
    /// The path of the file.
    #[serde(skip)]
    path: PathBuf,
    /// What of the file is the edge's; all of it unless said.
    #[serde(skip)]
    part: Option<Part>,
}

/// The edge's part of a file.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Keys and tables at the top of the file.
    pub keys: &'static [&'static str],
    /// Puts other defaults in the place of the edge's own, and what the rest of the file at this path says.
    pub adapt: fn(&mut Config, &Path) -> Result<(), ConfigError>,
    /// Checks the rest of the file, before a daemon that runs takes its part again.
    pub check: fn(&Path) -> Result<(), ConfigError>,
}

/// Layers that enforce bans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// XDP drops packets. The proxy responds with 403 only to clients that the kernel cannot tell apart, such as
    /// those behind a trusted proxy.
    Kernel,
    /// Only the reverse proxy and `/authz` deny, with 403. Needs no root.
    L7,
    /// XDP drops packets, and the reverse proxy responds with 403 to banned clients that still reach it.
    #[default]
    Both,
}

impl Enforcement {
    /// Whether the XDP program is loaded.
    #[must_use]
    pub fn in_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::Both)
    }

    /// Whether the proxy refuses clients whose ban could be in the kernel.
    #[must_use]
    pub fn at_l7(self) -> bool {
        matches!(self, Self::L7 | Self::Both)
    }
}

/// An edge's name: one token of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeId(pub String);

impl<'de> Deserialize<'de> for EdgeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if subjects::is_token(&text) {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format!(
            "invalid edge id `{text}`: expected 1 to 64 letters, digits, `-` or `_`"
        )))
    }
}

/// The detector on this host, which is that of the orchestrators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// When it decides. It bans on this host alone, by the rules, the protected networks and the allowlist that were heard last of
    /// the fleet, and hands its bans over when the fleet is back.
    pub local: Local,
}

/// `/authz`, for other proxies.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Authz {
    /// Address to listen on. Default: off. Anyone who can reach it can find out who is banned: keep it on
    /// loopback or among your own hosts.
    #[schemars(with = "Option<schema::Listen>")]
    pub listen: Option<SocketAddr>,
    /// The header with the client's address, used if a trusted proxy or a program on this host asks.
    #[schemars(with = "schema::HeaderName")]
    pub client_header: ClientHeader,
}

/// Limits on bans.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bans {
    /// Upper limit for ban durations on this host. Permanent manual bans are exempt.
    pub max_duration: HumanDuration,
    /// Time between two reconciliations of the kernel's bans. The names of the NATS server and of upstreams are
    /// resolved as often.
    pub reconcile_interval: HumanDuration,
}

impl Default for Bans {
    fn default() -> Self {
        Self {
            max_duration: HumanDuration(Duration::from_secs(30 * 24 * 3600)),
            reconcile_interval: HumanDuration(Duration::from_secs(30)),
        }
    }
}

fn alike<T: std::fmt::Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// Returns where the local API listens unless the config says otherwise.
#[must_use]
pub fn default_api() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// Returns where the local API's Unix socket is unless the config says otherwise.
#[must_use]
pub fn default_socket() -> SocketPath {
    SocketPath::of(PROGRAM)
}

/// The daemon's name.
pub const PROGRAM: &str = "secbeat-edge";

/// Returns where filters of the host are, unless told otherwise.
#[must_use]
pub fn default_filters_dir() -> PathBuf {
    PathBuf::from("/etc/secbeat/filters")
}

fn default_state_dir() -> PathBuf {
    PathBuf::from(DEFAULT_STATE_DIR)
}

/// Where the daemon keeps what outlives it, unless told otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/secbeat/edge";

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::check(config::load(path)?, path)
    }

    /// As [`load`](Self::load), of a file that is not the edge's alone.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn load_part(path: &Path, part: Part) -> Result<Self, ConfigError> {
        let mut config: Self = config::load_part(path, |key| part.keys.contains(&key))?;
        (part.adapt)(&mut config, path)?;
        config.part = Some(part);
        Self::check(config, path)
    }

    /// Descriptors that may be open at a time: a connection of a client and one to a server each, and what else the edge opens.
    #[must_use]
    pub fn open_files(&self) -> u64 {
        const OTHERS: u64 = 1024;
        let connections = self.proxy.as_ref().map_or(0, |proxy| proxy.max_connections.get());
        2 * u64::from(connections) + OTHERS
    }

    /// Checks what the config at `path` names on this host.
    ///
    /// # Errors
    ///
    /// Returns an error if a log may not be read, or is named twice.
    pub fn check_sources(&self, path: &Path) -> Result<(), ConfigError> {
        access_log::check(&self.access_log)
            .and_then(|()| waf::check(&self.waf_log, &self.access_log))
            .and_then(|()| {
                service_log::check(
                    &self.service_log,
                    &self.filters(),
                    &self.access_log,
                    &self.waf_log,
                )
            })
            .map_err(|(key, message)| ConfigError::contradiction(path, &key, message))
    }

    /// Whether the log at `path` is read as an access log.
    #[must_use]
    pub fn follows(&self, path: &Path) -> bool {
        let real = path.canonicalize();
        let is_it = |path: &Path| self.access_log.iter().any(|log| log.place.covers(path));
        is_it(path) || real.is_ok_and(|real| is_it(&real))
    }

    /// Whether lines of the service that `filter` knows are read.
    #[must_use]
    pub fn follows_service(&self, filter: &str) -> bool {
        self.service_log.iter().any(|log| log.filter == filter)
    }

    /// Whether lines of the service that `filter` knows are read of this file, which an entry names.
    #[must_use]
    pub fn follows_service_log(&self, filter: &str, path: &Path) -> bool {
        let of_filter = self.service_log.iter().filter(|log| log.filter == filter);
        let mut named = of_filter.filter_map(|log| log.path.clone());
        named.any(|pattern| access_log::Place::Files(pattern).covers(path))
    }

    /// The filters of `[[service_log]]`.
    #[must_use]
    pub(crate) fn filters(&self) -> Filters {
        Filters(self.filters_dir.clone())
    }

    /// Returns how this edge takes part in the fleet.
    ///
    /// # Errors
    ///
    /// Returns an error if its credentials cannot be used.
    pub fn membership(&self) -> anyhow::Result<Membership> {
        self.nats.membership(Role::Edge, &self.path)
    }

    /// The name that it was enrolled by, or the configured one, or the host's.
    ///
    /// # Errors
    ///
    /// Returns an error if two contradict each other, or the host's name cannot serve as one.
    pub fn edge_id(&self, member: &Membership) -> anyhow::Result<String> {
        let configured = self.edge_id.as_ref().map(|EdgeId(id)| id);
        if let Some(Login { name, .. }) = &member.login {
            anyhow::ensure!(
                configured.is_none_or(|id| id == name),
                "edge_id: the credentials are those of the edge {name}"
            );
            return Ok(name.clone());
        }
        if let Some(id) = configured {
            return Ok(id.clone());
        }
        let host = nix::unistd::gethostname().context("reading the host's name")?;
        let id = host.to_string_lossy().replace('.', "-");
        anyhow::ensure!(
            subjects::is_token(&id),
            "the host's name `{id}` cannot be an edge id; set edge_id"
        );
        Ok(id)
    }

    /// Returns what the search for protected addresses starts from, with the servers' addresses.
    #[must_use]
    pub fn known(&self, nats: &NatsServers) -> Known {
        Known {
            configured: self.protect.entries(),
            trusted_proxies: self.trusted_proxies.clone(),
            bus: nats.places(),
            upstreams: self
                .proxy
                .iter()
                .flat_map(|proxy| &proxy.upstreams)
                .flat_map(|upstream| &upstream.servers)
                .filter_map(|server| match server.url.place() {
                    Place::Tcp { host, port } => Some((host, port)),
                    Place::Unix(_) => None,
                })
                .collect(),
            operator: sessions::operator(),
        }
    }

    /// Returns which proxies may name the client of a request, and in which header.
    #[must_use]
    pub fn client_rule(&self) -> ClientRule {
        ClientRule {
            trusted: self.trusted_proxies.iter().copied().collect(),
            header: self.client_header.clone(),
        }
    }

    /// Returns what the reverse proxy is told, if there is to be one.
    #[must_use]
    pub fn proxy(&self) -> Option<&ProxyConfig> {
        self.proxy.as_ref()
    }

    /// Reads the file again.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn read_again(&self) -> Result<Self, ConfigError> {
        let mut config = match self.part {
            None => Self::load(&self.path)?,
            Some(part) => {
                (part.check)(&self.path)?;
                Self::load_part(&self.path, part)?
            }
        };
        // State stays where it is until a restart.
        let proxy = config.proxy_file.as_ref();
        let proxy = proxy.map(|proxy| proxy.check(&self.path, &self.state_dir));
        config.proxy = proxy.transpose()?;
        Ok(config)
    }

    /// Names the tables and keys outside of `[proxy]` that differ in `other`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("edge_id", self.edge_id == other.edge_id),
            ("labels", self.labels == other.labels),
            ("enforcement", self.enforcement == other.enforcement),
            ("api_listen", self.api_listen == other.api_listen),
            ("api_socket", self.api_socket == other.api_socket),
            ("state_dir", self.state_dir == other.state_dir),
            ("trusted_proxies", self.trusted_proxies == other.trusted_proxies),
            ("client_header", self.client_header == other.client_header),
            ("[kernel]", self.kernel.is_alike(&other.kernel)),
            ("[[access_log]]", alike(&self.access_log, &other.access_log)),
            ("[[waf_log]]", alike(&self.waf_log, &other.waf_log)),
            ("[[service_log]]", self.service_log == other.service_log),
            ("filters_dir", self.filters_dir == other.filters_dir),
            ("[authz]", alike(&self.authz, &other.authz)),
            ("[detect]", self.detect == other.detect),
            ("[telemetry]", alike(&self.telemetry, &other.telemetry)),
            ("[nats]", self.nats == other.nats),
            ("[protect]", self.protect == other.protect),
            ("[geo]", self.geo == other.geo),
            ("[bans]", alike(&self.bans, &other.bans)),
        ];
        let differs = same.into_iter().filter(|(_, same)| !same);
        differs.map(|(name, _)| name).collect()
    }

    /// Returns where the local API's Unix socket is, if there is one.
    #[must_use]
    pub fn api_socket(&self) -> Option<PathBuf> {
        self.api_socket.find(PROGRAM)
    }

    /// The file that is there after the kill switch.
    #[must_use]
    pub fn detached_marker(&self) -> PathBuf {
        self.state_dir.join(DETACHED)
    }

    /// Returns which interfaces are to be protected: none where bans are not enforced in the kernel.
    #[must_use]
    pub fn interfaces(&self) -> Selection {
        let except = self
            .kernel
            .exclude_interfaces
            .iter()
            .map(|NamePattern(pattern)| pattern.clone());
        let named = match &self.kernel.interfaces {
            _ if !self.enforcement.in_kernel() => Some(Vec::new()),
            Interfaces::Auto => None,
            Interfaces::Named(names) => Some(names.clone()),
        };
        Selection::new(named, except.collect())
    }

    /// Returns what the kernel side is told.
    #[must_use]
    pub fn xdp(&self) -> XdpSetup {
        XdpSetup {
            pin_dir: self.kernel.pin_dir.clone(),
            interfaces: self.interfaces(),
            hook: self.kernel.attach,
            has_tcx: has_tcx(),
            ports: match &self.kernel.ports {
                Ports::All => None,
                Ports::Only(ports) => Some(ports.clone()),
            },
            allow_generic: self.kernel.allow_generic,
            state_dir: self.state_dir.clone(),
            ban_slots: self.kernel.ban_slots.get(),
        }
    }
}
