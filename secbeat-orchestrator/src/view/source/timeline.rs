//! All that happened, in order.

use std::{collections::BTreeMap, time::Duration};

use secbeat_bus::broker::broker;
use secbeat_common::wire::{AuditRecord, Decision, MatchedSignature, SeenEvent, SeenWhat, tell_labels};
use secbeat_daemon::{
    program,
    time::{end, rfc3339},
};

use super::{
    aside,
    history::decided_ms,
    view::{End, Moment, PastBan},
};
use crate::{
    signatures::Catalogue,
    view::findings::{FindingView, Outcome},
};

/// Events further apart than this are told apart.
const PAUSE_MS: i64 = 10_000;

/// The events of `journal` (the latest to come first) and, from before them, those that bans and findings without one were
/// decided on; oldest first.
pub(super) fn all_events(
    journal: &[SeenEvent],
    history: &[PastBan],
    audit: &[AuditRecord],
) -> Vec<SeenEvent> {
    let first_ms = journal.iter().map(|event| event.at_ms).min().unwrap_or(i64::MAX);
    let unpunished = audit.iter().flat_map(|record| match &record.decision {
        Decision::Suppressed { events, .. } | Decision::Observed { events, .. } => events.as_slice(),
        Decision::Ban { .. } | Decision::Unban { .. } | Decision::Allow { .. } | Decision::Disallow => &[],
    });
    let attached = history.iter().flat_map(|ban| &ban.events).chain(unpunished);
    let before = attached.filter(|event| event.at_ms < first_ms);
    let mut events: Vec<_> = before.chain(journal.iter().rev()).cloned().collect();
    events.sort_by_key(|event| event.at_ms);
    events
}

/// A moment, with what it is sorted by: its time, and what comes first of one millisecond.
struct Placed {
    at_ms: i64,
    rank: u8,
    moment: Moment,
}

pub(super) fn timeline(
    events: &[SeenEvent],
    findings: &[FindingView],
    audit: &[AuditRecord],
    history: &[PastBan],
    catalogue: &Catalogue,
    now_ms: i64,
) -> Vec<Moment> {
    let mut placed = Vec::new();
    let mut place = |at_ms: i64, rank: u8, kind: &str, text: String| {
        placed.push(Placed {
            at_ms,
            rank,
            moment: Moment {
                at: rfc3339(at_ms),
                until: None,
                kind: kind.to_owned(),
                text,
            },
        });
    };
    for record in audit {
        decision(record, &mut place);
    }
    for ban in history.iter().filter(|ban| ban.end == End::Expired) {
        if let Some(at_ms) = expiry(audit, ban).filter(|at_ms| *at_ms <= now_ms) {
            place(
                at_ms,
                0,
                "ended",
                format!("the ban of {} ended by itself", ban.target),
            );
        }
    }
    // Those that led to a ban, or are in the audit, are told already.
    for finding in findings.iter().filter(|finding| is_untold(finding, audit)) {
        let times = match finding.times {
            1 => String::new(),
            times => format!(" ({times} times so far)"),
        };
        let why = match &finding.outcome {
            Outcome::Suppressed { why } => format!("not banned: {why}"),
            Outcome::AlreadyBanned => "banned already".to_owned(),
            Outcome::Observed => "not banned: the rule only observes".to_owned(),
            Outcome::Banned { .. } => "banned".to_owned(),
        };
        let text = format!(
            "{} found {} in {}{times}: {why}",
            finding.rule,
            finding.count,
            span(finding.window_ms)
        );
        place(finding.at_ms, 2, "finding", text);
    }
    let cuts: Vec<_> = placed.iter().map(|placed| placed.at_ms).collect();
    placed.extend(runs(events, &cuts, catalogue));
    placed.sort_by_key(|placed| (placed.at_ms, placed.rank));
    placed.into_iter().map(|placed| placed.moment).collect()
}

