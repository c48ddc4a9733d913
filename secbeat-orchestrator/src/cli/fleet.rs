//! `edges` and `propagation`.

use clap::Args;
use secbeat_common::wire::{Presence, parse_label};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Cell, Column, ListOutput, Records, print_json},
    time::left,
};

use crate::view::{AgreementView, CommandView, EdgeTimes, FleetEdge, PropagationView, SignatureAgreement};

/// Commands in the table; `-o json` has all.
const COMMANDS: usize = 20;

/// What people read where no edge was heard of.
const NO_EDGES: &str = "no edge has sent a heartbeat yet: `secbeat-orchestrator enroll NAME` adds one, and `secbeat-edge status` on its host says \
                        how it does";

/// Lists the edges.
#[derive(Debug, Args)]
pub struct Edges {
    /// Only edges with this label, such as site=eu; several must all be there.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    records: Records,
}

const EDGES: [Column<FleetEdge>; 14] = [
    Column("EDGE", "edge", |edge| Cell::Text(edge.standing.edge_id.clone())),
    Column("STATE", "state", |edge| {
        Cell::Text(edge.standing.state.name().to_owned())
    }),
    Column("SINCE", "since", |edge| Cell::Time(edge.standing.since.clone())),
    Column("HEARD", "heard", |edge| {
        Cell::Text(format!("{} ago", left(edge.heard_ms_ago.max(1))))
    }),
    Column("VERSION", "version", |edge| {
        Cell::Text(edge.record.version.clone())
    }),
    Column("MODE", "mode", |edge| Cell::Text(mode(&edge.record).to_owned())),
    Column("INTERFACES", "interfaces", |edge| {
        Cell::Text(interfaces(&edge.record))
    }),
    Column("BANS", "bans", |edge| Cell::number(edge.record.bans.active)),
    Column("LEDGER", "ledger", |edge| Cell::Text(agreement(edge))),
    Column("CLOCK", "clock", |edge| Cell::Text(clock(edge))),
    Column("SIGNATURES", "signatures", |edge| Cell::Text(signatures(edge))),
    Column("DROPPED", "dropped", |edge| {
        Cell::number(edge.record.drops.packets)
    }),
    Column("LOST", "lost", |edge| Cell::number(edge.record.telemetry_lost)),
    Column("LABELS", "labels", |edge| Cell::Text(labels(&edge.record))),
];

impl Edges {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let mut edges: Vec<FleetEdge> = api.get("/api/v1/edges")?;
        let before = edges.len();
        edges.retain(|edge| {
            self.label
                .iter()
                .all(|(key, value)| edge.record.labels.get(key) == Some(value))
        });
        let empty = match before {
            0 => NO_EDGES,
            _ => "no edge has these labels (`labels` in the edges' configs)",
        };
        self.records.show(&EDGES, edges, empty)
    }
}

/// As `role=web site=eu`.
fn labels(record: &Presence) -> String {
    let labels: Vec<_> = record
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(" ")
}

/// Returns what an edge does with whom it finds banned.
pub(super) fn mode(record: &Presence) -> &'static str {
    let observing = record.interfaces.iter().filter(|interface| interface.observes);
    match observing.count() {
        _ if record.observe_only => "observe",
        0 => "enforce",
        some if some == record.interfaces.len() => "observe",
        _ => "partly",
    }
}

