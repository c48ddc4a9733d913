//! Kinds of messages.

use std::fmt;

/// Kind of a message; its second byte. A number is given once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Telemetry = 1,
    LateTelemetry = 2,
    Waf = 3,
    Acks = 4,
    /// A command with its signature: the commands below travel within one.
    Sealed = 5,
    Ban = 6,
    Lift = 7,
    Allow = 8,
    Disallow = 9,
    Interest = 10,
    Sources = 11,
    Lease = 12,
    Service = 13,
    Signatures = 14,
    Detection = 15,
    Feed = 16,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Telemetry,
        Self::LateTelemetry,
        Self::Waf,
        Self::Acks,
        Self::Sealed,
        Self::Ban,
        Self::Lift,
        Self::Allow,
        Self::Disallow,
        Self::Interest,
        Self::Sources,
        Self::Lease,
        Self::Service,
        Self::Signatures,
        Self::Detection,
        Self::Feed,
    ];

    /// The name that people read. Signatures of commands cover it, so it never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::LateTelemetry => "late-telemetry",
            Self::Waf => "waf",
            Self::Acks => "acks",
            Self::Sealed => "sealed",
            Self::Ban => "ban",
            Self::Lift => "lift",
            Self::Allow => "allow",
            Self::Disallow => "disallow",
            Self::Interest => "interest",
            Self::Sources => "sources",
            Self::Lease => "lease",
            Self::Service => "service",
            Self::Signatures => "signatures",
            Self::Detection => "detection",
            Self::Feed => "feed",
        }
    }

    /// Returns the kind with this number, `None` if this release has none.
    pub(super) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_lead_to_their_kinds() {
        for (number, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(kind as u8, number, "{kind}");
            assert_eq!(Kind::of(number), Some(kind));
        }
        assert_eq!([Kind::of(0), Kind::of(17)], [None, None]);
    }
}
