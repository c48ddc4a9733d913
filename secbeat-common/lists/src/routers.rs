//! Configs of routers: MikroTik's address lists, access lists of Cisco, prefix lists of Junos and groups of VyOS.

use std::{borrow::Cow, net::Ipv4Addr};

use super::{
    keys::Sense,
    list::{About, End, Found, Purpose, Source},
    target, when,
};

/// `export` of RouterOS: `add address=198.51.100.7 list=bad`, below `/ip firewall address-list`.
pub(super) fn read_mikrotik(source: &Source<'_>, found: &mut Found) {
    const NO_LINE: &str = "no line such as `add address=198.51.100.7 list=bad`";
    let (mut is_section, mut lists): (_, Vec<String>) = (false, Vec::new());
    for (line, text) in joined(source) {
        let text = text.trim();
        if text.starts_with('#') {
            continue;
        }
        // `:do { add … } on-error={}`
        let tried = text.strip_prefix(":do {").and_then(|text| text.split_once('}'));
        let text = tried.map_or(text, |(command, _)| command.trim());
        let (path, command) = match text.strip_prefix('/') {
            Some(_) => {
                let end = text.find(" add ").map_or(text.len(), |at| at + 1);
                let (path, command) = text.split_at(end);
                (Some(path.trim()), command)
            }
            None => (None, text),
        };
        if let Some(path) = path {
            is_section = matches!(path, "/ip firewall address-list" | "/ipv6 firewall address-list");
            found.is_certain |= is_section;
            if !is_section {
                found.pass_over("other sections than address lists");
            }
        }
        match command.strip_prefix("add ") {
            None if command.is_empty() => {}
            _ if !is_section && path.is_none() && lists.is_empty() && !found.is_certain => {
                found.bad(line, NO_LINE);
            }
            _ if !is_section => {}
            Some(options) => {
                let list = entry(line, options, source.purpose, found);
                lists.extend(list.filter(|list| !lists.contains(list)));
            }
            None => found.pass_over("commands that add nothing"),
        }
    }
    if !lists.is_empty() {
        found.what = Some(format!("address lists of MikroTik: {}", lists.join(", ")));
    }
}

/// Lines with what follows on the next ones after a backslash.
fn joined<'a>(source: &Source<'a>) -> Vec<(u64, Cow<'a, str>)> {
    let mut lines: Vec<(u64, Cow<'a, str>)> = Vec::new();
    let mut goes_on = false;
    for (line, text) in source.lines() {
        let (text, continues) = text.strip_suffix('\\').map_or((text, false), |text| (text, true));
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, before)) => {
                let text = text.trim_start();
                // A blank at the beginning of what follows is escaped.
                before.to_mut().push_str(text.strip_prefix('\\').unwrap_or(text));
            }
            None => lines.push((line, Cow::Borrowed(text))),
        }
        goes_on = continues;
    }
    lines
}

/// Takes an entry of an address list, and returns the list's name.
fn entry(line: u64, options: &str, purpose: Purpose, found: &mut Found) -> Option<String> {
    let (mut address, mut list, mut comment, mut timeout, mut is_disabled) = ("", "", "", None, false);
    for (key, value) in pairs(options) {
        match key {
            "address" => address = value,
            "list" => list = value,
            "comment" => comment = value,
            "timeout" => timeout = Some(value),
            "disabled" => is_disabled = value == "yes",
            _ => {}
        }
    }
    if is_disabled {
        found.pass_over("disabled entries");
        return None;
    }
    if found.is_misfit(&format!("the list `{list}`"), Sense::of_list(list), purpose) {
        if purpose == Purpose::Bans {
            found.except(line, address);
        }
        return None;
    }
    let end = match timeout {
        None | Some("0s" | "none-static" | "none-dynamic") => Ok(None),
        Some(timeout) => length(timeout).map(Some),
    };
    match end {
        Ok(end) => {
            let note = if comment.is_empty() { list } else { comment };
            let about = About {
                end,
                ..About::noting(note)
            };
            found.take(line, address, about);
        }
        Err(why) => found.bad(line, why),
    }
    Some(list.to_owned())
}

