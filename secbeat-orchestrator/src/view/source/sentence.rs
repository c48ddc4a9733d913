//! The answer in words.

use secbeat_bus::broker::broker;
use secbeat_common::{
    maps::allow,
    prefix::Prefix,
    wire::{AuditRecord, ListRecord, SeenEvent},
};
use secbeat_daemon::{
    program,
    time::{NEVER, left, rfc3339},
};
use secbeat_orchestrator_core::{
    ProtectedNet,
    analyzers::{Excused, WindowCount},
    decider::{Identity, SourceFacts},
    evidence::Outcome,
};
use uuid::Uuid;

use super::{
    aside,
    timeline::span,
    view::{End, OnFeed, PastBan, Standing},
};
use crate::{
    millis,
    view::{bans::BanView, lists::list, protection::allowlisted},
};

pub(super) fn standing(
    facts: &SourceFacts,
    history: &[PastBan],
    events: &[SeenEvent],
    audit: &[AuditRecord],
) -> Standing {
    let is_known = !facts.findings.is_empty()
        || !events.is_empty()
        || !history.is_empty()
        || !audit.is_empty()
        || facts.windows.iter().any(|window| window.count > 0);
    if !facts.bans.is_empty() {
        Standing::Banned
    } else if is_protected(facts) {
        Standing::Protected
    } else if is_known {
        Standing::Free
    } else {
        Standing::Unknown
    }
}

/// Whether packets of the address pass although it is banned.
pub(super) fn is_exempt(standing: Standing, facts: &SourceFacts) -> bool {
    let covers = |net: &&ProtectedNet| net.network.covers(&Prefix::host(facts.address));
    standing == Standing::Banned && facts.protected.iter().filter(covers).any(holds_everywhere)
}

fn is_protected(facts: &SourceFacts) -> bool {
    !facts.protected.is_empty() || facts.source.unbannable().is_some()
}

pub(super) fn sentences(
    standing: Standing,
    facts: &SourceFacts,
    bans: &[BanView],
    lists: &[ListRecord],
    feeds: &Result<Vec<OnFeed>, String>,
    history: &[PastBan],
    audit_missing: Option<&str>,
) -> Vec<String> {
    let address = facts.address;
    let passes = facts.protected.iter().any(holds_everywhere);
    let on_feeds = feeds.as_deref().unwrap_or_default();
    let is_dropped = on_feeds.iter().any(OnFeed::drops) && !is_protected(facts);
    let mut sentences: Vec<String> = bans
        .iter()
        .map(|ban| {
            let note = aside(&ban.note);
            let until = match (&ban.expires_at, ban.expires_in_ms) {
                (Some(end), Some(ms)) => format!("until {end}, {} left", left(ms)),
                _ => "for ever".to_owned(),
            };
            let edges = ban
                .edges()
                .map_or_else(String::new, |edges| format!(", only on edges {edges}"));
            let banned = match passes {
                true => format!("{} is banned", ban.target),
                false => format!("{address} is banned: {}", ban.target),
            };
            format!(
                "{banned} {until}{edges}; {}{note}, by {}.",
                ban.reason, ban.issuer
            )
        })
        .collect();
    let of_lists = bans.iter().filter_map(|ban| Some((ban, ban.list?)));
    sentences.extend(of_lists.map(|(ban, id)| of_list(ban, id, lists)));
    sentences.extend(on_feeds.iter().map(|on| of_feed(facts, on)));
    if let Some(why) = facts.source.unbannable() {
        sentences.push(format!("{address} is never banned: {why}."));
    }
    let source = facts.source.to_string();
    sentences.extend(facts.protected.iter().map(|net| {
        let passes = match standing == Standing::Banned && holds_everywhere(net) {
            true => ", so its packets pass",
            false => "",
        };
        format!("{}{passes}.", allowlisted(&source, net))
    }));
    match standing {
        Standing::Banned | Standing::Protected => {}
        Standing::Free => {
            sentences.push(match is_dropped {
                false => format!("{address} is not banned."),
                true => format!("No ban of {address} is in force that `unban` could end."),
            });
            sentences.extend(last_end(history));
            sentences.extend(forgiven(facts));
            sentences.extend(last_suppression(facts));
            sentences.extend(needed(facts, "A ban takes"));
        }
        Standing::Unknown => {
            sentences.push(match audit_missing {
                _ if is_dropped => {
                    format!("No ban of {address} is in force that `unban` could end, and nothing else is known of it.")
                }
                None => format!("{address} is not banned, and nothing is known of it."),
                Some(_) => format!("{address} is not banned, and this process knows nothing of it."),
            });
            sentences.extend(needed(facts, "A ban would take"));
        }
    }
    sentences.extend(crawler(facts));
    sentences.extend(excused(facts));
    if !facts.restored {
        sentences.push(format!(
            "The ledger is still being read from {}: bans may be missing here.",
            broker()
        ));
    }
    if let Err(error) = feeds {
        sentences.push(format!(
            "The feeds could not be read, and one may have {address} on its list: {error}."
        ));
    }
    if let Some(error) = audit_missing {
        sentences.push(format!(
            "The audit could not be read, so earlier decisions are missing here: {error}."
        ));
    }
    sentences
}

