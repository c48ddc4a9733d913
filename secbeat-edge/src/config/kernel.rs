//! `[kernel]`: the program in the kernel.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
};

use schemars::JsonSchema;
use secbeat_common::maps;
use secbeat_daemon::config::schema;
use secbeat_edge_core::FilterMode;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::kernel::{Hook, InterfaceModes};

/// Most slots of a ban map: of more, the kernel would have to find over 10 GB.
pub(super) const MAX_BAN_SLOTS: u32 = 100_000_000;

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
    /// Most slots of each map of banned sources: twice the bans you expect. The maps begin with 24,576 and grow before they are half
    /// full. A slot takes 113 bytes of kernel memory, and 22 more of the larger map. SIGHUP applies a larger number, a restart a smaller one.
    pub ban_slots: NonZeroU32,
    /// Most bytes of kernel memory that all static lists together take. A million IPv4 prefixes take up to 12 MB, and as many of IPv6 up
    /// to 40 MB. While a list changes, both its forms are there for a moment.
    pub list_max_bytes: u64,
}

/// The interfaces that are to be protected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NamesOrWord")]
pub enum Interfaces {
    /// The interfaces of the default routes.
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
pub struct NamePattern(pub(super) glob::Pattern);

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
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let other = Self {
            interface_modes: self.interface_modes.clone(),
            ban_slots: self.ban_slots,
            ..other.clone()
        };
        super::alike(self, &other)
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

fn event_every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let packets = u32::deserialize(deserializer)?;
    if packets == 0 || packets.is_power_of_two() {
        return Ok(packets);
    }
    Err(D::Error::custom(format!(
        "{packets} is neither 0 nor a power of two"
    )))
}
