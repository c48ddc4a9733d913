//! A log that is the same on every machine.

use std::{io::Write as _, net::Ipv4Addr};

/// Bytes of a generated line, its line feed included.
pub(super) const LINE_LEN: usize = 150;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/8.5.0",
    "Mozilla/5.0 (Windows NT 10.0)",
    "Go-http-client/2.0",
];
const METHODS: [&str; 4] = ["GET", "POST", "GET", "HEAD"];
/// 203.0.113.0 and 10.0.0.0.
const SCANNER_NET: u32 = 0xcb00_7100;
const VISITOR_NET: u32 = 0x0a00_0000;
/// A visitor's; one in eight is an error.
const STATUSES: [u16; 8] = [200, 200, 304, 200, 206, 301, 200, 404];
/// Clients that scan, 203.0.113.1 to this: one line in 16 is theirs, and an error.
pub(super) const SCANNERS: u32 = 20;
/// Visitors on the site at a time; each stays for some requests, and another comes.
const VISITORS: u32 = 256;
/// One request in so many is a visitor's last.
const REQUESTS: u32 = 20;
/// Visitors whose requests are scattered.
const SCATTERED: u32 = 16_384;
/// Lines that one second of the log has.
const LINES_PER_SECOND: u32 = 2000;

/// Whose requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visits {
    /// A few hundred visitors at a time, as on a site: some 24,000 in all.
    Bursts,
    /// Any of 16,384 at any time, which no cache of a CPU likes.
    Scattered,
}

/// `lines` lines of `combined` of [`LINE_LEN`] bytes each, by visitors and [`SCANNERS`] from 2026-11-20 10:00
/// UTC on.
pub(super) fn combined(lines: u32, visits: Visits) -> Vec<u8> {
    let mut log = Vec::with_capacity(lines as usize * LINE_LEN);
    let mut random = 0x2545_f491_u32;
    let mut visitors: Vec<u32> = (0..VISITORS).collect();
    let mut last = VISITORS;
    for n in 0..lines {
        let begin = log.len();
        // Xorshift (Marsaglia): any sequence will do, as long as it is always the same.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let pick = random as usize >> 16;
        let (client, status) = if pick.is_multiple_of(16) {
            (SCANNER_NET | (random / 16 % SCANNERS + 1), 404)
        } else {
            let visitor = &mut visitors[pick / 16 % VISITORS as usize];
            if random.is_multiple_of(REQUESTS) {
                last += 1;
                *visitor = last;
            }
            let visitor = match visits {
                Visits::Bursts => *visitor,
                Visits::Scattered => random % SCATTERED,
            };
            (VISITOR_NET | visitor, STATUSES[random as usize / 32 % 8])
        };
        let client = Ipv4Addr::from(client);
        let second = n / LINES_PER_SECOND;
        write!(
            log,
            "{client} - - [20/Nov/2026:{:02}:{:02}:{:02} +0000] \"{} /shop/item/{random:x}",
            10 + second / 3600,
            second / 60 % 60,
            second % 60,
            METHODS[pick / 2 % 4],
        )
        .unwrap();
        let rest = format!(
            " HTTP/1.1\" {status} {} \"-\" \"{}\"\n",
            random % 100_000,
            AGENTS[pick / 32 % 4],
        );
        let filler = LINE_LEN - (log.len() - begin) - rest.len();
        log.extend(b"/abcdefghij".iter().cycle().take(filler));
        log.extend_from_slice(rest.as_bytes());
    }
    log
}

#[cfg(test)]
mod tests {
    use secbeat_logs::Format;

    use super::*;

    #[test]
    fn every_line_has_its_length_and_is_understood() {
        for visits in [Visits::Bursts, Visits::Scattered] {
            let log = combined(10_000, visits);
            assert_eq!(log.len(), 10_000 * LINE_LEN);
            let errors = log.chunks(LINE_LEN).map(|line| {
                assert_eq!(line.last(), Some(&b'\n'));
                Format::COMBINED.parse(line).unwrap().status
            });
            let errors = errors.filter(|status| *status == 404).count();
            assert!((1500..2000).contains(&errors), "{errors} errors");
        }
    }
}
