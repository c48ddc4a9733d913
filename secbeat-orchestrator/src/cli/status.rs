//! `status`: how this orchestrator does, what it counts, and who shares the partitions with it.

use std::fmt::Write as _;

use secbeat_bus::broker::broker;
use secbeat_common::wire::{ClockOffset, tell_labels};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, print_json},
    program,
};

use crate::view::{ApiStats, FleetEdge, LeasesView};

pub(super) fn show(api: &ApiClient, label: &[(String, String)], output: Output) -> anyhow::Result<()> {
    let mut stats: ApiStats = api.get("/api/v1/stats")?;
    if !label.is_empty() {
        let label = tell_labels(&label.iter().cloned().collect());
        let edges: Vec<FleetEdge> = api.get(&format!("/api/v1/edges?label={label}"))?;
        let is_meant = |id: &str| edges.iter().any(|edge| edge.standing.edge_id == id);
        stats.engine.edges.retain(|edge| is_meant(&edge.edge_id));
        stats.engine.fleet.retain(|edge| is_meant(&edge.edge_id));
    }
    match output {
        Output::Json => print_json(&stats)?,
        Output::Table => print(&stats),
    }
    Ok(())
}

/// Prints it for people.
pub fn print(stats: &ApiStats) {
    secbeat_daemon::say!("{}", text(stats).trim_end());
}

fn text(stats: &ApiStats) -> String {
    let engine = &stats.engine;
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<11} {what}");
    };
    let bus = match stats.bus_connected {
        true => "connected",
        false => "UNREACHABLE",
    };
    // On one host, the edge has said so, and there is nobody to share anything with.
    let is_fleet = !program::is_one_host();
    if is_fleet {
        line(broker(), bus.to_owned());
        line("clock", ClockOffset::tell(stats.clock));
    }
    for edge in engine.fleet.iter().filter(|_| is_fleet) {
        if let Some(clock) = edge.clock.filter(|clock| clock.is_wrong()) {
            line("edge clock", format!("{}: WRONG: {clock}", edge.edge_id));
        }
    }
    if let Some(why) = &stats.not_ready {
        line("ready", format!("NO: {why}"));
    }
    if let Some(refused) = &stats.refused_config {
        line("config", refused.line());
    }
    for certificate in &stats.bus_certificates {
        line("certificate", certificate.line());
    }
    for trouble in &stats.bus_troubles {
        line(broker(), format!("TROUBLE: {}", trouble.text));
    }
    if !engine.restored {
        line(
            "ledger",
            format!("STILL BEING READ FROM {}", broker().to_uppercase()),
        );
    }
    if let Some(since) = &engine.behind_since {
        let bus = broker();
        line(
            "ledger",
            format!("BEHIND since {since}: it lacks bans that {bus} has, and is read again"),
        );
    }
    line(
        "bans",
        format!(
            "{} in force, {} changes not yet written to {}",
            engine.active_bans,
            engine.unwritten,
            broker()
        ),
    );
    if let Some(brake) = &engine.brake {
        line(
            "limit",
            format!("SAFETY LIMIT REACHED ({brake}): automatic bans are suppressed"),
        );
    }
    if engine.held_back > 0 {
        let (held, limits) = (engine.held_back, engine.limits());
        line(
            "held back",
            format!(
                "{held} clients, by a safety limit{limits}: they are banned as soon as it allows, the worst first"
            ),
        );
    }
    line(
        "findings",
        format!(
            "{}, {} of them suppressed, {} by a safety limit",
            engine.findings, engine.suppressed, engine.braked
        ),
    );
    line(
        "sources",
        format!(
            "{} in memory, {} evicted (detect.max_sources)",
            engine.tracked_sources, engine.evicted_sources
        ),
    );
    line(
        "telemetry",
        format!(
            "{} batches, {} events, {} WAF events, {} service events, {} invalid messages",
            engine.batches, engine.events, engine.waf_events, engine.service_events, stats.garbage
        ),
    );
    if engine.service_uncounted > 0 {
        line(
            "services",
            format!(
                "NO RULE COUNTS the {} events of services: enable one, such as ssh-bruteforce",
                engine.service_uncounted
            ),
        );
    }
    line("audit", format!("{} records lost", engine.audit_lost));
    for part in stats.audit.iter().filter(|part| part.short) {
        line(
            "audit",
            format!(
                "TOO SMALL: records of {} ({}) go back only to {}; raise max_bytes of the stream",
                part.part,
                part.stream,
                part.oldest.as_deref().unwrap_or_default()
            ),
        );
    }
    for edge in engine.edges.iter().filter(|_| is_fleet) {
        line(
            "edge",
            format!(
                "{}: {} requests in {} batches, {} responses lost, {} batches missing",
                edge.edge_id, edge.requests, edge.batches, edge.lost, edge.missing_batches
            ),
        );
    }
    for file in &stats.geo {
        line("geo", file.line());
    }
    for copy in &stats.audit_copies {
        let failing = copy.failing.as_ref();
        let text = match copy.is_ours {
            true => format!(
                "{} written, {} wait, {} lost",
                copy.written, copy.behind, copy.lost
            ),
            false if stats.leases.is_read => "another orchestrator writes it".to_owned(),
            false => format!("not written yet: {} was not read", broker()),
        };
        let failing = failing.map_or_else(String::new, |why| format!("; FAILING: {why}"));
        line(
            "audit copy",
            format!("{} {}: {text}{failing}", copy.name, copy.place),
        );
    }
    for receiver in &stats.notify {
        let failing = receiver.failing.as_ref();
        line(
            "notify",
            format!(
                "{} ({}): {} delivered, {} given up, {} notices wait{}",
                receiver.name,
                receiver.kind,
                receiver.sent,
                receiver.given_up,
                receiver.waiting,
                failing.map_or_else(String::new, |why| format!("; FAILING: {why}"))
            ),
        );
    }
    if is_fleet || stats.leases.unowned().next().is_some() {
        text.push_str(&shares(&stats.leases));
    }
    text
}