fn decision(record: &AuditRecord, place: &mut impl FnMut(i64, u8, &str, String)) {
    let AuditRecord {
        at_ms,
        target,
        actor,
        decision,
    } = record;
    match decision {
        Decision::Ban {
            command_id,
            reason,
            note,
            expires_at_ms,
            strikes,
            evidence,
            layer,
            edges,
            labels,
            ..
        } => {
            if let Some(evidence) = evidence {
                let text = format!(
                    "{reason} found {} in {}",
                    evidence.count,
                    span(i64::try_from(evidence.window_ms).unwrap_or(i64::MAX))
                );
                place(evidence.at_ms, 2, "finding", text);
            }
            let decided = decided_ms(*command_id).unwrap_or(*at_ms);
            let note = aside(note);
            let text = format!(
                "{actor} banned {target} {} ({}, {}strikes {strikes}): {reason}{note}",
                end(*expires_at_ms).map_or_else(|| "for ever".to_owned(), |end| format!("until {end}")),
                layer.name(),
                edges.as_ref().map_or_else(String::new, |edges| {
                    let all: Vec<_> = edges
                        .iter()
                        .cloned()
                        .chain(labels.iter().map(tell_labels))
                        .collect();
                    format!("only on {}, ", all.join(" and "))
                })
            );
            place(decided, 3, "ban", text);
            place(*at_ms, 4, "written", format!("{} had the ban", broker()));
        }
        Decision::Unban { note, .. } => {
            let text = format!("{actor} lifted the ban of {target}{}", aside(note));
            place(*at_ms, 3, "unban", text);
        }
        Decision::Allow {
            comment, until_ms, ..
        } => {
            let until = until_ms.map_or_else(
                || " for ever".to_owned(),
                |end| format!(" until {}", rfc3339(end)),
            );
            let comment = aside(comment);
            let text = format!("{actor} put {target} on the allowlist{until}{comment}");
            place(*at_ms, 3, "allow", text);
        }
        Decision::Disallow => {
            let text = format!("{actor} took {target} off the allowlist");
            place(*at_ms, 3, "disallow", text);
        }
        Decision::Observed {
            reason,
            expires_at_ms,
            evidence,
            layer,
            ..
        } => {
            let found = evidence.map_or_else(String::new, |evidence| {
                let window = span(i64::try_from(evidence.window_ms).unwrap_or(i64::MAX));
                format!(" found {} in {window} and", evidence.count)
            });
            let text = format!(
                "{reason}{found} only observes; it would have banned {target} until {} ({})",
                rfc3339(*expires_at_ms),
                layer.name()
            );
            let found_ms = evidence.map_or(*at_ms, |evidence| evidence.at_ms);
            place(found_ms, 2, "observed", text);
        }
        Decision::Suppressed {
            reason,
            why,
            evidence,
            ..
        } => {
            let text = format!(
                "{reason} found {} in {}, not banned: {why}",
                evidence.count,
                span(i64::try_from(evidence.window_ms).unwrap_or(i64::MAX))
            );
            place(evidence.at_ms, 2, "suppressed", text);
        }
    }
}

/// Whether no audit record tells of `finding`.
fn is_untold(finding: &FindingView, audit: &[AuditRecord]) -> bool {
    !audit.iter().any(|record| match &record.decision {
        Decision::Ban {
            reason,
            evidence: Some(evidence),
            ..
        }
        | Decision::Suppressed { reason, evidence, .. } => {
            *reason == finding.rule && evidence.at_ms == finding.at_ms
        }
        Decision::Observed { reason, evidence, .. } => {
            *reason == finding.rule && evidence.is_some_and(|evidence| evidence.at_ms == finding.at_ms)
        }
        Decision::Ban { evidence: None, .. }
        | Decision::Unban { .. }
        | Decision::Allow { .. }
        | Decision::Disallow => false,
    })
}

fn expiry(audit: &[AuditRecord], ban: &PastBan) -> Option<i64> {
    audit.iter().find_map(|record| match &record.decision {
        Decision::Ban {
            command_id,
            expires_at_ms,
            ..
        } if *command_id == ban.command_id => Some(*expires_at_ms),
        _ => None,
    })
}

/// Events in a row, those that nothing in `cuts` and no pause comes between.
fn runs(events: &[SeenEvent], cuts: &[i64], catalogue: &Catalogue) -> Vec<Placed> {
    let apart = |a: &SeenEvent, b: &SeenEvent| {
        b.at_ms - a.at_ms > PAUSE_MS || cuts.iter().any(|cut| (a.at_ms..b.at_ms).contains(cut))
    };
    let runs = events.chunk_by(|a, b| !apart(a, b));
    let run = |run: &[SeenEvent]| {
        let (first, last) = (run.first()?, run.last()?);
        let until = (last.at_ms > first.at_ms).then(|| rfc3339(last.at_ms));
        Some(Placed {
            at_ms: first.at_ms,
            rank: 1,
            moment: Moment {
                at: rfc3339(first.at_ms),
                text: summary(run, until.as_deref(), catalogue),
                until,
                kind: "events".to_owned(),
            },
        })
    };
    runs.filter_map(run).collect()
}

