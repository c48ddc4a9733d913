//! Network prefixes in the one form in which SecBeat counts, bans and names sources.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::maps::NetKey;

/// Length of a single IPv4 source.
pub(crate) const SINGLE_LEN_V4: u8 = 32;
/// Length of a single IPv6 source: a client that has one address of a /64 has them all.
pub(crate) const SINGLE_LEN_V6: u8 = 64;
/// Length of the widest IPv4 network that may be banned: the size in which the address space was handed out.
pub(crate) const MIN_BANNED_LEN_V4: u8 = 8;
/// Length of the widest IPv6 network that may be banned: of the size that the largest providers got.
pub(crate) const MIN_BANNED_LEN_V6: u8 = 19;

/// The upper 96 bits of IPv4-mapped addresses, `::ffff:a.b.c.d`.
const MAPPED: u128 = 0xffff;
/// Those of `64:ff9b::a.b.c.d`, as which translators (NAT64, SIIT) show an IPv4 client to IPv6 (RFC 6052).
const TRANSLATED: u128 = 0x0064_ff9b << 64;
/// As many bits.
const EMBEDDING_LEN: u8 = 96;

/// The address that SecBeat counts and bans instead of `addr`: of an IPv4 client that was written as an IPv6 address, the IPv4
/// address. All of IPv4 lies in one /64 of a translator.
#[must_use]
#[inline]
pub fn canonical(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V6(v6) => match v6.to_bits() >> 32 {
            MAPPED | TRANSLATED => IpAddr::V4(Ipv4Addr::from_bits(v6.to_bits() as u32)),
            _ => addr,
        },
        IpAddr::V4(_) => addr,
    }
}

/// A prefix in canonical form: host bits zero, and IPv4 that is written as IPv6 (`::ffff:a.b.c.d`, `64:ff9b::a.b.c.d`) as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "WirePrefix", try_from = "WirePrefix")]
pub struct Prefix(IpNet);

/// In one or two writes, where a derived hash takes five: every answer of the fleet is hashed several times.
impl Hash for Prefix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.addr() {
            IpAddr::V4(v4) => state.write_u64(u64::from(v4.to_bits()) << 8 | u64::from(self.len())),
            IpAddr::V6(v6) => {
                state.write_u128(v6.to_bits());
                state.write_u8(self.len());
            }
        }
    }
}

/// The form on the wire: 16 bytes and a length, as in the kernel's tries.
#[derive(Serialize, Deserialize)]
struct WirePrefix {
    addr: [u8; 16],
    len: u8,
}

/// Mistake in a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("`{0}` is neither an IP address nor a CIDR prefix")]
    Syntax(String),
    #[error("prefix length {len} is over {max}")]
    Length { len: u8, max: u8 },
    #[error("`{0}` is not a ban key")]
    Key(String),
}

