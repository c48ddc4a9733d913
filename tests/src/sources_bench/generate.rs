//! A log that is the same on every machine.

use std::{
    io::{self, Write as _},
    net::Ipv4Addr,
};

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
/// 2026-11-20, in seconds since the Unix epoch.
const DAY: u32 = 1_795_132_800;
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

/// A request that is logged.
struct Request {
    client: Ipv4Addr,
    /// Of the day, which is 2026-11-20.
    second: u32,
    method: &'static str,
    path: String,
    status: u16,
    bytes: u32,
    agent: &'static str,
}

/// How a server logs requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// `combined`, in lines of [`LINE_LEN`] bytes.
    Combined,
    /// nginx, as `secbeat-edge explain --suggest nginx` has it.
    NginxJson,
    Caddy,
    Traefik,
}

/// The log of `lines` requests by visitors and [`SCANNERS`] from 2026-11-20 10:00 UTC on; the same requests for every server.
pub(super) fn log(server: Server, lines: u32, visits: Visits) -> Vec<u8> {
    let mut log = Vec::with_capacity(lines as usize * LINE_LEN);
    for request in requests(lines, visits) {
        request.write(server, &mut log).unwrap();
        log.push(b'\n');
    }
    log
}

fn requests(lines: u32, visits: Visits) -> impl Iterator<Item = Request> {
    let mut random = 0x2545_f491_u32;
    let mut visitors: Vec<u32> = (0..VISITORS).collect();
    let mut last = VISITORS;
    (0..lines).map(move |n| {
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
        Request {
            client: Ipv4Addr::from(client),
            second: 36_000 + n / LINES_PER_SECOND,
            method: METHODS[pick / 2 % 4],
            path: format!("/shop/item/{random:x}"),
            status,
            bytes: random % 100_000,
            agent: AGENTS[pick / 32 % 4],
        }
        .padded()
    })
}

impl Request {
    /// With a path as long as its line of `combined` allows.
    fn padded(mut self) -> Self {
        let mut line = Vec::with_capacity(LINE_LEN);
        self.write(Server::Combined, &mut line).unwrap();
        let filler = LINE_LEN - 1 - line.len();
        self.path.extend("/abcdefghij".chars().cycle().take(filler));
        self
    }

    fn write(&self, server: Server, log: &mut Vec<u8>) -> io::Result<()> {
        let Self {
            client,
            second,
            method,
            path,
            status,
            bytes,
            agent,
        } = self;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        match server {
            Server::Combined => write!(
                log,
                "{client} - - [20/Nov/2026:{hour:02}:{minute:02}:{second:02} +0000] \"{method} {path} HTTP/1.1\" {status} \
                 {bytes} \"-\" \"{agent}\"",
            ),
            Server::NginxJson => write!(
                log,
                r#"{{"msec":"{}.004","remote_addr":"{client}","status":"{status}","request_method":"{method}","request_uri":"{path}","http_host":"www.example.org","http_user_agent":"{agent}","request":"{method} {path} HTTP/1.1"}}"#,
                DAY + self.second,
            ),
            Server::Caddy => write!(
                log,
                r#"{{"level":"info","ts":{:.4},"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"{client}","remote_port":"41342","client_ip":"{client}","proto":"HTTP/2.0","method":"{method}","host":"www.example.org","uri":"{path}","headers":{{"User-Agent":["{agent}"],"Accept":["*/*"]}},"tls":{{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"www.example.org"}}}},"bytes_read":0,"user_id":"","duration":0.0041,"size":{bytes},"status":{status},"resp_headers":{{"Server":["Caddy"],"Content-Type":["text/html; charset=utf-8"]}}}}"#,
                f64::from(DAY + self.second),
            ),
            Server::Traefik => write!(
                log,
                r#"{{"ClientAddr":"{client}:41342","ClientHost":"{client}","ClientPort":"41342","ClientUsername":"-","DownstreamContentSize":{bytes},"DownstreamStatus":{status},"Duration":4100000,"OriginContentSize":{bytes},"OriginDuration":4000000,"OriginStatus":{status},"Overhead":100000,"RequestAddr":"www.example.org","RequestContentSize":0,"RequestCount":1,"RequestHost":"www.example.org","RequestMethod":"{method}","RequestPath":"{path}","RequestPort":"-","RequestProtocol":"HTTP/1.1","RequestScheme":"https","RetryAttempts":0,"StartLocal":"2026-11-20T{hour:02}:{minute:02}:{second:02}.004Z","StartUTC":"2026-11-20T{hour:02}:{minute:02}:{second:02}.004Z","entryPointName":"websecure","level":"info","msg":"","request_User-Agent":"{agent}","time":"2026-11-20T{hour:02}:{minute:02}:{second:02}Z"}}"#,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use secbeat_logs::Format;

    use super::*;

    #[test]
    fn every_line_has_its_length_and_is_understood() {
        for visits in [Visits::Bursts, Visits::Scattered] {
            let log = log(Server::Combined, 10_000, visits);
            assert_eq!(log.len(), 10_000 * LINE_LEN);
            let errors = log.chunks(LINE_LEN).map(|line| {
                assert_eq!(line.last(), Some(&b'\n'));
                Format::COMBINED.parse(line).unwrap().status
            });
            let errors = errors.filter(|status| *status == 404).count();
            assert!((1500..2000).contains(&errors), "{errors} errors");
        }
    }

    #[test]
    fn every_server_logs_the_same_requests() {
        let format = |name: &str| name.parse::<Format>().unwrap();
        let logs = [
            (Server::Combined, Format::COMBINED),
            (Server::NginxJson, format("nginx-json")),
            (Server::Caddy, format("caddy-json")),
            (Server::Traefik, format("traefik-json")),
        ];
        let [expected, others @ ..] = logs.map(|(server, format)| {
            let log = log(server, 1000, Visits::Bursts);
            let read = |line: &[u8]| {
                let line = format.parse(line).unwrap();
                (
                    line.client,
                    line.at_ms / 1000,
                    line.status,
                    line.path.into_owned(),
                    line.method.into_owned(),
                )
            };
            log.trim_ascii_end()
                .split(|byte| *byte == b'\n')
                .map(read)
                .collect::<Vec<_>>()
        });
        assert_eq!(expected.len(), 1000);
        for other in others {
            assert_eq!(other, expected);
        }
    }
}