/// Returns what was recognised, such as `env-file (Environment file of an application; sensitive-file, high) ×3`, and whether it
/// was answered well.
fn recognised(run: &[SeenEvent], catalogue: &Catalogue) -> String {
    let mut found = BTreeMap::<&str, (usize, &MatchedSignature)>::new();
    let mut answered = BTreeMap::<u16, usize>::new();
    for event in run {
        for matched in &event.signatures {
            found.entry(&matched.id).or_insert((0, matched)).0 += 1;
        }
        if let SeenWhat::Answer { status, .. } = event.what
            && MatchedSignature::may_have_succeeded(&event.signatures, status)
        {
            *answered.entry(status).or_default() += 1;
        }
    }
    if found.is_empty() {
        return String::new();
    }
    let named = found.into_iter().map(|(id, (count, matched))| {
        let title = catalogue
            .get(id)
            .map_or_else(String::new, |known| format!("{}; ", known.title));
        let what = format!("{id} ({title}{}, {})", matched.class, matched.severity);
        times((what, count))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let answered: Vec<_> = answered
        .into_iter()
        .map(|(status, count)| times((status.to_string(), count)))
        .collect();
    match answered.is_empty() {
        true => format!("; recognised: {named}"),
        false => format!(
            "; recognised: {named}; POSSIBLE SUCCESS, answered {}",
            answered.join(", ")
        ),
    }
}

fn times((what, count): (String, usize)) -> String {
    match count {
        1 => what,
        count => format!("{what} ×{count}"),
    }
}

/// As `50 events until 10:00:07.000Z, reported by edge-1: 404 ×49, WAF rule 942100`.
fn summary(run: &[SeenEvent], until: Option<&str>, catalogue: &Catalogue) -> String {
    let mut whats = BTreeMap::<String, usize>::new();
    let mut edges = BTreeMap::<&str, usize>::new();
    for event in run {
        let what = match &event.what {
            SeenWhat::Answer { status, .. } => status.to_string(),
            SeenWhat::Unreadable { .. } => "unreadable".to_owned(),
            SeenWhat::Waf { rule: Some(rule), .. } => format!("WAF rule {rule}"),
            SeenWhat::Waf { rule: None, .. } => "WAF".to_owned(),
            SeenWhat::Service { service, kind, .. } => format!("{service} {kind}"),
        };
        *whats.entry(what).or_default() += 1;
        *edges.entry(&event.edge).or_default() += 1;
    }
    let whats: Vec<_> = whats.into_iter().map(times).collect();
    let edges: Vec<_> = edges.into_keys().collect();
    let events = match run.len() {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    let clock = until.and_then(|until| Some(until.split_once('T')?.1));
    let until = clock.map_or_else(String::new, |clock| format!(" until {clock}"));
    let by = match program::is_one_host() {
        true => String::new(),
        false => format!(", reported by {}", edges.join(", ")),
    };
    format!(
        "{events}{until}{by}: {}{}",
        whats.join(", "),
        recognised(run, catalogue)
    )
}

/// Returns how long `ms` is, as `1m` or `5m 2s 3ms`.
pub(super) fn span(ms: i64) -> String {
    let span = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    secbeat_daemon::config::HumanDuration(span).to_string()
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::LearnedFrom;

    use super::*;

    fn event(status: u16, signatures: &[(&str, &str, &str)]) -> SeenEvent {
        let signature = |(id, class, severity): &(&str, &str, &str)| MatchedSignature {
            id: (*id).to_owned(),
            class: (*class).to_owned(),
            severity: (*severity).to_owned(),
        };
        SeenEvent {
            at_ms: 0,
            edge: "web-1".to_owned(),
            client: "203.0.113.7".parse().unwrap(),
            learned_from: LearnedFrom::Peer,
            what: SeenWhat::Answer {
                status,
                method: "GET".to_owned(),
                user_agent: String::new(),
            },
            path: "/".to_owned(),
            host: String::new(),
            signatures: signatures.iter().map(signature).collect(),
            cross_site: false,
        }
    }

    #[test]
    fn what_was_recognised_is_told_with_its_title_if_that_is_known() {
        let env = ("env-file", "sensitive-file", "high");
        let run = [
            event(404, &[env]),
            event(404, &[env, ("of-an-edge-alone", "other", "medium")]),
            event(404, &[]),
        ];
        assert_eq!(
            summary(&run, None, &Catalogue::default()),
            "3 events, reported by web-1: 404 ×3; recognised: env-file (Environment file of an application; sensitive-file, high) \
             ×2, of-an-edge-alone (other, medium)"
        );
    }

    #[test]
    fn what_was_answered_well_may_have_succeeded_unless_it_is_a_scanners_name() {
        let told = |status, class, severity| {
            summary(
                &[event(status, &[("x", class, severity)])],
                None,
                &Catalogue::default(),
            )
            .contains("; POSSIBLE SUCCESS, answered 200")
        };
        assert!(told(200, "sqli", "medium"));
        assert!(!told(404, "sqli", "critical"));
        assert!(!told(302, "sqli", "critical"));
        assert!(!told(200, "info-leak", "low"));
        assert!(!told(200, "scanner-agent", "high"));
    }
}
