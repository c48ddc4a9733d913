//! Verdicts on packets. The discriminants index the `COUNTERS` map and never change meaning.

/// The XDP program's verdict on one packet.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not banned: passed.
    Clean = 0,
    /// Banned: dropped.
    Banned = 1,
    /// The ban's end had passed: passed.
    Expired = 2,
    /// Banned but allowlisted: passed.
    Allowed = 3,
    /// Banned, where bans are only observed: passed.
    Observed = 4,
    /// Neither IPv4 nor IPv6: passed.
    NotIp = 5,
    /// IP by its EtherType but truncated or impossible: passed.
    Malformed = 6,
    /// Banned, but to a port that bans do not reach: passed.
    OtherPort = 7,
}

impl Verdict {
    /// Number of verdicts, and so of slots in `COUNTERS`.
    pub const COUNT: usize = 8;

    /// All verdicts in the order of their counter slots.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Clean,
        Self::Banned,
        Self::Expired,
        Self::Allowed,
        Self::Observed,
        Self::NotIp,
        Self::Malformed,
        Self::OtherPort,
    ];

    /// The name that statistics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Banned => "banned",
            Self::Expired => "expired",
            Self::Allowed => "allowed",
            Self::Observed => "observed",
            Self::NotIp => "not_ip",
            Self::Malformed => "malformed",
            Self::OtherPort => "other_port",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_slots_are_dense_and_in_order() {
        for (slot, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, slot, "{}", verdict.name());
        }
    }
}
