//! Whom a command is about.

use std::{
    io::{self, IsTerminal as _},
    net::IpAddr,
    str::FromStr,
};

use anyhow::Context;
use clap::{ArgGroup, Args};

use secbeat_common::prefix::{Prefix, PrefixError};

use crate::{complain, exit::Coded};

/// A source or a network, said in one of three ways.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).multiple(false))]
pub struct Target {
    /// An address, which stands for its source (an IPv4 address, or the /64 of an IPv6 address), or a CIDR.
    #[arg(group = "whom")]
    target: Option<Said>,
    /// The source of this address.
    #[arg(long, short, group = "whom", value_parser = source)]
    ip: Option<Said>,
    /// This network.
    #[arg(long, short, value_name = "CIDR", group = "whom", value_parser = network)]
    range: Option<Said>,
    /// Take the network of a CIDR such as 198.51.100.7/24, whose address has bits behind its length, without asking.
    #[arg(long)]
    network: bool,
}

/// What somebody typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    prefix: Prefix,
    /// The address in it, if the prefix is not all that it may mean: 198.51.100.7 in `198.51.100.7/24`.
    address: Option<IpAddr>,
}

impl FromStr for Said {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        Ok(Self {
            prefix: text.parse()?,
            address: Prefix::cleared(text),
        })
    }
}

impl Target {
    /// The prefix that is meant; somebody at a terminal is asked if it could be two.
    ///
    /// # Errors
    ///
    /// When it could be two, and nobody says which.
    pub fn prefix(&self) -> anyhow::Result<Prefix> {
        let said = self.target.or(self.ip).or(self.range).context("no target")?;
        let Some(address) = said.address.filter(|_| !self.network) else {
            return Ok(said.prefix);
        };
        let (network, alone) = (said.prefix, Prefix::single(address));
        let both = format!(
            "{address} with the length of its network may mean the network {network} or {address} alone"
        );
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let message = format!("{both}: say `{network}` (or --network), or `{address}`");
            return Err(Coded::usage(message).into());
        }
        complain!("{both}. Which one? Type `network` or `address`:");
        let mut answer = String::new();
        io::stdin()
            .read_line(&mut answer)
            .context("reading your answer")?;
        match answer.trim() {
            "network" | "n" => Ok(network),
            "address" | "a" => Ok(alone),
            _ => Err(Coded::usage(format!("nothing was done: {both}")).into()),
        }
    }
}

fn source(text: &str) -> Result<Said, String> {
    let address = text.parse::<IpAddr>();
    let said = address.map(|address| Said {
        prefix: Prefix::single(address),
        address: None,
    });
    said.map_err(|_| format!("invalid address `{text}`: expected one such as 192.0.2.1 or 2001:db8::1"))
}

fn network(text: &str) -> Result<Said, String> {
    if !text.contains('/') {
        return Err(format!(
            "invalid network `{text}`: expected one such as 192.0.2.0/24"
        ));
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// Bans that are asked for: those around an address, or those of a network and within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    Around(IpAddr),
    Within(Prefix),
}

impl FromStr for Near {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        match text.parse() {
            Ok(address) => Ok(Self::Around(address)),
            Err(_) => text.parse().map(Self::Within),
        }
    }
}

impl Near {
    /// Whether a ban of `target` is one of them.
    #[must_use]
    pub fn takes(&self, target: &Prefix) -> bool {
        match self {
            Self::Around(address) => target.contains(*address),
            Self::Within(network) => network.covers(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        target: Target,
    }

    fn parsed(arguments: &[&str]) -> Option<Target> {
        let all = ["x"].iter().chain(arguments);
        Some(Cli::try_parse_from(all).ok()?.target)
    }

    fn meant(arguments: &[&str]) -> String {
        parsed(arguments).unwrap().prefix().unwrap().to_string()
    }

    #[test]
    fn a_target_is_said_in_one_of_three_ways() {
        assert_eq!(meant(&["192.0.2.1"]), "192.0.2.1/32");
        assert_eq!(meant(&["-i", "192.0.2.1"]), "192.0.2.1/32");
        assert_eq!(meant(&["-r", "192.0.2.1/32"]), "192.0.2.1/32");
        assert_eq!(meant(&["--ip", "2001:db8::7"]), "2001:db8::/64");
        assert_eq!(meant(&["--range", "192.0.2.0/24"]), "192.0.2.0/24");
        for wrong in [
            &[][..],
            &["--network"],
            &["-i", "192.0.2.0/24"],
            &["-r", "192.0.2.1"],
            &["192.0.2.1", "-i", "192.0.2.1"],
            &["-i", "192.0.2.1", "-r", "192.0.2.0/24"],
        ] {
            assert!(parsed(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_with_a_length_is_a_network_only_if_that_is_said() {
        for arguments in [&["198.51.100.7/24"][..], &["-r", "198.51.100.7/24"]] {
            // Tests have no terminal to ask at.
            let error = parsed(arguments).unwrap().prefix().unwrap_err().to_string();
            assert!(error.contains("`198.51.100.0/24` (or --network)"), "{error}");
            assert!(error.contains("`198.51.100.7`"), "{error}");
            assert_eq!(meant(&[arguments, &["--network"]].concat()), "198.51.100.0/24");
        }
        assert_eq!(meant(&["2001:db8::1", "--network"]), "2001:db8::/64");
    }

    #[test]
    fn bans_near_an_address_cover_it_and_those_near_a_network_are_in_it() {
        let takes = |near: &str, target: &str| {
            let near: Near = near.parse().unwrap();
            near.takes(&target.parse().unwrap())
        };
        assert!(takes("192.0.2.7", "192.0.2.0/24") && takes("192.0.2.7", "192.0.2.7"));
        assert!(!takes("192.0.2.7", "192.0.2.8"));
        assert!(takes("192.0.2.0/24", "192.0.2.7") && !takes("192.0.2.0/25", "192.0.2.0/24"));
    }
}
