//! Texts that are taken for lists, and name no clients.

use super::target;

/// Lines that are looked at.
const LINES: usize = 200;

/// What a text is that names no clients.
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
    if begins("<!doctype html") || begins("<html") {
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