fn shares(leases: &LeasesView) -> String {
    let mut text = String::new();
    if let Some(since) = &leases.unread_since {
        let _ = writeln!(
            text,
            "leases      NOT READ from {} since {since}: what follows is as of then",
            broker()
        );
    }
    for member in &leases.members {
        let owned = leases
            .partitions
            .iter()
            .filter(|view| view.holder.as_ref() == Some(member));
        let owned: Vec<_> = owned.map(|view| view.partition).collect();
        let who = match *member == leases.instance {
            true => "this one",
            false => "another",
        };
        let share = share(&owned, leases.partitions.len());
        let _ = writeln!(text, "{who:<11} {member} owns {share}");
    }
    for other in &leases.differing {
        let (who, keys) = (&other.orchestrator, list(&other.keys));
        let _ = writeln!(
            text,
            "config      DIFFERS from that of {who} in {keys}: give all orchestrators the same"
        );
    }
    let unowned: Vec<_> = leases.unowned().map(|partition| partition.to_string()).collect();
    if !unowned.is_empty() {
        let _ = writeln!(text, "no owner    {}", list(&unowned));
    }
    text
}

/// The partitions in `owned`, in order, of so many in all: `0-7, 12 (9 of 16 partitions)`.
fn share(owned: &[u16], all: usize) -> String {
    if owned.is_empty() {
        return "nothing".to_owned();
    }
    if owned.len() == all {
        return format!("all {all} partitions");
    }
    let runs = owned.chunk_by(|one, next| one + 1 == *next);
    let runs = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    let runs = runs.collect::<Vec<_>>().join(", ");
    format!("{runs} ({} of {all} partitions)", owned.len())
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        items => items.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{DifferingView, PartitionView};

    #[test]
    fn who_owns_what_is_shown() {
        let view = |partition, holder: Option<&str>, epoch| PartitionView {
            partition,
            holder: holder.map(str::to_owned),
            epoch,
        };
        let mut leases = LeasesView {
            instance: "a-1".to_owned(),
            members: vec!["a-1".to_owned(), "b-1".to_owned(), "c-1".to_owned()],
            differing: vec![DifferingView {
                orchestrator: "b-1".to_owned(),
                keys: vec!["rule".to_owned(), "ban".to_owned()],
            }],
            is_read: true,
            unread_since: None,
            partitions: vec![
                view(0, Some("a-1"), Some(7)),
                view(1, Some("b-1"), None),
                view(2, Some("b-1"), None),
                view(3, None, None),
            ],
        };
        assert_eq!(
            shares(&leases),
            "this one    a-1 owns 0 (1 of 4 partitions)\n\
             another     b-1 owns 1-2 (2 of 4 partitions)\n\
             another     c-1 owns nothing\n\
             config      DIFFERS from that of b-1 in rule, ban: give all orchestrators the same\n\
             no owner    3\n"
        );
        assert_eq!(share(&[0, 1, 3], 3), "all 3 partitions");
        assert_eq!(share(&[0, 1, 2, 5], 16), "0-2, 5 (4 of 16 partitions)");
        leases.unread_since = Some("2026-11-20T10:00:07.000Z".to_owned());
        let age =
            "leases      NOT READ from NATS since 2026-11-20T10:00:07.000Z: what follows is as of then\n";
        assert!(shares(&leases).starts_with(age), "{}", shares(&leases));
    }
}
