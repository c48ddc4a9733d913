//! Client of a request: the other end of its TCP connection, or whom a trusted proxy names.
//!
//! A header counts only if a host of `trusted_proxies` sent it, and then exactly one header counts, the configured one. A
//! request whose header cannot be understood is attributed to no client: it is served and counted.

mod announced;
mod chain;
#[cfg(test)]
mod oracle;
mod proxy_protocol;
mod stats;
#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use secbeat_common::{net_table::NetTable, prefix::Prefix, wire::LearnedFrom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use self::chain::Grammar;
pub(crate) use self::{chain::Unattributed, proxy_protocol::proxied_client, stats::ClientStats};

/// Client that a request is counted for, and refused as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// In canonical form: an IPv4-mapped address as IPv4.
    pub address: IpAddr,
    pub learned_from: LearnedFrom,
}

impl Client {
    /// The other end of a TCP connection.
    #[must_use]
    pub fn peer(address: IpAddr) -> Self {
        Self {
            address: address.to_canonical(),
            learned_from: LearnedFrom::Peer,
        }
    }
}

/// The client, or why there is none to name.
pub(crate) type Attribution = Result<Client, Unattributed>;

/// A connection that a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opened it, in canonical form.
    pub peer: IpAddr,
    /// Whom it is from: the peer, or whom the peer's PROXY header names.
    pub from: Attribution,
}

impl Connection {
    /// A connection without a PROXY header.
    #[must_use]
    pub fn direct(peer: IpAddr) -> Self {
        let client = Client::peer(peer);
        Self {
            peer: client.address,
            from: Ok(client),
        }
    }

    /// The nearest address that is known on the way to the client.
    #[must_use]
    pub fn last_hop(&self) -> IpAddr {
        self.from.map_or(self.peer, |client| client.address)
    }
}

/// Networks of the trusted proxies.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(NetTable<()>);

impl TrustedProxies {
    /// Whether `address` is one of theirs.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.0.around(&Prefix::host(address)).next().is_some()
    }
}

impl FromIterator<Prefix> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Prefix>>(networks: I) -> Self {
        let mut table = NetTable::default();
        for network in networks {
            table.insert(network, ());
        }
        Self(table)
    }
}

/// The one header in which trusted proxies name the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHeader {
    name: HeaderName,
    grammar: Grammar,
}

impl ClientHeader {
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.name
    }
}

impl Default for ClientHeader {
    /// `x-forwarded-for`
    fn default() -> Self {
        HeaderName::from_static("x-forwarded-for").into()
    }
}

impl From<HeaderName> for ClientHeader {
    fn from(name: HeaderName) -> Self {
        let grammar = match name == header::FORWARDED {
            true => Grammar::Forwarded,
            false => Grammar::Addresses,
        };
        Self { name, grammar }
    }
}

impl FromStr for ClientHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        HeaderName::from_bytes(text.as_bytes())
            .map(Self::from)
            .map_err(|_| {
                format!("invalid header name `{text}`: expected one such as x-forwarded-for, forwarded or cf-connecting-ip")
            })
    }
}

impl fmt::Display for ClientHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Serialize for ClientHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The proxies that may name a client, and in which header.
#[derive(Clone, Debug, Default)]
pub struct ClientRule {
    pub trusted: TrustedProxies,
    pub header: ClientHeader,
}

impl ClientRule {
    /// Returns whom a request with these `headers` is from.
    ///
    /// # Errors
    ///
    /// Returns an error if no client can be identified.
    pub fn client(&self, connection: &Connection, headers: &HeaderMap) -> Attribution {
        let other_end = connection.from?;
        if !self.trusted.contains(other_end.address) {
            return Ok(other_end);
        }
        let lines = headers
            .get_all(&self.header.name)
            .iter()
            .map(HeaderValue::as_bytes);
        let is_trusted = |address| self.trusted.contains(address);
        Ok(Client {
            address: chain::client(self.header.grammar, lines, is_trusted)?,
            learned_from: LearnedFrom::Header,
        })
    }
}
