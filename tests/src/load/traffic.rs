//! Who requests what, when, where: visitors by the thousand, some of them nasty, and a few whose every request is planned
//! around a threshold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secbeat_common::wire::LearnedFrom;

use crate::lab::random::Random;

/// Sources that come and go by chance.
pub const VISITORS: usize = 8000;
/// Their requests in a second, over all edges.
pub const REQUESTS_PER_SECOND: usize = 8000;
/// Milliseconds of traffic.
pub const LENGTH_MS: i64 = 60_000;
/// The edges' sources that are never banned.
pub const PROTECTED: &str = "203.0.113.0/24";
/// An upstream that answers.
pub const SOUND: u16 = 0;
/// One that fails all the time.
pub const BROKEN: u16 = 1;
/// Their names, as an edge has them.
pub const UPSTREAMS: [&str; 2] = ["sound", "broken"];

/// One request with its answer.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub client: IpAddr,
    /// Milliseconds after the traffic's begin.
    pub at: i64,
    /// When its edge reports it, if that is later than its own time says.
    pub reported: i64,
    pub edge: usize,
    pub upstream: u16,
    pub status: u16,
    pub learned_from: LearnedFrom,
}

/// All requests, by when they are reported.
#[must_use]
pub fn requests(random: &mut Random, edges: usize) -> Vec<Request> {
    let mut requests = by_chance(random, edges);
    planned(random, edges, &mut requests);
    requests.sort_by_key(|request| (request.reported, request.at));
    requests
}

/// Visitors come as Zipf's law has it; one in forty mostly errs, and one in fifty has all its luck at the broken upstream.
fn by_chance(random: &mut Random, edges: usize) -> Vec<Request> {
    let mut sum = 0.0;
    let ranks: Vec<f64> = (1..=VISITORS)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let requests = REQUESTS_PER_SECOND * LENGTH_MS as usize / 1000;
    (0..requests)
        .map(|_| {
            let point = random.below(1 << 30) as f64 / f64::from(1 << 30) * sum;
            let visitor = ranks.partition_point(|rank| *rank <= point).min(VISITORS - 1);
            let upstream = if visitor % 50 == 7 { BROKEN } else { SOUND };
            let errs = if visitor % 40 == 3 { 80 } else { 1 };
            let status = match (upstream, random.below(100) < errs) {
                (BROKEN, _) => 502,
                (_, true) => random.pick(&[400, 403, 404, 404, 404, 429]),
                (_, false) => random.pick(&[200, 200, 204, 304]),
            };
            let at = random.between(0, LENGTH_MS);
            Request {
                client: visitor_address(visitor, random),
                at,
                reported: at,
                edge: random.below(edges),
                upstream,
                status,
                learned_from: learned_from(visitor),
            }
        })
        .collect()
}

/// One in five uses IPv6, with another address of its /64 each time.
fn visitor_address(visitor: usize, random: &mut Random) -> IpAddr {
    let number = visitor as u32;
    if visitor % 5 == 4 {
        let net = 0x2001_0db8_0005_0000_u128 + u128::from(number);
        return Ipv6Addr::from_bits(net << 64 | u128::from(random.any())).into();
    }
    // 198.18.0.0/15 is for benchmarks (RFC 2544).
    Ipv4Addr::from_bits(0xc612_0000 + number).into()
}

/// One in thirty comes through a trusted proxy.
const fn learned_from(visitor: usize) -> LearnedFrom {
    match visitor % 30 {
        11 => LearnedFrom::Header,
        _ => LearnedFrom::Peer,
    }
}

/// Requests of one client that make a point.
struct Plan<'a> {
    random: &'a mut Random,
    requests: &'a mut Vec<Request>,
    edges: usize,
    next: u32,
}

fn planned(random: &mut Random, edges: usize, requests: &mut Vec<Request>) {
    let mut plan = Plan {
        random,
        requests,
        edges,
        next: 0xc613_0000,
    };
    for _ in 0..12 {
        let begin = plan.random.between(0, 30_000);
        // At a threshold, and one below.
        for (count, status) in [(50, 404), (49, 404), (1000, 200), (999, 200)] {
            let client = plan.newcomer();
            plan.spread(client, count, begin..begin + 25_000, status, SOUND);
        }
        // A window does not hold what happened exactly its length ago.
        for gap in [59_999, 60_000] {
            let client = plan.newcomer();
            let first = plan.random.between(-50_000, -10_000);
            plan.at_once(client, 49, first);
            plan.at_once(client, 1, first + gap);
        }
        // Failures count against whoever causes them, not against whoever meets them.
        for (upstream, count) in [(SOUND, 60), (BROKEN, 80)] {
            let client = plan.newcomer();
            plan.spread(client, count, begin + 5_000..begin + 25_000, 500, upstream);
        }
        // Comes again after each of its bans, at the end of which its windows are empty.
        let client = plan.newcomer();
        plan.spread(client, 9000, 0..LENGTH_MS, 200, SOUND);
        // Found again and again, never banned.
        let protected = Ipv4Addr::from_bits(0xcb00_7100 + (plan.next & 0xff)).into();
        plan.spread(protected, 170, 0..LENGTH_MS, 404, SOUND);
    }
}

impl Plan<'_> {
    fn newcomer(&mut self) -> IpAddr {
        self.next += 1;
        Ipv4Addr::from_bits(self.next).into()
    }

    fn spread(
        &mut self,
        client: IpAddr,
        count: usize,
        times: std::ops::Range<i64>,
        status: u16,
        upstream: u16,
    ) {
        for _ in 0..count {
            let at = self.random.between(times.start, times.end);
            let edge = self.random.below(self.edges);
            self.request(client, at, edge, status, upstream);
        }
    }

    /// All in the same millisecond and at one edge, which reports it at once or, as old lines of a log, at the beginning.
    fn at_once(&mut self, client: IpAddr, count: usize, at: i64) {
        let edge = self.random.below(self.edges);
        (0..count).for_each(|_| self.request(client, at, edge, 404, SOUND));
    }

    fn request(&mut self, client: IpAddr, at: i64, edge: usize, status: u16, upstream: u16) {
        self.requests.push(Request {
            client,
            at,
            reported: at.max(0),
            edge,
            upstream,
            status,
            learned_from: LearnedFrom::Peer,
        });
    }
}
