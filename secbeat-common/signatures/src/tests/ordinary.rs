//! What ordinary clients ask for matches no signature, and what a real log has is known.

use std::collections::BTreeMap;

use super::matcher;
use crate::{Request, Sample, Scratch};

#[test]
fn ordinary_requests_match_nothing() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    let requests = include_str!("ordinary.txt").lines();
    let mut wrong = Vec::new();
    for line in requests.filter(|line| !line.starts_with('#')) {
        let (line, agent) = line.split_once('\t').unwrap_or((line, ""));
        // In front of some is how they were answered.
        let with_status = line
            .split_once(' ')
            .and_then(|(status, line)| Some((status.parse().ok()?, line)));
        let (status, line) = with_status.unwrap_or((200, line));
        let sample = Sample {
            user_agent: agent.to_owned(),
            status,
            ..Sample::of_line(line)
        };
        let hits = sample.with(|request| matcher.find(request, &mut scratch));
        let ids = hits
            .iter()
            .map(|hit| matcher.signatures()[*hit as usize].id.clone());
        wrong.extend(ids.map(|id| format!("{line} {agent}: {id}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `elastic-apache.log`, ten thousand requests of a public site, has: see docs/signatures.md for what each of them is.
const IN_A_REAL_LOG: [(&str, u32); 7] = [
    ("agent-broken-browser", 1),
    ("editor-upload", 5),
    ("file-upload-php", 1),
    ("open-panel-login", 6),
    ("panel-plain-name", 4),
    ("wp-login-variant", 17),
    ("wp-not-here", 35),
];

#[test]
fn each_hit_in_a_real_log_is_known() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    let mut counts = BTreeMap::new();
    let log = std::fs::read("../logs/fixtures/elastic-apache.log").unwrap();
    for line in log.split(|byte| *byte == b'\n') {
        let parts: Vec<_> = line.split(|byte| *byte == b'"').collect();
        let [_, request, status, referer, _, agent, ..] = parts[..] else {
            continue;
        };
        let request = String::from_utf8_lossy(request);
        let sample = Sample {
            status: String::from_utf8_lossy(status).trim()[..3].parse().unwrap(),
            ..Sample::of_line(&request)
        };
        let hits = sample.with(|request| {
            let request = Request {
                referer,
                user_agent: agent,
                ..*request
            };
            matcher.find(&request, &mut scratch)
        });
        for hit in hits {
            *counts
                .entry(matcher.signatures()[hit as usize].id.as_str())
                .or_insert(0) += 1;
        }
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), IN_A_REAL_LOG);
}
