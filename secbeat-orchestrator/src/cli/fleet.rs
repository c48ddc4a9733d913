//! `edges` and `propagation`.

use secbeat_common::wire::Presence;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, print_json, table},
    time::left,
};

use crate::view::{AgreementView, CommandView, FleetEdge, PropagationView};

/// Commands in the table; `-o json` has all.
const COMMANDS: usize = 20;

pub(super) fn edges(api: &ApiClient, output: Output) -> anyhow::Result<()> {
    let edges: Vec<FleetEdge> = api.get("/api/v1/edges")?;
    if output == Output::Json {
        return print_json(&edges);
    }
    let header = [
        "EDGE",
        "STATE",
        "SINCE",
        "HEARD",
        "VERSION",
        "MODE",
        "INTERFACES",
        "BANS",
        "LEDGER",
        "CLOCK",
        "DROPPED",
        "LOST",
    ];
    let rows = edges.iter().map(|edge| {
        let record = &edge.record;
        [
            edge.standing.edge_id.clone(),
            edge.standing.state.name().to_owned(),
            edge.standing.since.clone(),
            format!("{} ago", left(edge.heard_ms_ago.max(1))),
            record.version.clone(),
            mode(record).to_owned(),
            interfaces(record),
            record.bans.active.to_string(),
            agreement(edge),
            clock(edge),
            record.drops.packets.to_string(),
            record.telemetry_lost.to_string(),
        ]
    });
    print_table(header, rows);
    Ok(())
}

/// What an edge does with whom it finds banned.
pub(super) const fn mode(record: &Presence) -> &'static str {
    if record.observe_only { "observe" } else { "enforce" }
}

/// Its interfaces with how the program is attached, as people read them.
pub(super) fn interfaces(record: &Presence) -> String {
    let interfaces = record.interfaces.iter();
    let shown: Vec<_> = interfaces
        .map(|interface| match &interface.unprotected {
            Some(why) => format!("{} NOT PROTECTED: {why}", interface.name),
            None => format!("{} ({})", interface.name, interface.mode),
        })
        .collect();
    shown.join(", ")
}

fn agreement(edge: &FleetEdge) -> String {
    if !edge.cannot_read.is_empty() {
        return format!("CANNOT READ {}", edge.cannot_read.join(", "));
    }
    if let Some(since) = &edge.standing.drifting_since {
        return format!("DRIFTS since {since}");
    }
    match edge.agreement {
        AgreementView::Agrees => "agrees".to_owned(),
        AgreementView::Differs { held, issued, .. } => format!("differs ({held} of {issued})"),
        AgreementView::Unknown => "unknown".to_owned(),
    }
}

/// How far its host's clock is ahead.
fn clock(edge: &FleetEdge) -> String {
    match edge.standing.clock {
        Some(clock) if clock.is_wrong() => format!("WRONG {:+.1} s", clock.seconds()),
        Some(clock) => format!("{:+.3} s", clock.seconds()),
        None => "not measured".to_owned(),
    }
}

pub(super) fn propagation(api: &ApiClient, output: Output) -> anyhow::Result<()> {
    let view: PropagationView = api.get("/api/v1/propagation")?;
    if output == Output::Json {
        return print_json(&view);
    }
    let header = [
        "EDGE", "BANS", "P50 MS", "P95 MS", "P99 MS", "MAX MS", "LAST MS", "REFUSED", "FAILED",
    ];
    let rows = view.edges.iter().map(|edge| {
        [
            edge.edge_id.clone(),
            edge.count.to_string(),
            edge.p50_ms.to_string(),
            edge.p95_ms.to_string(),
            edge.p99_ms.to_string(),
            edge.max_ms.to_string(),
            edge.last_ms.map_or_else(String::new, |ms| ms.to_string()),
            edge.refused.to_string(),
            edge.failed.to_string(),
        ]
    });
    print_table(header, rows);
    secbeat_daemon::say!();
    let rows = view.commands.iter().take(COMMANDS).map(|command| {
        [
            command.target.clone(),
            command.issued_at.clone(),
            command.enforced.len().to_string(),
            command.pending.join(", "),
            not_enforced(command),
        ]
    });
    print_table(
        ["TARGET", "ISSUED", "ENFORCED BY", "PENDING", "NOT ENFORCED"],
        rows,
    );
    Ok(())
}

fn not_enforced(command: &CommandView) -> String {
    let reasons = command.refused.iter().chain(&command.failed);
    let reasons: Vec<_> = reasons
        .map(|reason| format!("{}: {}", reason.edge_id, reason.why))
        .collect();
    reasons.join("; ")
}

fn print_table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut table = table(header);
    table.add_rows(rows);
    secbeat_daemon::say!("{table}");
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{ClockOffset, Speaks};
    use secbeat_orchestrator_core::{
        Moment,
        presence::{Agreement, Fleet},
    };
    use serde_json::json;

    use super::*;

    fn edge(speaks: &Speaks) -> FleetEdge {
        let record = json!({
            "edge_id": "edge-1",
            "boot_id": "01920000-0000-7000-8000-000000000001",
            "version": "0.1.0",
            "speaks": speaks,
            "started_at_ms": 1,
            "at_ms": 2,
            "enforcement": "kernel",
            "observe_only": false,
            "interfaces": [],
            "bans": {
                "active": 0,
                "fleet": { "issued_before_ms": 0, "ending_from_ms": 0, "bans": 0, "digest": "" },
                "set_aside": 0,
                "unwritten": 0,
                "synced": true
            },
            "allowlist": 0,
            "drops": { "packets": 0, "bytes": 0 },
            "telemetry_lost": 0,
            "spool": { "batches": 0, "bytes": 0 },
            "bus_revision": 0
        });
        let now = Moment {
            wall_ms: 0,
            boot_ms: 0,
        };
        let mut fleet = Fleet::default();
        fleet.heard(serde_json::from_value(record).unwrap(), Agreement::Agrees, now);
        FleetEdge::new(fleet.edges().next().unwrap(), None, 0)
    }

    #[test]
    fn an_edge_that_cannot_read_bans_is_shown_as_such() {
        let of_this_release = edge(&Speaks::edge());
        assert_eq!(agreement(&of_this_release), "agrees");
        assert_eq!(
            serde_json::to_value(&of_this_release).unwrap().get("cannot_read"),
            None
        );
        let mut speaks = Speaks::edge();
        speaks.kinds.remove("ban");
        assert_eq!(agreement(&edge(&speaks)), "CANNOT READ ban");
        assert_eq!(edge(&speaks).cannot_read, ["ban"]);
    }

    #[test]
    fn a_wrong_clock_is_shown_as_such() {
        let mut edge = edge(&Speaks::edge());
        assert_eq!(clock(&edge), "not measured");
        for (ahead_ms, expected) in [(4, "+0.004 s"), (-999, "-0.999 s"), (600_000, "WRONG +600.0 s")] {
            let error_ms = 1;
            edge.standing.clock = Some(ClockOffset { ahead_ms, error_ms });
            assert_eq!(clock(&edge), expected);
        }
    }
}
