//! Lists, read: which format one has, and what it holds.

use jiff::tz::TimeZone;

use super::{
    csv, decode, fail2ban, firewall, firewalld, hosts, json,
    keys::Sense,
    list::{BadLine, Found, Listed, MAX_LISTED, Purpose, Rounded, Source},
    nft, no_list, plain, routers, server, ufw,
};

/// Formats that `import` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Of `export`, `bans -o json`, `cscli -o json`, providers' ranges, AbuseIPDB, nft; or an object a line
    Json,
    /// With any separator; with a header in any spelling, or without one
    Csv,
    /// An address, a CIDR or a range `a-b` a line, with a comment or a label
    #[value(alias = "plain")]
    List,
    /// Of `fail2ban-client`: status, banned, banip, ignoreip
    Fail2ban,
    /// Of `ipset save` and `ipset list`
    Ipset,
    /// Of `nft list set` and `nft list ruleset`
    Nft,
    /// Of `iptables-save` and `iptables -L -n`, or commands of a script
    Iptables,
    /// Of `ufw status`, or commands of ufw
    Ufw,
    /// Rich rules and sets of firewalld
    Firewalld,
    /// Address lists of MikroTik's RouterOS, as `export` writes them
    Mikrotik,
    /// Access lists and prefix lists of Cisco: what they deny
    Cisco,
    /// Prefix lists of Junos, and groups of VyOS
    Junos,
    /// `deny` and `allow` of nginx; entries of its `geo` and `map`
    Nginx,
    /// `Require not ip` and `Deny from` of Apache
    Apache,
    /// hosts.deny and hosts.allow
    Hosts,
    /// Ranges with labels, of PeerGuardian and eMule
    P2p,
    /// block.txt of DShield
    Dshield,
    /// The Tor Project's exit-addresses
    Tor,
    /// Addresses with the number of lists that they are on
    Ipsum,
    /// With borders, of `cscli`, databases and `bans`
    Table,
}

