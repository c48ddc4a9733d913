//! What attackers ask for matches a signature: by the names of CVEs and of a peer's public scenarios; the requests are ours.

use super::matcher;
use crate::{Sample, Scratch, Severity};

/// Those of the file: a name, and below it lines of status and request, and a user agent behind ` | `.
#[test]
fn each_attack_matches() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    let (mut name, mut wrong) = ("", Vec::new());
    for line in include_str!("attacks.txt").lines() {
        let Some(request) = line.strip_prefix("    ") else {
            name = line;
            continue;
        };
        let (request, agent) = request.split_once(" | ").unwrap_or((request, ""));
        let (status, request) = request.split_once(' ').unwrap();
        let sample = Sample {
            user_agent: agent.to_owned(),
            status: status.parse().unwrap(),
            ..Sample::of_line(request)
        };
        let hits = sample.with(|request| matcher.find(request, &mut scratch));
        let severities = hits
            .iter()
            .map(|hit| matcher.signatures()[*hit as usize].severity);
        if severities.max() <= Some(Severity::Info) {
            wrong.push(format!("{name}: {request}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
