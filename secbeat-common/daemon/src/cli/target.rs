//! Target of a command.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};

use secbeat_common::prefix::{Prefix, PrefixError};

use crate::{complain, exit::Coded, term::Term};

/// A source or a network, said in one of three ways.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).multiple(false))]
pub struct Target {
    /// An address, which stands for its source (an IPv4 address, or the /64 of an IPv6 address), or a CIDR.
    #[arg(group = "whom")]
    target: Option<Said>,
    /// This address (IPv6: its /64).
    #[arg(long, short, group = "whom", value_parser = source)]
    ip: Option<Said>,
    /// This network.
    #[arg(long, short, value_name = "CIDR", group = "whom", value_parser = network)]
    range: Option<Said>,
    /// Take the network of a CIDR such as 198.51.100.7/24, whose address has bits behind its length, without asking.
    #[arg(long)]
    network: bool,
}

/// Sources and networks to ban.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).multiple(true))]
pub struct Targets {
    /// Addresses, which stand for their sources (an IPv4 address, or the /64 of an IPv6 address), and CIDRs.
    #[arg(group = "whom", value_parser = to_ban)]
    targets: Vec<Said>,
    /// Ban this address (IPv6: its /64).
    #[arg(long, short, group = "whom", value_parser = source)]
    ip: Vec<Said>,
    /// Ban this network.
    #[arg(long, short, value_name = "CIDR", group = "whom", value_parser = network)]
    range: Vec<Said>,
    #[arg(long, short = 'v', hide = true, group = "whom", value_parser = to_ban)]
    value: Vec<Said>,
    /// Take the network of a CIDR such as 198.51.100.7/24, whose address has bits behind its length, without asking.
    #[arg(long)]
    network: bool,
    #[command(flatten)]
    _of_cscli: DecisionOptions,
}

/// Options of `cscli decisions` that say what is so here anyway.
#[derive(Clone, Debug, Args)]
pub struct DecisionOptions {
    #[arg(long = "type", short = 't', value_name = "TYPE", hide = true, value_parser = ["ban"])]
    _kind: Option<String>,
    #[arg(long = "scope", value_name = "SCOPE", hide = true, ignore_case = true, value_parser = ["ip", "range"])]
    _scope: Option<String>,
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
    /// Returns an error if it could be two, and nobody says which.
    pub fn prefix(&self) -> anyhow::Result<Prefix> {
        let said = self.target.or(self.ip).or(self.range).context("no target")?;
        said.meant(self.network)
    }
}

impl Targets {
    /// The prefixes that are meant, each once, in the order in which they were typed.
    ///
    /// # Errors
    ///
    /// Returns an error if one could be two, and nobody says which; when one of several can never be banned.
    pub fn prefixes(&self) -> anyhow::Result<Vec<Prefix>> {
        let said = self.targets.iter().chain(&self.ip).chain(&self.range);
        let mut meant = Vec::new();
        let mut known = BTreeSet::new();
        for said in said.chain(&self.value) {
            let target = said.meant(self.network)?;
            if known.insert(target) {
                meant.push(target);
            }
        }
        let never = meant
            .iter()
            .find_map(|target| Some((target, target.unbannable()?)));
        match never {
            // The daemon says so of a single one.
            Some((target, why)) if meant.len() > 1 => {
                bail!("nothing was done: {target} is never banned: {why}")
            }
            _ => Ok(meant),
        }
    }
}

impl Said {
    fn meant(self, is_network: bool) -> anyhow::Result<Prefix> {
        let Some(address) = self.address.filter(|_| !is_network) else {
            return Ok(self.prefix);
        };
        let (network, alone) = (self.prefix, Prefix::single(address));
        let both = format!("ambiguous `{address}/{}`", network.len());
        let means = format!("`{network}` (or --network) for the network, or `{address}` for the address");
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let message = format!("{both}: write {means}");
            return Err(Coded::usage(message).into());
        }
        complain!("{both}: the network {network}, or {address} alone? Type `network` or `address`:");
        let mut answer = String::new();
        io::stdin()
            .read_line(&mut answer)
            .context("reading your answer")?;
        match answer.trim() {
            "network" | "n" => Ok(network),
            "address" | "a" => Ok(alone),
            _ => Err(Coded::usage(format!("nothing was done: {both}: write {means}")).into()),
        }
    }
}

/// Reads a target of a ban. The error says what a text that cannot be banned seems to be.
fn to_ban(text: &str) -> Result<Said, String> {
    // `ban 192.0.2.0 255.255.255.0` means a network, and would ban two addresses.
    let mask = text.parse::<Ipv4Addr>().ok().and_then(mask_len);
    if mask.is_some_and(|len| len < 32) {
        return Err(format!(
            "`{text}` is a mask, not an address: type the network with its length, such as 192.0.2.0/24"
        ));
    }
    text.parse()
        .map_err(|error: PrefixError| taken_for(text).unwrap_or_else(|| error.to_string()))
}

/// The length of a mask from 255.0.0.0 on.
fn mask_len(mask: Ipv4Addr) -> Option<u32> {
    let bits = mask.to_bits();
    let len = bits.leading_ones();
    (len >= 8 && bits.count_ones() == len).then_some(len)
}

