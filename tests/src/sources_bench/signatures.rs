//! What looking for signatures adds to reading a log, by one core.

use std::{hint::black_box, time::Instant};

use secbeat_logs::{Format, LogLine};
use secbeat_signatures::{Matcher, Request, Scratch, SignatureFile, shipped};

use super::{
    Options,
    generate::{self, Server, Visits},
    outcome::{Outcome, Row},
    telemetry,
};
use crate::bench::{
    cpus,
    demand::{Demand, Limit},
};

/// Lines of the generated log.
const LINES: u32 = 500_000;
/// Bytes of the line that takes longest.
const WORST_LINE: usize = 8 * 1024;
/// How often that is looked into.
const WORST_TIMES: u32 = 200;

/// Part of the proxy's throughput that is left with signatures.
const PROXY_AT_LEAST: f64 = 0.97;
/// Ten thousand requests of a public site; see `secbeat-common/logs/fixtures/README.md`.
const REAL: &[u8] = include_bytes!("../../../secbeat-common/logs/fixtures/elastic-apache.log");
/// How often they are read in a round.
const REAL_TIMES: usize = 20;

/// Reads a generated log and a real one alone and with the shipped signatures, the generated one also with 500 and 5000 made-up ones;
/// looks into lines of 8 KiB that are full of what nearly matches; and the proxy with signatures and without.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let log = generate::log(Server::Combined, LINES, Visits::Bursts);
    let shipped = Matcher::build(&shipped(), &[]).0;
    let [few, many] = [500, 5000].map(|count| Matcher::build(&[made_up(count)], &[]).0);
    let unit = "lines/s";
    let real = REAL.repeat(REAL_TIMES);
    let mut rows = [
        ("parse combined", &log, None),
        ("parse combined with the shipped signatures", &log, Some(&shipped)),
        ("parse combined with 500 made-up signatures", &log, Some(&few)),
        ("parse combined with 5000 made-up signatures", &log, Some(&many)),
        ("parse a real log", &real, None),
        (
            "parse a real log with the shipped signatures",
            &real,
            Some(&shipped),
        ),
    ]
    .map(|(name, log, matcher)| (Row::new(name, unit), log, matcher));
    let mut worst = Row::new("the worst line of 8 KiB that was found", "µs");
    let mut memory = [("500", &few), ("5000", &many)]
        .map(|(count, matcher)| (Row::new(format!("memory of {count} signatures"), "KiB"), matcher));
    for _ in 0..options.rounds {
        for (row, log, matcher) in &mut rows {
            let mut scratch = Scratch::new();
            row.rounds.push(lines_per_second(log, |line| match matcher {
                Some(matcher) => drop(black_box(find(matcher, &line, &mut scratch))),
                None => drop(black_box(line)),
            }));
        }
        worst.rounds.push(worst_micros(&shipped));
        for (row, matcher) in &mut memory {
            row.rounds.push(matcher.memory() as f64 / 1024.0);
        }
    }
    let proxy = telemetry::with_and_without("signatures", PROXY_AT_LEAST, options);
    let [alone, with_shipped, with_few, with_many, real_alone, real_with] = rows.map(|(row, ..)| row);
    let mut demands = vec![
        Demand::of(&with_shipped, Limit::AtLeast(2_000_000.0), None),
        Demand::ratio(&with_shipped, &alone, Limit::AtLeast(0.5), None),
        Demand::ratio(&real_with, &real_alone, Limit::AtLeast(0.5), None),
        Demand::ratio(&with_many, &with_few, Limit::AtLeast(0.5), None),
        Demand::of(&worst, Limit::AtMost(50.0), None),
    ];
    demands.extend(proxy.demands);
    let mut rows = vec![
        alone,
        with_shipped,
        with_few,
        with_many,
        real_alone,
        real_with,
        worst,
    ];
    rows.extend(memory.map(|(row, _)| row));
    rows.extend(proxy.rows);
    Outcome { rows, demands }
}

fn find(matcher: &Matcher, line: &LogLine<'_>, scratch: &mut Scratch) -> usize {
    let request = Request {
        method: &line.method,
        target: &line.path,
        status: line.status,
        user_agent: line.user_agent.as_deref().unwrap_or_default(),
        referer: line.referer.as_deref().unwrap_or_default(),
        ..Request::default()
    };
    matcher.find(&request, scratch).len()
}

/// How many lines a second of `log` are read and given to `take`.
fn lines_per_second(log: &[u8], mut take: impl FnMut(LogLine<'_>)) -> f64 {
    let begun = Instant::now();
    let (mut begin, mut lines) = (0, 0_u32);
    for end in memchr::memchr_iter(b'\n', log) {
        if let Ok(line) = Format::COMBINED.parse(&log[begin..end]) {
            take(line);
            lines += 1;
        }
        begin = end + 1;
    }
    f64::from(lines) / begun.elapsed().as_secs_f64()
}

/// How long the worst of some long lines takes: each of them as a query, as a path and as a user agent.
fn worst_micros(matcher: &Matcher) -> f64 {
    let texts = [
        "q=union+selects&",
        "%2527%2520union%2520selects",
        "/**/union/**/sele",
        "../wp-content/plugins/",
        "%c0%ae%c0%ae%c0%af",
        "=http://a/b.php&",
        "<a b c onerror onload ",
        "php://philter/x.php.bak/",
        "&#60;&lt;script\\u003c",
        // Found by a search that took pieces of signatures together.
        "ryGET /cgi-bin/viewcert..%5c..%5cth254.11s",
        "icaGET /cgi-bin/viewcert..%5c..%5chigh, contains = [Break out of an attribute into an elementagent-detectifydatabase-loginGET \
         /a/%252e%252e/bCVE-2015-1635patheveloper-GET /boafrm/formSysCmd= cve$@]|base64|chr(|hex2bin)a-",
    ];
    let lines = texts.iter().flat_map(|text| {
        let long = text.repeat(WORST_LINE / text.len());
        [
            (format!("/?{long}"), String::new()),
            (format!("/{long}"), String::new()),
            ("/".to_owned(), long),
        ]
    });
    let micros = lines.map(|(target, user_agent)| {
        let request = Request {
            method: b"GET",
            target: target.as_bytes(),
            status: 404,
            user_agent: user_agent.as_bytes(),
            ..Request::default()
        };
        let mut scratch = Scratch::new();
        let begun = Instant::now();
        for _ in 0..WORST_TIMES {
            black_box(matcher.find(black_box(&request), &mut scratch));
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(WORST_TIMES)
    });
    micros.fold(0.0, f64::max)
}

/// So many signatures, each of a file that nobody has.
fn made_up(count: u32) -> SignatureFile {
    let signature = |n: u32| {
        // Names as different as those of real files.
        let name = format!("{:08x}", n.wrapping_mul(0x9e37_79b9));
        format!(
            "[[signature]]\nid = \"s{n}\"\ntitle = \"t\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n\
             any = [{{ in = \"path\", ends = \"/{name}.php\" }}, {{ in = \"query\", contains = \"{name}=\" }}]\n"
        )
    };
    SignatureFile {
        name: "made-up.toml".to_owned(),
        text: (0..count).map(signature).collect(),
    }
}