/// `1d2h3m`, `1w2d`, `00:10:00` or `1d00:10:00`.
fn length(text: &str) -> Result<End, String> {
    let (days, clock) = match text.rfind(['d', 'w']) {
        Some(at) if text.contains(':') => text.split_at(at + 1),
        _ if text.contains(':') => ("", text),
        _ => return when::length(text),
    };
    let numbers: Vec<_> = clock.split(':').map(str::parse::<u64>).collect();
    let [Ok(hours), Ok(minutes), Ok(seconds)] = numbers[..] else {
        return Err(format!("timeout: invalid duration `{text}`"));
    };
    when::length(&format!("{days}{hours}h{minutes}m{seconds}s"))
}

/// `key=value` with blanks between; a value may stand in quotes.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(' ').unwrap_or(after.len())),
        };
        rest = after.trim_start();
        Some((key.rsplit(' ').next().unwrap_or(key), value))
    })
}

/// Access lists and prefix lists of Cisco IOS and ASA: what they deny is banned, what they permit is for an allowlist.
pub(super) fn read_cisco(source: &Source<'_>, found: &mut Found) {
    for (line, text) in source.lines().filter(|(_, text)| !text.starts_with('!')) {
        let text = text.replace(',', " ").replace("wildcard bits ", "");
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["ip" | "ipv6", "access-list", "standard" | "extended", _]
            | ["ipv6", "access-list", _]
            | ["Standard" | "Extended", "IP", "access", "list", ..]
            | ["IPv6", "access", "list", ..] => found.is_certain = true,
            ["remark" | "exit" | "end", ..] | [_, "remark", ..] | ["access-list", _, "remark", ..] => {}
            ["ip" | "ipv6", "prefix-list", _, ref rest @ ..] => {
                let rest = match *rest {
                    ["seq", _, ref rest @ ..] => rest,
                    _ => rest,
                };
                access(line, rest, source.purpose, found);
            }
            ["access-list", _, ref rest @ ..] => {
                let rest = match *rest {
                    ["extended" | "standard", ref rest @ ..] => rest,
                    _ => rest,
                };
                access(line, rest, source.purpose, found);
            }
            ["deny" | "permit", ..] => access(line, &words, source.purpose, found),
            [number, ref rest @ ..] if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                access(line, rest, source.purpose, found);
            }
            _ => found.bad(line, "no line such as `deny ip host 198.51.100.7 any`"),
        }
    }
}

/// `deny ip host 198.51.100.7 any`, from its verdict on.
fn access(line: u64, words: &[&str], purpose: Purpose, found: &mut Found) {
    const PROTOCOLS: [&str; 5] = ["ip", "ipv6", "tcp", "udp", "icmp"];
    let [verdict @ ("deny" | "permit"), rest @ ..] = words else {
        return found.bad(line, "no line such as `deny ip host 198.51.100.7 any`");
    };
    let meant = match purpose {
        Purpose::Bans => "deny",
        Purpose::Allowlist => "permit",
    };
    let is_whole = !matches!(rest, ["tcp" | "udp" | "icmp", ..]);
    let rest = match rest {
        [protocol, rest @ ..] if PROTOCOLS.contains(protocol) => rest,
        rest => rest,
    };
    let is_meant = *verdict == meant;
    if !is_meant {
        found.pass_over(format!("`{verdict}`"));
    }
    let network = match rest {
        ["any" | "any4" | "any6", ..] if is_meant => return found.pass_over("rules for all clients"),
        ["any" | "any4" | "any6", ..] => return,
        ["host", address, ..] => Ok((*address).to_owned()),
        [address, mask, ..] if address.parse::<Ipv4Addr>().is_ok() && mask.parse::<Ipv4Addr>().is_ok() => {
            masked(address, mask)
        }
        [network, ..] => Ok((*network).to_owned()),
        [] => Err("the rule does not say from where".to_owned()),
    };
    // What is permitted before, or in part, is no more than an exception.
    if !is_meant {
        if let Ok(network) = network
            && is_whole
        {
            found.except_from_now_on(line, &network);
        }
        return;
    }
    match network {
        Ok(network) if target::is_network(&network) => {
            found.is_certain = true;
            found.take(line, &network, About::default());
        }
        Ok(network) => found.bad(
            line,
            format!("`{network}` is neither an IP address nor a CIDR prefix"),
        ),
        Err(why) => found.bad(line, why),
    }
}