/// A format, and how it is read.
pub(super) struct Shape {
    pub format: Format,
    read: fn(&Source<'_>, &mut Found),
    /// What a list in it is called.
    pub what: &'static str,
    /// The beginning of one.
    pub example: &'static str,
}

/// All formats, in the order in which they are tried: what is plainest comes last.
pub(super) const SHAPES: [Shape; 20] = {
    const fn shape(
        format: Format,
        read: fn(&Source<'_>, &mut Found),
        what: &'static str,
        example: &'static str,
    ) -> Shape {
        Shape {
            format,
            read,
            what,
            example,
        }
    }
    [
        shape(
            Format::Json,
            json::read,
            "JSON",
            r#"[{"duration": "4h", "scope": "ip", "value": "198.51.100.7"}]"#,
        ),
        shape(
            Format::Fail2ban,
            fail2ban::read,
            "output of fail2ban-client",
            "[{'sshd': ['198.51.100.7', '203.0.113.9']}, {'recidive': []}]",
        ),
        shape(
            Format::Ipset,
            firewall::read_ipset,
            "sets of ipset",
            "create bad hash:net family inet timeout 0\nadd bad 198.51.100.7 timeout 3600 comment \"scanner\"",
        ),
        shape(
            Format::Iptables,
            firewall::read_iptables,
            "rules of iptables",
            "*filter\n-A INPUT -s 198.51.100.7/32 -j DROP\nCOMMIT",
        ),
        shape(
            Format::Nft,
            nft::read,
            "sets of nftables",
            "table inet filter {\n  set bad {\n    type ipv4_addr\n    elements = { 198.51.100.7 timeout 1h expires 59m }\n  }\n}",
        ),
        shape(
            Format::Ufw,
            ufw::read,
            "rules of ufw",
            "Status: active\nTo  Action  From\n--  ------  ----\n22/tcp  DENY IN  198.51.100.7",
        ),
        shape(
            Format::Firewalld,
            firewalld::read,
            "rules of firewalld",
            "rule family=\"ipv4\" source address=\"198.51.100.7\" drop",
        ),
        shape(
            Format::Mikrotik,
            routers::read_mikrotik,
            "address lists of MikroTik",
            "/ip firewall address-list\nadd address=198.51.100.7 list=bad timeout=1d",
        ),
        shape(
            Format::Cisco,
            routers::read_cisco,
            "access list of Cisco",
            "ip access-list extended BAD\ndeny ip host 198.51.100.7 any\ndeny ip 203.0.113.0 0.0.0.255 any",
        ),
        shape(
            Format::Junos,
            routers::read_junos,
            "prefix list of Junos",
            "prefix-list bad {\n  198.51.100.7/32;\n}",
        ),
        shape(
            Format::Tor,
            plain::read_tor,
            "Tor exits",
            "ExitNode 0011\nExitAddress 198.51.100.7 2026-11-28 01:02:03",
        ),
        shape(
            Format::Dshield,
            plain::read_dshield,
            "block list of DShield",
            "Start\tEnd\tNetblock\tAttacks\n203.0.113.0\t203.0.113.255\t24\t6286",
        ),
        shape(
            Format::P2p,
            plain::read_p2p,
            "ranges with labels",
            "Some organization:203.0.113.0-203.0.113.255",
        ),
        shape(
            Format::Hosts,
            hosts::read,
            "rules of hosts.deny",
            "sshd: 198.51.100.7, 203.0.113.",
        ),
        shape(
            Format::Nginx,
            server::read_nginx,
            "rules of nginx",
            "deny 198.51.100.7;\nallow all;",
        ),
        shape(
            Format::Apache,
            server::read_apache,
            "rules of Apache",
            "Require all granted\nRequire not ip 198.51.100.7",
        ),
        shape(
            Format::Table,
            csv::read_table,
            "table",
            "| ID | SCOPE:VALUE     |\n|  1 | Ip:198.51.100.7 |",
        ),
        shape(
            Format::Ipsum,
            plain::read_ipsum,
            "counts of IPsum",
            "198.51.100.7\t10",
        ),
        shape(
            Format::Csv,
            csv::read,
            "CSV",
            "IP Address;Comment\n198.51.100.7;scanner",
        ),
        shape(
            Format::List,
            plain::read_list,
            "plain list",
            "# scanners\n198.51.100.7 # one\n203.0.113.0-203.0.113.63",
        ),
    ]
};

/// Lines from which the format is found out.
const SAMPLE: usize = 200;
/// Most bytes of a list.
pub const MAX_LIST_BYTES: u64 = 256 * 1024 * 1024;

/// How a list is to be read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Found out unless set.
    pub format: Option<Format>,
    pub purpose: Purpose,
    /// Of times without an offset.
    pub zone: TimeZone,
}

/// A list that was read.
#[derive(Debug)]
pub struct Reading {
    /// What it is, in words.
    pub what: String,
    /// The name of its format.
    pub format: String,
    pub entries: Vec<Listed>,
    /// Lines that are not entries and should be.
    pub bad: Vec<BadLine>,
    /// What was passed over because it names nobody to list.
    pub passed_over: Vec<String>,
    /// Addresses with the length of their network, of which the network is taken.
    pub rounded: Rounded,
    /// Whose servers have the addresses, if a provider publishes the list.
    pub provider: Option<&'static str>,
}

/// Reads a list.
///
/// # Errors
///
/// Returns an error if no format fits it, or it is not a text, or too much.
pub fn read(bytes: &[u8], request: &Request) -> Result<Reading, String> {
    let (text, encoding) = decode::text(bytes)?;
    let text = decode::lines(text);
    let source = Source {
        text: &text,
        purpose: request.purpose,
        zone: &request.zone,
        goes_on: false,
    };
    let shape = match request.format {
        Some(format) => SHAPES.iter().find(|shape| shape.format == format),
        None => Some(detect(&source)?),
    };
    let shape = shape.ok_or("there is no such format")?;
    let mut found = Found::default();
    if request.purpose == Purpose::Allowlist && matches!(shape.format, Format::Dshield | Format::Ipsum) {
        return Err(format!("{}: it names attackers; `import` takes it", shape.what));
    }
    (shape.read)(&source, &mut found);
    if let Some(why) = found.refused {
        return Err(why);
    }
    found.cut();
    if found.is_full() {
        return Err(format!("it has more than {MAX_LISTED} entries"));
    }
    found.bad.sort_by_key(|bad| bad.line);
    let mut what = found.what.unwrap_or_else(|| shape.what.to_owned());
    if let Some(encoding) = encoding {
        what += &format!(" in {encoding}");
    }
    let format = clap::ValueEnum::to_possible_value(&shape.format);
    Ok(Reading {
        what,
        format: format.map_or_else(String::new, |value| value.get_name().to_owned()),
        entries: found.entries,
        bad: found.bad,
        passed_over: found.passed_over,
        rounded: found.rounded,
        provider: found.provider,
    })
}

/// The length of the first lines of `text`, of which so many are not comments.
fn head(text: &str) -> usize {
    let (mut len, mut left) = (0, SAMPLE);
    for line in text.split_inclusive('\n') {
        len += line.len();
        left -= usize::from(!line.trim_start().starts_with(['#', ';']));
        if left == 0 {
            break;
        }
    }
    len
}

/// The format that fits the list's first lines, or most of them if none fits all.
fn detect(source: &Source<'_>) -> Result<&'static Shape, String> {
    let start = source.text.trim_start();
    if let Some(what) = no_list::what(source.text) {
        return Err(what.to_owned());
    }
    let is_json = start.starts_with(['[', '{']) || start.trim_end() == json::NOTHING;
    let head = head(source.text);
    let sample = Source {
        text: &source.text[..head],
        goes_on: head < source.text.len(),
        ..*source
    };
    let mut tried: Vec<(&'static Shape, Found)> = Vec::new();
    for shape in &SHAPES {
        let mut found = Found::default();
        // An array has no lines that could be looked at alone.
        match shape.format {
            Format::Json if is_json => (shape.read)(source, &mut found),
            Format::Json => continue,
            _ => (shape.read)(&sample, &mut found),
        }
        if let Some(why) = found.refused {
            return Err(why);
        }
        if found.bad.is_empty() && (found.is_certain || !found.entries.is_empty()) {
            // Pairs such as `add NAME 192.0.2.0/24,198.51.100.0/24` look like values between separators.
            let mut earlier = tried.iter();
            let of_ipset = earlier.find(|(shape, found)| shape.format == Format::Ipset && found.is_certain);
            return match of_ipset {
                Some((ipset, _)) if shape.format == Format::Csv => Ok(ipset),
                _ => Ok(shape),
            };
        }
        tried.push((shape, found));
    }
    let is_empty = |(_, found): &(&Shape, Found)| found.bad.is_empty();
    let plainest = &SHAPES[SHAPES.len() - 1];
    if tried.last().is_some_and(is_empty) {
        return Ok(plainest);
    }
    let certain = tried.iter().find(|(_, found)| found.is_certain);
    if let Some((shape, _)) = certain {
        return Ok(shape);
    }
    let share = |found: &Found| 1000 * found.entries.len() / (found.entries.len() + found.bad.len()).max(1);
    let best = tried.iter().max_by_key(|(_, found)| share(found));
    let is_third = |found: &Found| found.entries.len() * 3 >= found.entries.len() + found.bad.len();
    if let Some((shape, _)) = best.filter(|(_, found)| !found.entries.is_empty() && is_third(found)) {
        return Ok(shape);
    }
    let nearest = tried
        .iter()
        .find(|(shape, _)| is_json && shape.format == Format::Json);
    let nearest = nearest
        .or(best.filter(|(_, found)| !found.entries.is_empty()))
        .or(tried.last());
    Err(
        match nearest.and_then(|(shape, found)| Some((shape, found.bad.first()?))) {
            Some((shape, bad)) => format!(
                "unknown format: read as {}, line {} is invalid: {}",
                shape.what, bad.line, bad.why
            ),
            None => "unknown format".to_owned(),
        },
    )
}

/// Returns why the name of a list, such as that of its file, says that it is not for `purpose`.
#[must_use]
pub fn misfit(name: &str, purpose: Purpose) -> Option<&'static str> {
    // Shorter words are in names by chance.
    const PLAIN: [&str; 11] = [
        "csf.ignore",
        "tempban",
        "allow",
        "whitelist",
        "safelist",
        "ignorelist",
        "deny",
        "blocklist",
        "blacklist",
        "banlist",
        "droplist",
    ];
    let lower = name.to_lowercase();
    match Sense::of(name) {
        Sense::Both => None,
        sense if PLAIN.iter().any(|word| lower.contains(word)) => sense.misfit(purpose),
        _ => None,
    }
}

/// The names of all formats.
pub fn names() -> String {
    let names = <Format as clap::ValueEnum>::value_variants()
        .iter()
        .filter_map(clap::ValueEnum::to_possible_value);
    names
        .map(|name| name.get_name().to_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The formats in Markdown.
pub(super) fn table() -> String {
    let mut table = "| `--format` | what it is | begins as |\n|---|---|---|\n".to_owned();
    for shape in &SHAPES {
        let Some(value) = clap::ValueEnum::to_possible_value(&shape.format) else {
            continue;
        };
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        let lines = shape
            .example
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ⏎ ");
        let shown = lines.replace('\t', "⇥").replace('|', "\\|");
        table += &format!("| `{}` | {help} | `{shown}` |\n", value.get_name());
    }
    table
}