impl Prefix {
    /// The prefix of `len` bits that contains `addr`; host bits are cleared.
    ///
    /// # Errors
    ///
    /// Returns an error if `len` exceeds the 32 or 128 bits of the address family.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let (addr, len) = match addr {
            // All that a translator knows is not all of IPv4.
            IpAddr::V6(v6) if v6.to_bits() >> 32 == TRANSLATED && len == EMBEDDING_LEN => (addr, len),
            IpAddr::V6(_) if len >= EMBEDDING_LEN => match canonical(addr) {
                v4 @ IpAddr::V4(_) => (v4, len - EMBEDDING_LEN),
                v6 @ IpAddr::V6(_) => (v6, len),
            },
            _ => (addr, len),
        };
        let max = if addr.is_ipv4() { 32 } else { 128 };
        IpNet::new(addr, len)
            .map(|net| Self(net.trunc()))
            .map_err(|_| PrefixError::Length { len, max })
    }

    /// The address in `text` if that is `ADDRESS/LENGTH` whose address has bits behind the length, which reading it as a prefix clears:
    /// 198.51.100.7 in `198.51.100.7/24`.
    #[must_use]
    pub fn cleared(text: &str) -> Option<IpAddr> {
        let net: Self = text.parse().ok()?;
        let addr: IpAddr = text.split_once('/')?.0.parse().ok()?;
        (net.addr() != addr && net.addr() != canonical(addr)).then(|| canonical(addr))
    }

    /// The single source that `addr` belongs to: its /32, or its /64. What a fleet counts as one source may be wider, see
    /// [`SourceLengths`](crate::sources::SourceLengths).
    #[must_use]
    #[inline]
    pub fn single(addr: IpAddr) -> Self {
        match canonical(addr) {
            IpAddr::V4(v4) => Self(IpNet::V4(Ipv4Net::from(v4))),
            IpAddr::V6(v6) => Self::of_upper_half(((v6.to_bits() >> 64) as u64).to_be_bytes()),
        }
    }

    /// The /64 of IPv6 with these upper bits: a key of `BANNED_V6`.
    #[must_use]
    pub fn of_upper_half(octets: [u8; 8]) -> Self {
        let bits = u128::from(u64::from_be_bytes(octets)) << 64;
        Self(IpNet::V6(Ipv6Net::new_assert(
            Ipv6Addr::from_bits(bits),
            SINGLE_LEN_V6,
        )))
    }

    /// The prefix of `len` bits around it; itself if it is not narrower.
    #[must_use]
    #[inline]
    pub fn widened(self, len: u8) -> Self {
        match len < self.len() {
            true => Self::new(self.addr(), len).unwrap_or(self),
            false => self,
        }
    }

    /// The single address `addr`: its /32 or /128.
    #[must_use]
    pub fn host(addr: IpAddr) -> Self {
        Self(IpNet::from(canonical(addr)))
    }

    /// The first address.
    #[must_use]
    pub fn addr(&self) -> IpAddr {
        self.0.addr()
    }

    /// The length in bits of the address family.
    #[must_use]
    pub fn len(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether it is the whole address space of its family.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is exactly one [single source](Self::single), and so a key of the kernel's hashes of bans.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.len()
            == if self.addr().is_ipv4() {
                SINGLE_LEN_V4
            } else {
                SINGLE_LEN_V6
            }
    }

    /// Whether `addr` lies in it.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.0.contains(&canonical(addr))
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// That it is not banned, and which of the `banned` networks cover it all the same.
    #[must_use]
    pub fn not_banned(&self, banned: impl IntoIterator<Item = Self>) -> String {
        let covering = banned.into_iter().filter(|net| net.covers(self));
        let covering: Vec<_> = covering.map(|net| net.to_string()).collect();
        match covering.as_slice() {
            [] => format!("{self} is not banned"),
            [net] => format!(
                "{self} itself is not banned, but {net}, which covers it, is: --covering unbans that, and --except lets {self} alone through"
            ),
            nets => format!(
                "{self} itself is not banned, but these cover it: {}; --covering unbans them all, and --except lets {self} alone through",
                nets.join(", ")
            ),
        }
    }

    /// That it is banned all the same by those of the `banned` networks that cover it, once its own ban is lifted; `None` if none does.
    #[must_use]
    pub fn still_banned(&self, banned: impl IntoIterator<Item = Self>) -> Option<String> {
        let covering = banned.into_iter().filter(|net| net != self && net.covers(self));
        let covering: Vec<_> = covering.map(|net| net.to_string()).collect();
        let what = match covering.as_slice() {
            [] => return None,
            [net] => format!("{net}, which covers it, is banned: --covering unbans that"),
            nets => format!(
                "these networks, which cover it, are banned: {}; --covering unbans them",
                nets.join(", ")
            ),
        };
        Some(format!(
            "the ban of {self} itself is lifted, but its packets are still dropped: {what}, too, and --except lets {self} alone through"
        ))
    }

    /// Itself and every wider network around it that may be banned, the narrowest first.
    pub fn around(self) -> impl Iterator<Item = Self> {
        let widest = self.min_banned_len().min(self.len());
        (widest..=self.len())
            .rev()
            .filter_map(move |len| Self::new(self.addr(), len).ok())
    }

    /// Returns why nobody should ever ban it, if so: addresses that no client has, or that every client may need, and networks
    /// wider than what one provider commonly holds, which are a slip of the keyboard and half a continent.
    #[must_use]
    pub fn unbannable(&self) -> Option<&'static str> {
        const NEVER: [(&str, &str); 9] = [
            ("0.0.0.0/8", "\"this network\" (RFC 1122)"),
            ("127.0.0.0/8", "loopback"),
            ("224.0.0.0/4", "multicast"),
            ("255.255.255.255/32", "broadcast"),
            ("::/64", "unspecified and loopback"),
            ("fe80::/10", "link-local"),
            ("ff00::/8", "multicast"),
            ("::ffff:0:0/96", "IPv4-mapped"),
            ("64:ff9b::/96", "all of IPv4, translated (RFC 6052)"),
        ];
        /// Where in it an IPv4 address lies is the translator's to say.
        const LOCALLY_TRANSLATED: &str = "64:ff9b:1::/48";
        if self.len() < self.min_banned_len() {
            return Some(match self.addr() {
                IpAddr::V4(_) => "wider than a /8, the widest network that can be banned",
                IpAddr::V6(_) => "wider than a /19, the widest network that can be banned",
            });
        }
        let touches = |net: &str| {
            let net: Result<IpNet, _> = net.parse();
            net.is_ok_and(|net| net.contains(&self.0) || self.0.contains(&net))
        };
        if self.len() < 128 && touches(LOCALLY_TRANSLATED) {
            return Some("many IPv4 clients, translated (RFC 8215)");
        }
        NEVER.iter().find(|(net, _)| touches(net)).map(|(_, why)| *why)
    }

    /// Whether it is an IPv6 network around the IPv4-mapped addresses (`::ffff:0:0/96`), as which the kernel's tries hold
    /// all of IPv4, or around those of translators (`64:ff9b::/96`), which stand for IPv4 clients, too.
    #[must_use]
    pub fn holds_ipv4(&self) -> bool {
        [MAPPED, TRANSLATED]
            .iter()
            .any(|upper| self.0.contains(&IpAddr::V6(Ipv6Addr::from_bits(upper << 32))))
    }

    /// Length of the widest network of its family that may be banned.
    fn min_banned_len(&self) -> u8 {
        match self.addr() {
            IpAddr::V4(_) => MIN_BANNED_LEN_V4,
            IpAddr::V6(_) => MIN_BANNED_LEN_V6,
        }
    }

    /// The key in the `secbeat_bans` bucket: `v4.c6336407.32`, `v6.20010db8000000000000000000000000.64`.
    #[must_use]
    pub fn key(&self) -> String {
        match self.addr() {
            IpAddr::V4(v4) => format!("v4.{:08x}.{}", u32::from(v4), self.len()),
            IpAddr::V6(v6) => format!("v6.{:032x}.{}", u128::from(v6), self.len()),
        }
    }

    /// The inverse of [`key`](Self::key).
    ///
    /// # Errors
    ///
    /// Returns an error if `key` is not exactly what [`key`](Self::key) writes.
    pub fn from_key(key: &str) -> Result<Self, PrefixError> {
        let parse = || {
            let mut parts = key.split('.');
            let (family, hex, len) = (parts.next()?, parts.next()?, parts.next()?);
            let addr = match family {
                "v4" => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?)),
                "v6" => IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(hex, 16).ok()?)),
                _ => return None,
            };
            Self::new(addr, len.parse().ok()?)
                .ok()
                .filter(|prefix| prefix.key() == key)
        };
        parse().ok_or_else(|| PrefixError::Key(key.to_owned()))
    }

    /// The partition that owns this source: a stable hash (64-bit FNV-1a over the key bytes of the LPM tries) modulo
    /// `partitions`. It must be the same in every release, since edges and orchestrators upgrade one by one.
    #[must_use]
    pub fn partition(&self, partitions: u16) -> u16 {
        // What all addresses of a family have in common, zeros above all, is hashed in one step.
        let hash = match self.addr() {
            IpAddr::V4(v4) => Fnv::MAPPED.bytes(&v4.octets()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let upper = Fnv::NEW.bytes(&((bits >> 64) as u64).to_be_bytes());
                match bits as u64 {
                    0 => upper.zeros::<8>(),
                    lower => upper.bytes(&lower.to_be_bytes()),
                }
            }
        };
        let NetKey { prefix_len, .. } = self.net_key();
        let Fnv(hash) = hash.bytes(&[prefix_len as u8]).zeros::<3>();
        // The low bits of FNV mix badly on their own; fold the high half in.
        ((hash ^ (hash >> 32)) % u64::from(partitions.max(1))) as u16
    }

    /// The key in the kernel's LPM tries.
    #[must_use]
    pub fn net_key(&self) -> NetKey {
        match self.addr() {
            IpAddr::V4(v4) => NetKey {
                prefix_len: u32::from(self.len()) + 96,
                addr: v4.to_ipv6_mapped().octets(),
            },
            IpAddr::V6(v6) => NetKey {
                prefix_len: u32::from(self.len()),
                addr: v6.octets(),
            },
        }
    }
}