/// Returns what `text`, written as other programs write addresses, is here.
fn written_elsewhere(text: &str) -> Option<String> {
    let written = |target: &str| format!("`{text}`: write `{target}`");
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(format!(
            "`{text}` has a port, and a ban holds for all ports: write `{}`",
            socket.ip()
        ));
    }
    if let Some((address, mask)) = text.split_once('/')
        && let Some(len) = mask.parse::<Ipv4Addr>().ok().and_then(mask_len)
        && address.parse::<Ipv4Addr>().is_ok()
    {
        return Some(written(&format!("{address}/{len}")));
    }
    if let Some((address, _)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return Some(format!(
            "`{text}` has a zone, and packets have none: write `{address}`"
        ));
    }
    let bare: String = text.chars().filter(|c| !"[]".contains(*c)).collect();
    if bare.len() < text.len() && bare.parse::<Prefix>().is_ok() {
        return Some(written(&bare));
    }
    let starred = text.strip_suffix(".*").map(|known| format!("{known}.0/24"));
    if let Some(network) = starred.filter(|network| network.parse::<Prefix>().is_ok()) {
        return Some(written(&network));
    }
    let parts: Vec<_> = text.split([',', ';']).filter(|part| !part.is_empty()).collect();
    (parts.len() > 1 && parts.iter().all(|part| part.trim().parse::<Prefix>().is_ok()))
        .then(|| format!("`{text}` is several targets: write blanks between them"))
}

/// Returns what `text`, which is neither an address nor a network, seems to be, and what to do with it.
fn taken_for(text: &str) -> Option<String> {
    if let Some(written) = written_elsewhere(text) {
        return Some(written);
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // No address is a duration, and a number alone is neither.
    if !is_number(text) && text.parse::<Term>().is_ok() {
        return Some(format!(
            "`{text}` is a duration, not an address: type `--duration {text}`"
        ));
    }
    let is_address = |text: &str| text.trim().parse::<IpAddr>().is_ok();
    if text
        .split_once('-')
        .is_some_and(|(first, last)| is_address(first) && is_address(last))
    {
        return Some(format!(
            "`{text}` is a range: give its networks instead, such as 192.0.2.0/24; the fleet's `import` takes ranges from a file"
        ));
    }
    let number = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as"));
    if number.is_some() && text.get(2..).is_some_and(is_number) {
        return Some(format!(
            "`{text}` is the number of a provider, and bans are of addresses and networks: `asn` of a [[list]] in the config of an edge drops a provider's networks"
        ));
    }
    let address = text.split('/').next().unwrap_or(text);
    let octets: Vec<_> = address.split('.').collect();
    let has_zero = octets
        .iter()
        .any(|octet| octet.len() > 1 && octet.starts_with('0'));
    (octets.len() == 4 && octets.iter().all(|octet| is_number(octet)) && has_zero).then(|| {
        format!(
            "`{text}` has a number with a leading zero, which some programs take for octal: write it without"
        )
    })
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

    #[derive(Debug, Parser)]
    struct Ban {
        #[command(flatten)]
        targets: Targets,
    }

    fn banned(line: &str) -> Result<String, String> {
        let all = ["x"].into_iter().chain(line.split_whitespace());
        let ban = Ban::try_parse_from(all).map_err(|error| error.to_string())?;
        let prefixes = ban.targets.prefixes().map_err(|error| error.to_string())?;
        let named: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
        Ok(named.join(" "))
    }

    #[test]
    fn several_are_banned_or_none_if_one_of_them_cannot_be() {
        for (line, expected) in [
            ("192.0.2.1", "192.0.2.1/32"),
            (
                "192.0.2.9 2001:db8::7 192.0.2.9/32 192.0.2.1",
                "192.0.2.9/32 2001:db8::/64 192.0.2.1/32",
            ),
            (
                "-i 192.0.2.1 --ip 192.0.2.2 -r 198.51.100.0/24",
                "192.0.2.1/32 192.0.2.2/32 198.51.100.0/24",
            ),
            // As `cscli decisions add` has it.
            ("--ip 192.0.2.1 --type ban", "192.0.2.1/32"),
            ("--scope Ip --value 192.0.2.1 -t ban", "192.0.2.1/32"),
            ("127.0.0.1", "127.0.0.1/32"),
        ] {
            assert_eq!(banned(line).as_deref(), Ok(expected), "{line}");
        }
        for (line, why) in [
            ("", "required"),
            (
                "192.0.2.1 192.0.2",
                "`192.0.2` is neither an IP address nor a CIDR",
            ),
            ("192.0.2.1 198.51.100.7/24", "(or --network)"),
            (
                "192.0.2.1 127.0.0.1",
                "nothing was done: 127.0.0.1/32 is never banned: loopback",
            ),
            ("192.0.2.1 10m", "type `--duration 10m`"),
            ("192.0.2.1 3600", "`3600` is neither"),
            ("198.51.100.012", "has a number with a leading zero"),
            ("198.51.100.1-198.51.100.9", "is a range: give its networks"),
            ("AS64500", "is the number of a provider"),
            ("as", "`as` is neither"),
            ("192.0.2.0 255.255.255.0", "`255.255.255.0` is a mask"),
            ("192.0.2.0/255.255.255.0", "write `192.0.2.0/24`"),
            ("192.0.2.1:443", "a ban holds for all ports: write `192.0.2.1`"),
            ("[2001:db8::7]:443", "write `2001:db8::7`"),
            ("[2001:db8::]/64", "write `2001:db8::/64`"),
            (
                "fe80::1%eth0",
                "has a zone, and packets have none: write `fe80::1`",
            ),
            ("192.0.2.*", "write `192.0.2.0/24`"),
            ("192.0.2.1,192.0.2.9", "write blanks between them"),
            ("-i 192.0.2.1 --type captcha", "captcha"),
            ("--scope country --value 192.0.2.1", "country"),
        ] {
            let error = banned(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
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