/// Returns what edges do with an address that a feed has.
fn of_feed(facts: &SourceFacts, on: &OnFeed) -> String {
    let (address, OnFeed { feed, mode, network }) = (facts.address, on);
    match (mode.as_str(), is_protected(facts)) {
        ("ban", false) => format!(
            "Edges drop packets of {address}: {network} is on the list of the feed {feed} (mode ban). `allowlist add` exempts the address; `exclude` of the feed takes it off the list."
        ),
        ("ban", true) => {
            format!("{network} is on the list of the feed {feed} (mode ban), from which it is exempt.")
        }
        ("allow", _) => format!(
            "Edges let packets of {address} pass: {network} is on the list of the feed {feed} (mode allow)."
        ),
        _ => format!("{network} is on the list of the feed {feed}, which only counts (mode {mode})."),
    }
}

/// Returns where a ban comes from that is of the list `id`.
fn of_list(ban: &BanView, id: Uuid, lists: &[ListRecord]) -> String {
    let target = &ban.target;
    match lists.iter().find(|record| record.list.id == id) {
        Some(record) => format!(
            "The ban of {target} is of a list that {} imported at {}: {}.",
            record.actor,
            rfc3339(record.at_ms),
            list(&record.list)
        ),
        None => format!("The ban of {target} is of the list {id}, of which the audit has no record."),
    }
}

/// Whether the kernels of all edges know it: what the orchestrators found on their own hosts, and what their configs say, edges do not.
fn holds_everywhere(protected: &ProtectedNet) -> bool {
    protected.code == allow::FLEET || program::is_one_host()
}

fn last_end(history: &[PastBan]) -> Option<String> {
    let ban = history.last()?;
    let end = match &ban.end {
        End::Expired => format!(
            "ended by itself at {}",
            ban.expires_at.as_deref().unwrap_or(NEVER)
        ),
        End::Lifted { at, actor, note } => format!("was lifted by {actor} at {at}{}", aside(note)),
        // For the moment that NATS takes, the last ban may be one of these.
        End::InForce | End::Replaced { .. } => return None,
    };
    Some(format!("Its last ban, of {}, {end}.", ban.target))
}

fn forgiven(facts: &SourceFacts) -> Option<String> {
    let until = rfc3339(facts.forgiven_until_ms?);
    Some(format!("Nothing that it does before {until} counts."))
}

/// Whether it is a crawler, if it was looked up.
fn crawler(facts: &SourceFacts) -> Option<String> {
    let checked = facts.crawler.as_ref()?;
    let (address, at) = (checked.suspect.address, rfc3339(checked.at_ms));
    Some(match (&checked.identity, &checked.suspect.claims) {
        (Identity::Verified { crawler, host }, _) => format!(
            "{address} is {crawler}, a crawler: its name {host} leads back to it ({at}); until {}, some rules let it go.",
            rfc3339(checked.until_ms)
        ),
        (Identity::NotVerified { why }, Some(claims)) => {
            format!("{address} says it is {claims}, and is not verified: {why} ({at}).")
        }
        (Identity::NotVerified { why }, None) => {
            format!("{address} is not a verified crawler: {why} ({at}).")
        }
    })
}

/// Returns when the upstream-error guard held.
fn excused(facts: &SourceFacts) -> Option<String> {
    let Excused { count, status, at_ms } = facts.excused?;
    let (responses, last) = match count {
        1 => ("response to it did", String::new()),
        _ => ("responses to it did", "the last ".to_owned()),
    };
    let because = match status {
        500..=599 => "most other clients of the upstream got the same, or none was answered otherwise",
        _ => "most other clients of the upstream got the same",
    };
    Some(format!(
        "{count} {responses} not count ({last}{status} at {}), because {because}.",
        rfc3339(at_ms)
    ))
}

fn last_suppression(facts: &SourceFacts) -> Option<String> {
    let latest = facts.findings.first()?;
    match &latest.outcome {
        Outcome::Suppressed(why) => Some(format!(
            "{} found {} in {} at {}, and banned no client: {why}.",
            latest.rule,
            latest.count,
            span(latest.window_ms),
            rfc3339(latest.at_ms)
        )),
        Outcome::Observed => Some(format!(
            "{} found {} in {} at {}, and banned no client: it only observes.",
            latest.rule,
            latest.count,
            span(latest.window_ms),
            rfc3339(latest.at_ms)
        )),
        Outcome::Banned { .. } | Outcome::AlreadyBanned => None,
    }
}

/// As `A ban takes 38 more in 1m (error-flood), or …`.
fn needed(facts: &SourceFacts, begin: &str) -> Option<String> {
    let need = |window: &WindowCount| {
        // What counts clients of a provider goes on where they are enough: its next event bans a client.
        let rest = u64::from(window.threshold).saturating_sub(window.count).max(1);
        let more = if window.count > 0 { " more" } else { "" };
        format!(
            "{rest}{more} in {} ({})",
            span(millis(window.window)),
            window.rule
        )
    };
    let banning = facts.windows.iter().filter(|window| !window.observe);
    let needs: Vec<_> = banning.map(need).collect();
    let (last, others) = needs.split_last()?;
    let listed = match others {
        [] => last.clone(),
        others => format!("{} or {last}", others.join(", ")),
    };
    Some(format!("{begin} {listed}."))
}
