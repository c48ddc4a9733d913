//! The edge's config file. `packaging/edge.toml` shows every key with its default.

mod labels;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use schemars::JsonSchema;
use secbeat_common::{maps, prefix::Prefix, subjects};
use secbeat_daemon::{
    api::SocketPath,
    config::{self, ConfigError, HumanDuration, NatsServers, schema},
    credentials::{Login, Membership, Nats, Role},
    geo::GeoConfig,
    protect::{Known, Protect, everybody, sessions},
};
use secbeat_edge_core::FilterMode;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

pub use self::labels::Labels;
pub use crate::stand_in::Local;
use crate::{
    kernel::{DETACHED, Hook, InterfaceModes, Selection, XdpSetup, has_tcx},
    lists::{self, ListConfig},
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

/// Where the config lies unless `--config` says otherwise.
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
    /// Where bans are enforced.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Address of the local API, on loopback. Everybody on this host may read there; nobody may change anything.
    #[serde(default = "default_api")]
    #[schemars(with = "schema::Listen")]
    pub api_listen: SocketAddr,
    /// Unix socket of the local API. Root and members of the group `secbeat` may add and remove bans by it, everybody
    /// else on this host may read. `""` for none: then no command can change a running edge.
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
    /// What single requests give away.
    #[serde(default)]
    pub signatures: SignaturesConfig,
    /// How this edge reports responses to the orchestrator.
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

/// What of a file is the edge's.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Keys and tables at the top of the file.
    pub keys: &'static [&'static str],
    /// Puts other defaults in the place of the edge's own, and what the rest of the file at this path says.
    pub adapt: fn(&mut Config, &Path) -> Result<(), ConfigError>,
    /// Checks the rest of the file, before a daemon that runs takes its part again.
    pub check: fn(&Path) -> Result<(), ConfigError>,
}

/// Where bans are enforced.
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

/// Bytes of kernel memory of all static lists, unless set.
const DEFAULT_LIST_MAX_BYTES: u64 = 128 << 20;

/// Packets of a ban from one event to the next, unless set.
const DEFAULT_EVENT_EVERY: u32 = 1024;

/// The XDP program.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kernel {
    /// Interfaces to protect: `"auto"` for those of the default routes, or a list of names and patterns, such as `["eth0",
    /// "wg*"]`.
    #[schemars(with = "schema::AutoOrNames")]
    pub interfaces: Interfaces,
    /// Patterns of interfaces that `"auto"` and patterns leave out.
    #[schemars(with = "Vec<String>")]
    pub exclude_interfaces: Vec<NamePattern>,
    /// Where the program runs: `"xdp"` in the driver, `"tc"` in the stack's ingress hook, or `"auto"` for XDP where the
    /// driver can and no other XDP program is there, else `"tc"`.
    pub attach: Hook,
    /// The TCP and UDP ports that bans reach, such as `[80, 443]`; packets to others, and of other protocols, pass. `"all"` for
    /// every packet.
    #[schemars(with = "schema::AllOrPorts")]
    pub ports: Ports,
    /// Folder for pinned program, links and maps, which stay in force without the daemon.
    #[schemars(with = "schema::Folder")]
    pub pin_dir: PathBuf,
    /// Allow generic mode if the driver has no native XDP: the program then runs in the network stack, several
    /// times slower.
    pub allow_generic: bool,
    /// What happens to packets of banned clients after a start. `secbeat-edge mode` switches a running edge.
    pub mode: FilterMode,
    /// The modes of single interfaces, by names and patterns: `{ eth1 = "observe" }` observes there, and enforces elsewhere. A name goes
    /// before patterns, a longer pattern before a shorter one. Nothing is enforced anywhere while `mode` is `"observe"`. SIGHUP applies
    /// changes.
    #[schemars(with = "BTreeMap<String, FilterMode>")]
    pub interface_modes: InterfaceModes,
    /// Sample the first dropped packet of a ban, and then one in this many, for metrics and trace logs. A power
    /// of two, or 0 for none.
    #[serde(deserialize_with = "event_every")]
    pub event_every: u32,
    /// Slots of each ban map, 113 bytes each, and 36 bytes for both. Set four times the bans you expect: the maps
    /// evict before they are full.
    pub ban_slots: NonZeroU32,
    /// Most bytes of kernel memory that all static lists together take. A million IPv4 prefixes take up to 12 MB, and as many of IPv6 up
    /// to 40 MB. While a list changes, both its forms are there for a moment.
    pub list_max_bytes: u64,
}

