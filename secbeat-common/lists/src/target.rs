//! Networks as lists write them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use secbeat_common::prefix::{Prefix, PrefixError};

/// The networks that `text` names: an address, a CIDR, a network with its mask, a range `a-b`, or `192.0.2.*`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn networks(text: &str) -> Result<Vec<Prefix>, String> {
    let text = text.trim();
    let no_network = match text.parse::<Prefix>() {
        Ok(network) => return Ok(vec![network]),
        Err(error @ PrefixError::Length { .. }) => return Err(error.to_string()),
        Err(error) => error,
    };
    if let Some(bare) = bracketed(text) {
        return networks(&bare);
    }
    if let Some((first, last)) = text.split_once('-')
        && let (Some(first), Some(last)) = (address(first), address(last))
    {
        return range(first, last);
    }
    if let Some((addr, mask)) = text.split_once('/')
        && let (Some(IpAddr::V4(addr)), Some(len)) = (address(addr), mask_len(mask))
    {
        return Ok(vec![
            Prefix::new(addr.into(), len).map_err(|error| error.to_string())?,
        ]);
    }
    if let Some(network) = starred(text) {
        return Ok(vec![network]);
    }
    Err(match hint(text) {
        Some(hint) => format!("{no_network}: {hint}"),
        None => no_network.to_string(),
    })
}

/// Whether `text`, which names a network, has an address in it that is not the network's first: `198.51.100.7/24`.
pub(super) fn is_rounded(text: &str) -> bool {
    let text = text.trim();
    let text = bracketed(text).unwrap_or_else(|| text.to_owned());
    let with_len = text
        .split_once('/')
        .and_then(|(addr, mask)| Some(format!("{addr}/{}", mask_len(mask)?)));
    Prefix::cleared(&with_len.unwrap_or(text)).is_some()
}

/// Whether `text` names networks.
pub(super) fn is_network(text: &str) -> bool {
    networks(text).is_ok()
}

/// An address, with or without brackets.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

/// The length of a mask such as `255.255.255.0`.
pub(super) fn mask_len(text: &str) -> Option<u8> {
    let mask = u32::from(text.trim().parse::<Ipv4Addr>().ok()?);
    let len = mask.leading_ones();
    (mask.count_ones() == len).then_some(len as u8)
}

/// The networks that hold `first` to `last` and nothing else.
pub(super) fn range(first: IpAddr, last: IpAddr) -> Result<Vec<Prefix>, String> {
    let (first, last) = (first.to_canonical(), last.to_canonical());
    let subnets = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => IpSubnets::V4(Ipv4Subnets::new(first, last, 0)),
        (IpAddr::V6(first), IpAddr::V6(last)) => IpSubnets::V6(Ipv6Subnets::new(first, last, 0)),
        _ => return Err(format!("the range {first}-{last} mixes IPv4 and IPv6")),
    };
    if first > last {
        return Err(format!("the range {first}-{last} ends before it begins"));
    }
    if first == last {
        return Ok(vec![Prefix::single(first)]);
    }
    let prefix = |net: IpNet| Prefix::new(net.addr(), net.prefix_len()).map_err(|error| error.to_string());
    subnets.map(prefix).collect()
}

/// `[2001:db8::]/32` without its brackets.
fn bracketed(text: &str) -> Option<String> {
    let (addr, rest) = text.strip_prefix('[')?.split_once(']')?;
    let is_plain = rest.is_empty() || rest.starts_with('/');
    (is_plain && !addr.contains(['[', '-'])).then(|| format!("{addr}{rest}"))
}

/// The network of `198.51.*.*`.
fn starred(text: &str) -> Option<Prefix> {
    let known = text.trim_end_matches(".*");
    let stars = (text.len() - known.len()) / 2;
    let octets = known.split('.').count();
    if stars == 0 || octets + stars != 4 {
        return None;
    }
    partial(known)
}

/// The network of `198.51.100.`, of which whole octets at the end are missing.
pub(super) fn partial(text: &str) -> Option<Prefix> {
    let known = text.strip_suffix('.').unwrap_or(text);
    let octets = known.split('.').count();
    if octets > 3 {
        return None;
    }
    let addr: Ipv4Addr = format!("{known}{}", ".0".repeat(4 - octets)).parse().ok()?;
    Prefix::new(addr.into(), 8 * octets as u8).ok()
}

/// Returns what `text` looks like, if it names no network.
fn hint(text: &str) -> Option<String> {
    if let Some((addr, rest)) = text.split_once('%')
        && address(addr).is_some_and(|addr| addr.is_ipv6())
    {
        let zone = rest.split('/').next().unwrap_or_default();
        return Some(format!(
            "the zone `{zone}` says that it holds on one link of one host only"
        ));
    }
    let octets: Vec<_> = text.split(['.', '/']).take(4).collect();
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if octets.iter().all(|octet| are_digits(octet)) {
        return match octets.len() {
            4 if octets
                .iter()
                .any(|octet| octet.len() > 1 && octet.starts_with('0')) =>
            {
                Some("some programs read a number with a zero before it as octal".to_owned())
            }
            1..4 => Some("an IPv4 address has four numbers".to_owned()),
            _ => None,
        };
    }
    let (addr, port) = text.rsplit_once(':')?;
    (are_digits(port) && address(addr).is_some()).then(|| "it has a port".to_owned())
}
