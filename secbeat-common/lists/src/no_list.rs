//! Texts that are taken for lists, and name no clients.

use super::target;

/// Lines that are looked at.
const LINES: usize = 200;

/// Returns what a text is that names no clients.
pub(super) fn what(text: &str) -> Option<&'static str> {
    let start = text.trim_start();
    let begins = |mark: &str| {
        start
            .get(..mark.len())
            .is_some_and(|first| first.eq_ignore_ascii_case(mark))
    };
    let lines = || {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ';', '!']))
            .take(LINES)
    };
    // A name behind an address that stands for nowhere.
    let is_name = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("0.0.0.0" | "127.0.0.1" | "::1" | "::"))
            && words.next().is_some_and(|name| {
                name.starts_with(|c: char| c.is_ascii_alphabetic()) && !target::is_network(name)
            })
    };
    let most = |is: &dyn Fn(&str) -> bool| {
        lines().next().is_some() && lines().filter(|line| is(line)).count() * 2 > lines().count()
    };
    let is_key = |line: &str| {
        let second = line.split_whitespace().nth(1);
        second.is_some_and(|word| {
            ["ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-", "sk-ssh-"]
                .iter()
                .any(|kind| word.starts_with(kind))
        })
    };
    let is_hardware = |word: &str| {
        let pairs = word.split(':');
        word.len() == 17
            && pairs.clone().count() == 6
            && pairs.into_iter().all(|pair| u8::from_str_radix(pair, 16).is_ok())
    };
    // Of `ip neigh` and `arp`.
    let is_neighbour = |line: &str| {
        line.split_whitespace().skip(1).any(is_hardware)
            && [" lladdr ", " ether ", "[ether]", " 0x1 "]
                .iter()
                .any(|word| line.contains(word))
    };
    let is_route = |line: &str| {
        line.contains(" dev ")
            && [" via ", " scope ", " proto "]
                .iter()
                .any(|word| line.contains(word))
    };
    // What only hosts files have: names of IPv6's groups, of this host and of domains. They have no networks.
    let is_own = |line: &str| {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        first == "127.0.1.1" || words.any(|name| name.starts_with("ip6-") || name.contains(".localdomain"))
    };
    let is_loopback = |line: &str| line.starts_with("127.0.0.1") || line.starts_with("::1");
    let is_network = |line: &str| {
        line.split_whitespace()
            .next()
            .is_some_and(|word| word.contains('/'))
    };
    let is_hosts = || lines().any(is_own) && lines().any(is_loopback) && !lines().any(is_network);
    let is_delegated = |line: &str| {
        let mut fields = line.split('|');
        let registries = ["ripencc", "apnic", "arin", "lacnic", "afrinic", "iana"];
        fields.next().is_some_and(|first| registries.contains(&first)) && fields.count() >= 5
    };
    // `192.0.2.10 db1 db1.example.com`
    let is_host = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_alias = |name: &&str| {
            let long = format!("{name}.");
            words.iter().skip(1).any(|other| other.starts_with(&long))
        };
        words.len() > 2 && target::is_network(words[0]) && words.iter().skip(1).any(is_alias)
    };
    if most(&is_key) {
        Some("it is a file of known hosts of SSH: it names servers, and no clients")
    } else if most(&is_neighbour) {
        Some("it is a table of neighbours (`ip neigh`, `arp`): they are hosts of your networks")
    } else if most(&is_route) {
        Some("it is a table of routes (`ip route`): they are your networks and gateways")
    } else if most(&is_delegated) {
        Some(
            "it is a registry's file of delegations, in which a count stands behind each address; `geo networks` lists those of a country",
        )
    } else if most(&is_host) || is_hosts() {
        Some("it is a hosts file: it names servers, and no clients")
    } else if begins("<!doctype html") || begins("<html") {
        Some("it is a page of HTML, and no list; its server may have refused to send one")
    } else if begins("[adblock") || lines().next().is_some_and(|line| line.starts_with("||")) {
        Some("it is a list of filters for browsers: it names hosts, and no clients")
    } else if lines().take(5).any(|line| line.contains(" SOA ")) || begins("$TTL") || begins("$ORIGIN") {
        Some("it is a zone of the DNS, such as a response policy zone (RPZ): it names hosts, and no clients")
    } else if lines().next().is_some() && lines().filter(|line| is_name(line)).count() * 2 > lines().count() {
        Some("it is a hosts file: it blocks names, and its addresses are this host's own")
    } else if begins("table <") {
        Some("it is a config of pf: `pfctl -t NAME -T show` prints the addresses of its tables")
    } else if begins("<?xml") && !text.contains("<ipset") {
        Some("it is XML; of XML, only sets of firewalld (`<ipset>`) are read")
    } else {
        None
    }
}