/// Which interfaces are to be protected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NamesOrWord")]
pub enum Interfaces {
    /// Those of the default routes.
    Auto,
    /// Names and patterns of names.
    Named(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"auto\" or a list of names")]
enum NamesOrWord {
    Word(String),
    Names(Vec<String>),
}

impl TryFrom<NamesOrWord> for Interfaces {
    type Error = String;

    fn try_from(text: NamesOrWord) -> Result<Self, String> {
        match text {
            NamesOrWord::Word(word) if word == "auto" => Ok(Self::Auto),
            NamesOrWord::Word(word) => Err(format!(
                "`{word}`: expected \"auto\" or a list of names, such as [\"{word}\"]"
            )),
            NamesOrWord::Names(names) => {
                for name in &names {
                    check_name(name)?;
                    glob::Pattern::new(name).map_err(|error| format!("`{name}`: {error}"))?;
                }
                Ok(Self::Named(names))
            }
        }
    }
}

/// Whether an interface may be called `name`, as the kernel has it, or that may be a pattern of such names.
fn check_name(name: &str) -> Result<(), String> {
    // Of `linux/netdevice.h`: 127 letters, as an alternative name may have.
    const ALT_IFNAMSIZ: usize = 128;
    let why = match name {
        "auto" => "write interfaces = \"auto\", without a list",
        "" => "a name is empty",
        _ if name.len() >= ALT_IFNAMSIZ => "no interface has so long a name",
        _ if name.contains(|letter: char| letter == '/' || letter.is_whitespace()) => {
            "no interface has a slash or a space in its name"
        }
        _ => return Ok(()),
    };
    Err(format!("`{name}`: {why}"))
}

/// A pattern of names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(glob::Pattern);

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pattern = glob::Pattern::new(&text).map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Self(pattern))
    }
}

/// The ports that bans reach.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PortsOrWord")]
pub enum Ports {
    All,
    Only(Vec<u16>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"all\" or a list of ports (1 to 65535)")]
enum PortsOrWord {
    Word(String),
    Ports(Vec<NonZeroU16>),
}

impl TryFrom<PortsOrWord> for Ports {
    type Error = String;

    fn try_from(text: PortsOrWord) -> Result<Self, String> {
        match text {
            PortsOrWord::Word(word) if word == "all" => Ok(Self::All),
            PortsOrWord::Word(word) => Err(format!(
                "`{word}`: expected \"all\" or a list of ports, such as [80, 443]"
            )),
            PortsOrWord::Ports(ports) if ports.is_empty() => {
                Err("no port: bans would reach nothing; expected \"all\" or at least one".to_owned())
            }
            PortsOrWord::Ports(ports) => Ok(Self::Only(ports.into_iter().map(NonZeroU16::get).collect())),
        }
    }
}

impl Kernel {
    /// Whether `other` says the same, apart from what a reload applies.
    fn is_alike(&self, other: &Self) -> bool {
        let other = Self {
            interface_modes: self.interface_modes.clone(),
            ..other.clone()
        };
        alike(self, &other)
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            interfaces: Interfaces::Auto,
            exclude_interfaces: Vec::new(),
            attach: Hook::default(),
            ports: Ports::All,
            pin_dir: maps::DEFAULT_PIN_DIR.into(),
            allow_generic: false,
            mode: FilterMode::default(),
            interface_modes: InterfaceModes::default(),
            event_every: DEFAULT_EVENT_EVERY,
            ban_slots: NonZeroU32::new(maps::DEFAULT_BAN_SLOTS).unwrap_or(NonZeroU32::MIN),
            list_max_bytes: DEFAULT_LIST_MAX_BYTES,
        }
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
    /// Address to listen on. Default: off. Anybody who can reach it can find out who is banned: keep it on
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

/// Where the local API listens unless the config says otherwise.
#[must_use]
pub fn default_api() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// Where the local API's Unix socket is unless the config says otherwise.
#[must_use]
pub fn default_socket() -> SocketPath {
    SocketPath::of(PROGRAM)
}

/// The daemon's name.
pub const PROGRAM: &str = "secbeat-edge";

/// Where filters of the host are, unless told otherwise.
#[must_use]
pub fn default_filters_dir() -> PathBuf {
    PathBuf::from("/etc/secbeat/filters")
}

fn default_state_dir() -> PathBuf {
    PathBuf::from(DEFAULT_STATE_DIR)
}

/// Where the daemon keeps what outlives it, unless told otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/secbeat/edge";

fn event_every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let packets = u32::deserialize(deserializer)?;
    if packets == 0 || packets.is_power_of_two() {
        return Ok(packets);
    }
    Err(D::Error::custom(format!(
        "{packets} is neither 0 nor a power of two"
    )))
}

