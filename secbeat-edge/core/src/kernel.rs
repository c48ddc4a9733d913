//! The kernel's bans as values.

use std::{fmt, str::FromStr};

use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
};

use crate::BootTime;

/// The ban maps: two of single sources, and one of networks.
pub const BAN_MAPS: [&str; 3] = [maps::BANNED_V4, maps::BANNED_V6, maps::BANNED_NETS];

/// A ban as the kernel holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelBan {
    pub ends: BootTime,
    /// A code of [`maps::reason`].
    pub reason: u8,
    /// A code of [`maps::origin`].
    pub origin: u8,
    pub strikes: u32,
    /// The allowlist's generation in which it touches this source nowhere; see [`Ban::unallowed_in`].
    pub unallowed_in: u32,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
}

impl From<Ban> for KernelBan {
    fn from(ban: Ban) -> Self {
        Self {
            ends: BootTime(ban.expires_boot_ns),
            reason: ban.reason,
            origin: ban.origin,
            strikes: u32::from(ban.strikes),
            unallowed_in: ban.unallowed_in,
            dropped_packets: ban.dropped_packets,
            dropped_bytes: ban.dropped_bytes,
        }
    }
}

/// A change of one entry of the kernel's ban maps. Its stamp ([`KernelBan::unallowed_in`]) belongs to who writes it, and its
/// drop counts are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The kernel surely does not hold the target: there are no drop counts to keep.
    Add(Prefix, KernelBan),
    /// An entry that is there already keeps its drop counts.
    Put(Prefix, KernelBan),
    /// An entry that is not there is fine.
    Remove(Prefix),
}

impl Entry {
    #[must_use]
    pub fn target(&self) -> Prefix {
        match self {
            Self::Add(target, _) | Self::Put(target, _) | Self::Remove(target) => *target,
        }
    }
}

/// A ban that was found in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedBan {
    pub target: Prefix,
    pub ban: KernelBan,
    pub stamp: Stamp,
}

/// How the stamp of a ban in the kernel relates to the allowlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// It is the one that the ban would be written with now.
    Current,
    /// It slows the program down: the ban should be written again.
    Outdated,
}

/// Fill of a ban map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    pub entries: u64,
    pub slots: u32,
}

impl Fill {
    /// Whether more than half the slots are taken: an LRU map evicts before it is full.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.entries > u64::from(self.slots / 2)
    }
}

/// What becomes of the packets of banned sources.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FilterMode {
    /// Packets are dropped.
    #[default]
    Enforce,
    /// Packets are counted, and pass (dry run).
    Observe,
}

/// The text names no [`FilterMode`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid mode `{0}`: use `enforce` or `observe`")]
pub struct UnknownMode(String);

impl FilterMode {
    /// The code of [`maps::mode`].
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Enforce => maps::mode::ENFORCE,
            Self::Observe => maps::mode::OBSERVE,
        }
    }

    /// The name in the config, the API and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

impl fmt::Display for FilterMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FilterMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "observe" => Ok(Self::Observe),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_names_of_the_config() {
        for (mode, name) in [(FilterMode::Enforce, "enforce"), (FilterMode::Observe, "observe")] {
            assert_eq!(mode.to_string(), name);
            assert_eq!(name.parse::<FilterMode>().unwrap(), mode);
        }
        let error = "Enforce".parse::<FilterMode>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid mode `Enforce`: use `enforce` or `observe`"
        );
    }
}