/// The state of 64-bit FNV-1a (Fowler, Noll and Vo, draft-eastlake-fnv).
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);
    /// After the first twelve bytes of an IPv4-mapped address.
    const MAPPED: Self = Self::NEW.zeros::<10>().bytes(&[0xff, 0xff]);

    const fn bytes(self, bytes: &[u8]) -> Self {
        let (mut hash, mut at) = (self.0, 0);
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(Self::PRIME);
            at += 1;
        }
        Self(hash)
    }

    /// `N` bytes that are zero.
    const fn zeros<const N: u32>(self) -> Self {
        Self(self.0.wrapping_mul(const { Self::PRIME.wrapping_pow(N) }))
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// An address stands for its source (`2001:db8::1` is `2001:db8::/64`); `ADDRESS/LENGTH` for itself.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let syntax = || PrefixError::Syntax(text.to_owned());
        match text.split_once('/') {
            None => text.parse().map(Self::single).map_err(|_| syntax()),
            Some((addr, len)) => Self::new(
                addr.parse().map_err(|_| syntax())?,
                len.parse().map_err(|_| syntax())?,
            ),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Prefix> for WirePrefix {
    fn from(prefix: Prefix) -> Self {
        let NetKey { addr, prefix_len } = prefix.net_key();
        Self {
            addr,
            len: prefix_len as u8,
        }
    }
}

impl TryFrom<WirePrefix> for Prefix {
    type Error = PrefixError;

    fn try_from(WirePrefix { addr, len }: WirePrefix) -> Result<Self, PrefixError> {
        Self::new(IpAddr::from(addr), len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_banned_by_networks_too_is_told_of_them() {
        let client = prefix("198.51.100.7");
        let banned = |texts: &[&str]| client.still_banned(texts.iter().map(|text| prefix(text)));
        assert_eq!(banned(&["198.51.100.7", "203.0.113.0/24"]), None);
        let one = banned(&["198.51.100.0/24"]).unwrap();
        assert!(
            one.contains("198.51.100.0/24, which covers it") && one.contains("--covering"),
            "{one}"
        );
        let two = banned(&["198.51.0.0/16", "198.51.100.0/24"]).unwrap();
        assert!(
            two.contains("are banned: 198.51.0.0/16, 198.51.100.0/24;"),
            "{two}"
        );
    }

    #[test]
    fn who_is_banned_by_networks_alone_is_told_of_them_and_of_both_ways_out() {
        let client = prefix("198.51.100.7");
        let not_banned = |texts: &[&str]| client.not_banned(texts.iter().map(|text| prefix(text)));
        assert_eq!(not_banned(&["203.0.113.0/24"]), "198.51.100.7/32 is not banned");
        for nets in [&["198.51.100.0/24"][..], &["198.51.0.0/16", "198.51.100.0/24"]] {
            let told = not_banned(nets);
            let ways = ["--covering unbans", "--except lets 198.51.100.7/32 alone through"];
            assert!(nets.iter().chain(&ways).all(|part| told.contains(part)), "{told}");
        }
    }

    #[test]
    fn an_address_with_the_length_of_its_network_is_told_from_the_network() {
        for (text, address) in [
            ("198.51.100.7/24", Some("198.51.100.7")),
            ("2001:db8::1/64", Some("2001:db8::1")),
            ("::ffff:198.51.100.7/120", Some("198.51.100.7")),
            ("198.51.100.0/24", None),
            ("198.51.100.7/32", None),
            ("198.51.100.7", None),
            ("64:ff9b::/96", None),
            ("64:ff9b::c000:207/128", None),
            ("198.51.100.7/33", None),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(Prefix::cleared(text), address, "{text}");
        }
    }

    #[test]
    fn networks_around_the_mapped_addresses_are_told_from_others() {
        for around in [
            "::/0",
            "::/1",
            "::/80",
            "::fffe:0:0/95",
            "64:ff9b::/96",
            "64:ff9b::/32",
        ] {
            assert!(prefix(around).holds_ipv4(), "{around}");
        }
        for other in [
            "0.0.0.0/0",
            "192.0.2.0/24",
            "2000::/3",
            "::/96",
            "2001:db8::/64",
            "::fffe:0:0/96",
            "64:ff9b::/97",
            "64:ff9b:1::/48",
        ] {
            assert!(!prefix(other).holds_ipv4(), "{other}");
        }
    }

    #[test]
    fn addresses_stand_for_their_source() {
        assert_eq!(prefix("198.51.100.7").to_string(), "198.51.100.7/32");
        assert_eq!(prefix("2001:db8:1:2:3:4:5:6").to_string(), "2001:db8:1:2::/64");
        assert_eq!(prefix("::ffff:198.51.100.7").to_string(), "198.51.100.7/32");
        assert_eq!(prefix("::ffff:198.51.100.0/120").to_string(), "198.51.100.0/24");
        assert_eq!(prefix("198.51.100.7/24").to_string(), "198.51.100.0/24");
    }

    /// All of IPv4 was one source, its /64.
    #[test]
    fn who_comes_through_a_translator_counts_as_the_ipv4_client() {
        for (text, source) in [
            ("64:ff9b::198.51.100.7", "198.51.100.7/32"),
            ("64:ff9b::c633:6407/128", "198.51.100.7/32"),
            ("64:ff9b::198.51.100.0/120", "198.51.100.0/24"),
            ("64:ff9b::/96", "64:ff9b::/96"),
            ("64:ff9b::198.51.100.7/96", "64:ff9b::/96"),
            ("64:ff9b::/64", "64:ff9b::/64"),
            ("64:ff9b:1::198.51.100.7", "64:ff9b:1::/64"),
        ] {
            assert_eq!(prefix(text).to_string(), source, "{text}");
        }
        let address = "64:ff9b::198.51.100.7".parse().unwrap();
        assert!(prefix("198.51.100.0/24").contains(address));
        assert_eq!(Prefix::host(address), prefix("198.51.100.7"));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in [
            "",
            "example.org",
            "198.51.100.256",
            "198.51.100.7/33",
            "2001:db8::/129",
            "1.2.3.4/x",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
        assert_eq!(
            "nope".parse::<Prefix>().unwrap_err().to_string(),
            "`nope` is neither an IP address nor a CIDR prefix"
        );
    }

    #[test]
    fn bucket_keys_are_golden() {
        assert_eq!(prefix("198.51.100.7").key(), "v4.c6336407.32");
        assert_eq!(
            prefix("2001:db8:1:2::9").key(),
            "v6.20010db8000100020000000000000000.64"
        );
        for key in [
            "",
            "v4.c6336407",
            "v4.C6336407.32",
            "v4.c6336407.032",
            "v5.c6336407.32",
            "v4.c6336407.24",
            "v4.c6336407.32.x",
        ] {
            assert!(Prefix::from_key(key).is_err() || key.ends_with(".x"), "{key:?}");
        }
    }

    #[test]
    fn partitions_are_golden_since_a_fleet_upgrades_one_by_one() {
        let partitions = [
            "198.51.100.7",
            "198.51.100.8",
            "203.0.113.1",
            "2001:db8:1:2::",
            "2001:db8:1:3::",
        ];
        let partitions: Vec<u16> = partitions.iter().map(|p| prefix(p).partition(16)).collect();
        assert_eq!(partitions, GOLDEN_PARTITIONS);
    }

    const GOLDEN_PARTITIONS: [u16; 5] = [2, 8, 15, 8, 1];

    #[test]
    fn nobody_bans_what_is_no_clients_address() {
        for text in [
            "127.0.0.1",
            "0.0.0.0/0",
            "::/0",
            "::1",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "198.0.0.0/7",
            "2001::/18",
            "126.0.0.0/7",
            "64:ff9b::/96",
            "64:ff9b::/64",
            "64:ff9b::/32",
            "64:ff9b:1::198.51.100.7",
            "64:ff9b:1:2::/96",
        ] {
            assert!(prefix(text).unbannable().is_some(), "{text}");
        }
        for text in [
            "198.51.100.7",
            "2001:db8::1",
            "10.0.0.1",
            "203.0.113.0/24",
            "198.0.0.0/8",
            "2001::/19",
            "2001:db8::1/128",
            "64:ff9b::198.51.100.7",
            "64:ff9b:1::198.51.100.7/128",
        ] {
            assert_eq!(prefix(text).unbannable(), None, "{text}");
        }
    }

    /// As it is defined, byte by byte.
    fn plain_partition(prefix: &Prefix, partitions: u16) -> u16 {
        let NetKey { addr, prefix_len } = prefix.net_key();
        let bytes = addr.into_iter().chain(prefix_len.to_le_bytes());
        let hash = bytes.fold(Fnv::NEW.0, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(Fnv::PRIME)
        });
        ((hash ^ (hash >> 32)) % u64::from(partitions)) as u16
    }

    fn any_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (any::<u32>(), 0..=32u8).prop_map(|(a, l)| (IpAddr::V4(a.into()), l));
        let v6 = (any::<u128>(), 0..=128u8).prop_map(|(a, l)| (IpAddr::V6(a.into()), l));
        prop_oneof![v4, v6].prop_map(|(addr, len)| Prefix::new(addr, len).unwrap())
    }

    proptest! {
        #[test]
        fn key_text_and_wire_form_lead_back(prefix in any_prefix()) {
            prop_assert_eq!(Prefix::from_key(&prefix.key()), Ok(prefix));
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
            prop_assert_eq!(Prefix::try_from(WirePrefix::from(prefix)), Ok(prefix));
        }

        /// Any address, however it is written.
        #[test]
        fn every_way_to_write_an_ipv4_client_is_one_source(bits in any::<u32>(), net in any_prefix()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let translated = Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(bits));
            for written in [v4.to_ipv6_mapped(), translated].map(IpAddr::V6) {
                prop_assert_eq!(Prefix::single(written), Prefix::single(v4.into()));
                prop_assert_eq!(Prefix::host(written), Prefix::host(v4.into()));
                prop_assert_eq!(net.contains(written), net.contains(v4.into()));
                prop_assert_eq!(canonical(written), IpAddr::V4(v4));
            }
        }

        #[test]
        fn nobody_else_is_taken_for_an_ipv4_client(bits in any::<u128>(), upper in prop_oneof![Just(MAPPED), Just(TRANSLATED)], flipped in 32..128_u32) {
            let near = Ipv6Addr::from_bits((upper << 32 | u128::from(bits as u32)) ^ 1 << flipped);
            prop_assert_eq!(canonical(near.into()), IpAddr::V6(near));
            prop_assert_eq!(Prefix::single(near.into()).len(), 64);
        }

        #[test]
        fn a_partition_is_the_hash_of_all_bytes(prefix in any_prefix(), partitions in 1..=64u16) {
            prop_assert_eq!(prefix.partition(partitions), plain_partition(&prefix, partitions));
            prop_assert!(prefix.partition(partitions) < partitions);
        }
    }
}