/// Most slots of a ban map: of more, the kernel would have to find over 10 GB.
const MAX_BAN_SLOTS: u32 = 100_000_000;

/// Whatever one key cannot say alone.
#[derive(Debug, thiserror::Error)]
enum Contradiction {
    #[error("a folder of a bpffs, from the root on, such as /sys/fs/bpf/secbeat")]
    RelativePins,
    #[error("at most {0}: four times the bans that you expect")]
    TooManySlots(u32),
    #[error(
        "enforcement = \"{0}\" needs at least one interface in kernel.interfaces, or \"auto\" (or set enforcement = \"l7\")"
    )]
    NoInterfaces(&'static str),
    #[error("[[list]]: {0}")]
    Lists(String),
    #[error("[[list]] needs the kernel to enforce bans, and enforcement is \"l7\"")]
    ListsAtL7,
    #[error(
        "anyone who can connect to {0} could read who is banned: the local API listens on loopback alone"
    )]
    PublicApi(SocketAddr),
    #[error("with proxy_protocol, only trusted proxies may connect, and this list names none")]
    NobodyTrusted,
}

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

    fn check(mut config: Self, path: &Path) -> Result<Self, ConfigError> {
        path.clone_into(&mut config.path);
        let state_dir = config.state_dir.clone();
        let proxy = config.proxy_file.as_ref();
        let proxy = proxy.map(|proxy| proxy.check(path, &state_dir));
        config.proxy = proxy.transpose()?;
        let takes_headers =
            |proxy: &ProxyConfig| proxy.listeners.iter().any(|listener| listener.proxy_protocol);
        if config.trusted_proxies.is_empty() && config.proxy.as_ref().is_some_and(takes_headers) {
            let message = Contradiction::NobodyTrusted.to_string();
            return Err(ConfigError::contradiction(path, "trusted_proxies", message));
        }
        if config.enforcement.in_kernel() && config.kernel.interfaces == Interfaces::Named(Vec::new()) {
            let name = if config.enforcement == Enforcement::Kernel {
                "kernel"
            } else {
                "both"
            };
            let message = Contradiction::NoInterfaces(name).to_string();
            return Err(ConfigError::contradiction(path, "kernel.interfaces", message));
        }
        if !config.kernel.pin_dir.is_absolute() {
            let message = Contradiction::RelativePins.to_string();
            return Err(ConfigError::contradiction(path, "kernel.pin_dir", message));
        }
        if config.kernel.ban_slots.get() > MAX_BAN_SLOTS {
            let message = Contradiction::TooManySlots(MAX_BAN_SLOTS).to_string();
            return Err(ConfigError::contradiction(path, "kernel.ban_slots", message));
        }
        let listed = match lists::check(&config.list, &config.geo) {
            Err(why) => Err(Contradiction::Lists(why)),
            Ok(()) if !config.list.is_empty() && !config.enforcement.in_kernel() => {
                Err(Contradiction::ListsAtL7)
            }
            Ok(()) => Ok(()),
        };
        listed.map_err(|why| ConfigError::contradiction(path, "list", why.to_string()))?;
        let protected = config.protect.entries().into_iter().map(|entry| entry.network);
        if let Some(message) = everybody(protected.chain(config.trusted_proxies.iter().copied())) {
            return Err(ConfigError::contradiction(path, "protect", message));
        }
        if !config.api_listen.ip().to_canonical().is_loopback() {
            let message = Contradiction::PublicApi(config.api_listen).to_string();
            return Err(ConfigError::contradiction(path, "api_listen", message));
        }
        Ok(config)
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
    /// When a log may not be read, or is named twice.
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

    /// The filters of `[[service_log]]`.
    #[must_use]
    pub(crate) fn filters(&self) -> Filters {
        Filters(self.filters_dir.clone())
    }

    /// How this edge takes part in the fleet.
    ///
    /// # Errors
    ///
    /// When its credentials cannot be used.
    pub fn membership(&self) -> anyhow::Result<Membership> {
        self.nats.membership(Role::Edge, &self.path)
    }

    /// The name that it was enrolled by, or the configured one, or the host's.
    ///
    /// # Errors
    ///
    /// When two contradict each other, or the host's name cannot serve as one.
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

    /// What the search for protected addresses starts from, with the servers' addresses.
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

    /// What the reverse proxy is told, if there is to be one.
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

    /// Where the local API's Unix socket is, if there is one.
    #[must_use]
    pub fn api_socket(&self) -> Option<PathBuf> {
        self.api_socket.find(PROGRAM)
    }

    /// The file that is there after the kill switch.
    #[must_use]
    pub fn detached_marker(&self) -> PathBuf {
        self.state_dir.join(DETACHED)
    }

    /// Which interfaces are to be protected: none where bans are not enforced in the kernel.
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

    /// What the kernel side is told.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn minimal() -> Config {
        load("[proxy]\nupstream = \"http://127.0.0.1:8000\"\n").unwrap()
    }

    #[test]
    fn an_edge_may_have_no_proxy() {
        let config = load("[kernel]\ninterfaces = [\"eth0\"]\n").unwrap();
        assert!(config.proxy().is_none() && config.known(&NatsServers::default()).upstreams.is_empty());
    }

    #[test]
    fn a_listener_that_would_close_every_connection_is_refused() {
        let text = "[kernel]\ninterfaces = [\"eth0\"]\n[proxy]\nupstream = \"http://127.0.0.1:8000\"\nproxy_protocol = true\n";
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains("trusted_proxies"), "{error}");
        load(&format!("trusted_proxies = [\"192.0.2.0/24\"]\n{text}")).unwrap();
    }

    #[test]
    fn a_reload_looks_for_certificates_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        let text = "state_dir = \"/one\"\nenforcement = \"l7\"\n[proxy]\nupstream = \"http://127.0.0.1:8000\"\n\
            [proxy.acme]\ndomains = [\"a.example\"]\naccept_terms = true\n\
            [[proxy.listener]]\naddress = \"[::]:443\"\nacme = true\n";
        std::fs::write(&path, text).unwrap();
        let before = Config::load(&path).unwrap();
        std::fs::write(&path, text.replace("/one", "/other")).unwrap();
        let after = before.read_again().unwrap();
        assert_eq!(before.differences(&after), ["state_dir"]);
        let listeners = |config: &Config| config.proxy().unwrap().listeners.clone();
        assert_eq!(listeners(&before), listeners(&after));
    }

    #[test]
    fn the_shipped_config_shows_an_access_logs_defaults() {
        let shipped = std::fs::read_to_string("../packaging/edge.toml").unwrap();
        let entry = shipped.split("# [[access_log]]").nth(1).unwrap();
        let entry = entry.split("\n\n").next().unwrap();
        let keys = entry
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = "));
        // Those are examples, in place of others.
        let keys: Vec<_> = keys
            .filter(|line| !line.starts_with("journald") && !line.starts_with("keys"))
            .collect();
        assert_eq!(keys.len(), 7);
        let all: AccessLogConfig = toml::from_str(&keys.join("\n")).unwrap();
        let least: AccessLogConfig = toml::from_str(keys[0]).unwrap();
        assert_eq!(all, least);
    }

    #[test]
    fn the_shipped_config_shows_the_defaults() {
        let shipped = Config::load(Path::new("../packaging/edge.toml")).unwrap();
        let minimal = minimal();
        assert_eq!(format!("{:?}", shipped.proxy()), format!("{:?}", minimal.proxy()));
        assert_eq!(format!("{:?}", shipped.xdp()), format!("{:?}", minimal.xdp()));
        assert_eq!(format!("{:?}", shipped.bans), format!("{:?}", minimal.bans));
        assert_eq!(format!("{:?}", shipped.authz), format!("{:?}", minimal.authz));
        assert_eq!(
            format!("{:?}", shipped.client_rule()),
            format!("{:?}", minimal.client_rule())
        );
        assert_eq!(
            format!("{:?}", shipped.telemetry),
            format!("{:?}", minimal.telemetry)
        );
        assert_eq!(
            (
                shipped.enforcement,
                shipped.api_listen,
                shipped.state_dir,
                shipped.nats,
                shipped.protect,
                shipped.detect
            ),
            (
                minimal.enforcement,
                minimal.api_listen,
                minimal.state_dir,
                minimal.nats,
                minimal.protect,
                minimal.detect
            )
        );
    }
}