/// Its interfaces with how the program is attached, as people read them.
pub(super) fn interfaces(record: &Presence) -> String {
    let interfaces = record.interfaces.iter();
    let shown: Vec<_> = interfaces
        .map(|interface| match &interface.unprotected {
            Some(why) => format!("{} NOT PROTECTED: {why}", interface.name),
            None if interface.observes => format!("{} ({}, only observes)", interface.name, interface.mode),
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

/// Returns how many it looks for, and whether they are what the fleet published.
fn signatures(edge: &FleetEdge) -> String {
    let held = edge.record.signatures.clone().unwrap_or_default();
    let left_out = match held.problems {
        0 => String::new(),
        problems => format!(", {problems} LEFT OUT"),
    };
    match edge.signatures {
        SignatureAgreement::Agrees => format!("{}{left_out}", held.count),
        SignatureAgreement::Differs => format!("{}, NOT THE FLEET'S{left_out}", held.count),
        SignatureAgreement::Off => "off".to_owned(),
        SignatureAgreement::Unknown => "unknown".to_owned(),
    }
}

/// Returns how far its host's clock is ahead.
fn clock(edge: &FleetEdge) -> String {
    match edge.standing.clock {
        Some(clock) if clock.is_wrong() => format!("WRONG {:+.1} s", clock.seconds()),
        Some(clock) => format!("{:+.3} s", clock.seconds()),
        None => "not measured".to_owned(),
    }
}

const TIMES: [Column<EdgeTimes>; 9] = [
    Column("EDGE", "edge", |edge| Cell::Text(edge.edge_id.clone())),
    Column("BANS", "bans", |edge| Cell::number(edge.count)),
    Column("P50 MS", "p50_ms", |edge| Cell::number(edge.p50_ms)),
    Column("P95 MS", "p95_ms", |edge| Cell::number(edge.p95_ms)),
    Column("P99 MS", "p99_ms", |edge| Cell::number(edge.p99_ms)),
    Column("MAX MS", "max_ms", |edge| Cell::number(edge.max_ms)),
    Column("LAST MS", "last_ms", |edge| {
        Cell::Text(edge.last_ms.map_or_else(String::new, |ms| ms.to_string()))
    }),
    Column("REFUSED", "refused", |edge| Cell::number(edge.refused)),
    Column("FAILED", "failed", |edge| Cell::number(edge.failed)),
];

const LATEST: [Column<CommandView>; 5] = [
    Column("TARGET", "target", |command| {
        Cell::Network(command.target.clone())
    }),
    Column("ISSUED", "issued_at", |command| {
        Cell::Time(command.issued_at.clone())
    }),
    Column("ENFORCED BY", "enforced", |command| {
        Cell::Text(command.enforced.len().to_string())
    }),
    Column("PENDING", "pending", |command| {
        Cell::Text(command.pending.join(", "))
    }),
    Column("NOT ENFORCED", "not_enforced", |command| {
        Cell::Text(not_enforced(command))
    }),
];

pub(super) fn propagation(api: &ApiClient, records: &Records) -> anyhow::Result<()> {
    let mut view: PropagationView = api.get("/api/v1/propagation")?;
    if records.output() == ListOutput::Json {
        return print_json(&view);
    }
    records.show(&TIMES, view.edges, "no edge has acknowledged a ban yet")?;
    if matches!(records.output(), ListOutput::Table | ListOutput::Wide) {
        view.commands.truncate(COMMANDS);
        secbeat_daemon::say!();
        let total = view.commands.len();
        records.print(&LATEST, &view.commands, total, "no ban was issued lately")?;
    }
    Ok(())
}

fn not_enforced(command: &CommandView) -> String {
    let reasons = command.refused.iter().chain(&command.failed);
    let reasons: Vec<_> = reasons
        .map(|reason| format!("{}: {}", reason.edge_id, reason.why))
        .collect();
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{ClockOffset, SignaturesInForce, Speaks};
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
        FleetEdge::new(fleet.edges().next().unwrap(), None, None, 0)
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
    fn an_edge_whose_signatures_are_not_the_fleets_is_shown_as_such() {
        let mut edge = edge(&Speaks::edge());
        let held = |count, fleet: Option<&str>, problems| {
            Some(SignaturesInForce {
                count,
                fleet: fleet.map(str::to_owned),
                problems,
            })
        };
        for (said, published, expected) in [
            (None, None, "unknown"),
            (held(448, None, 0), None, "448"),
            (held(0, Some("a"), 0), Some("b"), "off"),
            (held(449, Some("a"), 0), Some("a"), "449"),
            (held(449, Some("a"), 2), Some("a"), "449, 2 LEFT OUT"),
            (held(449, Some("a"), 0), Some("b"), "449, NOT THE FLEET'S"),
            (held(448, None, 1), Some("b"), "448, NOT THE FLEET'S, 1 LEFT OUT"),
        ] {
            edge.record.signatures = said;
            edge.signatures = SignatureAgreement::of(&edge.record, published);
            assert_eq!(signatures(&edge), expected);
        }
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
