//! Prefix lengths that count as one source.

use std::{fmt, net::IpAddr, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::{
    prefix::{MIN_BANNED_LEN_V4, MIN_BANNED_LEN_V6, Prefix, SINGLE_LEN_V4, SINGLE_LEN_V6},
    sign::Command,
    wire::{Kind, Message},
};

/// Lengths of the prefixes that count as one source, by address family: what lies within one is counted together and banned
/// together. At most a [single source](Prefix::single), which is the default, and at least what may be banned at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "Raw"))]
#[serde(try_from = "Raw")]
pub struct SourceLengths {
    #[serde(rename = "ipv4")]
    v4: u8,
    #[serde(rename = "ipv6")]
    v6: u8,
}

/// A length that no source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {family} prefix length /{len}: expected /{widest} to /{narrowest}")]
pub struct LengthError {
    family: &'static str,
    len: u8,
    widest: u8,
    narrowest: u8,
}

/// As in a config file, and in this order on the bus.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
struct Raw {
    /// Prefix length of IPv4 sources.
    #[cfg_attr(feature = "schema", schemars(range(min = *V4.start(), max = *V4.end())))]
    ipv4: u8,
    /// Prefix length of IPv6 sources.
    #[cfg_attr(feature = "schema", schemars(range(min = *V6.start(), max = *V6.end())))]
    ipv6: u8,
}

const V4: RangeInclusive<u8> = MIN_BANNED_LEN_V4..=SINGLE_LEN_V4;
const V6: RangeInclusive<u8> = MIN_BANNED_LEN_V6..=SINGLE_LEN_V6;

impl Message for SourceLengths {
    const KIND: Kind = Kind::Sources;
}

impl Command for SourceLengths {}

impl Default for SourceLengths {
    fn default() -> Self {
        Self {
            v4: SINGLE_LEN_V4,
            v6: SINGLE_LEN_V6,
        }
    }
}

impl SourceLengths {
    /// # Errors
    ///
    /// Unless IPv4 sources are a /8 to a /32, and IPv6 sources a /19 to a /64.
    pub fn new(v4: u8, v6: u8) -> Result<Self, LengthError> {
        Ok(Self {
            v4: check("IPv4", v4, &V4)?,
            v6: check("IPv6", v6, &V6)?,
        })
    }

    /// The source that `addr` belongs to.
    #[must_use]
    #[inline]
    pub fn of(self, addr: IpAddr) -> Prefix {
        let single = Prefix::single(addr);
        single.widened(self.len_of(&single))
    }

    /// The source that all of `prefix` belongs to; `None` if it is wider than one.
    #[must_use]
    pub fn around(self, prefix: &Prefix) -> Option<Prefix> {
        let len = self.len_of(prefix);
        (prefix.len() >= len).then(|| prefix.widened(len))
    }

    /// Whether it is exactly one source.
    #[must_use]
    #[inline]
    pub fn is_source(self, prefix: &Prefix) -> bool {
        prefix.len() == self.len_of(prefix)
    }

    fn len_of(self, prefix: &Prefix) -> u8 {
        match prefix.addr() {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

impl fmt::Display for SourceLengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPv4 /{} and IPv6 /{}", self.v4, self.v6)
    }
}

impl Default for Raw {
    fn default() -> Self {
        let SourceLengths { v4: ipv4, v6: ipv6 } = SourceLengths::default();
        Self { ipv4, ipv6 }
    }
}

impl TryFrom<Raw> for SourceLengths {
    type Error = LengthError;

    fn try_from(Raw { ipv4, ipv6 }: Raw) -> Result<Self, LengthError> {
        Self::new(ipv4, ipv6)
    }
}

fn check(family: &'static str, len: u8, lengths: &RangeInclusive<u8>) -> Result<u8, LengthError> {
    match lengths.contains(&len) {
        true => Ok(len),
        false => Err(LengthError {
            family,
            len,
            widest: *lengths.start(),
            narrowest: *lengths.end(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{FORMAT, decode};

    fn lengths(v4: u8, v6: u8) -> SourceLengths {
        SourceLengths::new(v4, v6).unwrap()
    }

    #[test]
    fn by_default_a_source_is_a_single_one() {
        let default = SourceLengths::default();
        assert_eq!(default.to_string(), "IPv4 /32 and IPv6 /64");
        for (address, source) in [
            ("198.51.100.7", "198.51.100.7/32"),
            ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(default.of(address).to_string(), source);
            assert_eq!(default.of(address), Prefix::single(address));
        }
    }

    #[test]
    fn wider_sources_take_in_what_lies_within_them() {
        let wide = lengths(24, 48);
        for (prefix, source) in [
            ("198.51.100.7", Some("198.51.100.0/24")),
            ("198.51.100.0/24", Some("198.51.100.0/24")),
            ("198.51.0.0/16", None),
            ("2001:db8:1:2::7", Some("2001:db8:1::/48")),
            ("2001:db8:1:2::7/128", Some("2001:db8:1::/48")),
            ("2001:db8::/32", None),
        ] {
            let prefix: Prefix = prefix.parse().unwrap();
            let around = wide.around(&prefix);
            assert_eq!(
                around.map(|found| found.to_string()).as_deref(),
                source,
                "{prefix}"
            );
            assert_eq!(wide.is_source(&prefix), around == Some(prefix), "{prefix}");
        }
        assert_eq!(
            wide.of("::ffff:198.51.100.7".parse().unwrap()).to_string(),
            "198.51.100.0/24"
        );
    }

    #[test]
    fn a_source_is_neither_narrower_than_a_single_one_nor_wider_than_may_be_banned() {
        let refused = |v4, v6| SourceLengths::new(v4, v6).unwrap_err().to_string();
        assert_eq!(
            refused(7, 64),
            "invalid IPv4 prefix length /7: expected /8 to /32"
        );
        assert_eq!(
            refused(32, 65),
            "invalid IPv6 prefix length /65: expected /19 to /64"
        );
        assert!(SourceLengths::new(33, 64).is_err() && SourceLengths::new(32, 18).is_err());
        assert!(SourceLengths::new(8, 19).is_ok());
    }

    #[test]
    fn a_message_is_checked() {
        let message = |lengths: [u8; 2]| [&[FORMAT, Kind::Sources as u8], &lengths[..], &[0]].concat();
        assert_eq!(decode(&message([24, 56])), Ok(lengths(24, 56)));
        assert!(decode::<SourceLengths>(&message([7, 64])).is_err());
    }

    proptest! {
        #[test]
        fn whatever_lies_in_a_source_leads_to_it(bits in any::<u128>(), is_v4 in any::<bool>(), v4 in V4, v6 in V6) {
            let address = if is_v4 { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) };
            let lengths = lengths(v4, v6);
            let source = lengths.of(address);
            prop_assert!(source.contains(address) && lengths.is_source(&source));
            prop_assert_eq!(lengths.around(&Prefix::host(address)), Some(source));
            prop_assert_eq!(lengths.of(source.addr()), source);
        }
    }
}