/// A network with its mask, as ASA writes it, or with a wildcard, as IOS does.
fn masked(address: &str, mask: &str) -> Result<String, String> {
    let bits = u32::from(mask.parse::<Ipv4Addr>().unwrap_or(Ipv4Addr::UNSPECIFIED));
    match bits {
        0 => Ok(address.to_owned()),
        u32::MAX => Err(format!(
            "{mask} is one address as a mask and all addresses as a wildcard: write `host {address}`"
        )),
        _ if bits.leading_ones() == bits.count_ones() => Ok(format!("{address}/{}", bits.count_ones())),
        _ if bits.trailing_ones() == bits.count_ones() => Ok(format!("{address}/{}", 32 - bits.count_ones())),
        _ => Err(format!(
            "{mask} is neither a mask nor the wildcard of one network"
        )),
    }
}

/// Prefix lists of Junos, in braces or as `set` commands, and groups of VyOS.
pub(super) fn read_junos(source: &Source<'_>, found: &mut Found) {
    // The names of the blocks around; of a prefix list, that and its own.
    let mut blocks: Vec<String> = Vec::new();
    for (line, text) in source.lines() {
        if text.starts_with(['#', '/']) {
            continue;
        }
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["set", .., "prefix-list", name, network]
            | ["set", .., "address-group", name, "address", network]
            | ["set", .., "network-group", name, "network", network]
            | ["set", .., "ipv6-address-group", name, "address", network]
            | ["set", .., "ipv6-network-group", name, "network", network] => {
                named(line, name, network.trim_matches('\''), source.purpose, found);
            }
            ["set" | "delete", ..] => found.pass_over("commands about something else"),
            _ => {
                for part in text.split_inclusive(['{', '}', ';']).map(str::trim) {
                    statement(line, part, &mut blocks, source.purpose, found);
                }
            }
        }
    }
}

fn statement(line: u64, part: &str, blocks: &mut Vec<String>, purpose: Purpose, found: &mut Found) {
    const NO_LIST: &str = "no `prefix-list NAME { 198.51.100.7/32; }`";
    if let Some(name) = part.strip_suffix('{') {
        blocks.push(name.trim().to_owned());
        return;
    }
    if part == "}" {
        if blocks.pop().is_none() {
            found.bad(line, NO_LIST);
        }
        return;
    }
    let block = blocks.last().map(String::as_str).unwrap_or_default();
    match (block.strip_prefix("prefix-list "), part.strip_suffix(';')) {
        (Some(name), Some(network)) => named(line, name.trim(), network.trim(), purpose, found),
        (None, Some(_)) if !blocks.is_empty() => found.pass_over("statements about something else"),
        _ => found.bad(line, NO_LIST),
    }
}

/// Takes a network of the list `name`.
fn named(line: u64, name: &str, network: &str, purpose: Purpose, found: &mut Found) {
    found.is_certain = true;
    if found.is_misfit(&format!("the list `{name}`"), Sense::of_list(name), purpose) {
        if purpose == Purpose::Bans {
            found.except(line, network);
        }
        return;
    }
    found.take(line, network, About::noting(name));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secbeat_daemon::term::Term;

    use super::*;

    #[test]
    fn lengths_of_router_os_are_read() {
        for (text, seconds) in [("1d2h3m", 93_780), ("00:10:00", 600), ("1d00:10:00", 87_000)] {
            let expected = End::For(Term::For(Duration::from_secs(seconds)));
            assert_eq!(length(text), Ok(expected), "{text}");
        }
        assert!(length("1d00:10").is_err());
    }

    #[test]
    fn a_wildcard_of_nothing_is_one_host_and_never_everybody() {
        assert_eq!(masked("198.51.100.7", "0.0.0.0").unwrap(), "198.51.100.7");
        assert_eq!(masked("198.51.100.0", "0.0.0.255").unwrap(), "198.51.100.0/24");
        assert_eq!(
            masked("198.51.100.0", "255.255.255.0").unwrap(),
            "198.51.100.0/24"
        );
        assert!(masked("198.51.100.7", "255.255.255.255").is_err());
        assert!(masked("198.51.100.7", "0.255.0.255").is_err());
    }
}
