use ratatui::{Terminal, backend::TestBackend};
use secbeat_daemon::api::CallError;
use serde_json::{Value, json};

use super::screen::{Facts, Screen};

/// 2026-11-20T10:00:00Z.
const NOW: i64 = 1_795_168_800_000;

fn edge(id: &str, state: &str, mode: &str, drops: u64, at_ms: i64, drifting: Option<&str>) -> Value {
    json!({
        "edge_id": id, "state": state, "since": "2026-11-20T09:00:00Z", "drifting_since": drifting,
        "agreement": { "verdict": "agrees" }, "clock_ahead_ms": 0, "telemetry": null,
        "record": {
            "edge_id": id, "boot_id": "00000000-0000-0000-0000-000000000001", "version": "0.1.0",
            "started_at_ms": NOW - 3_600_000, "at_ms": at_ms, "enforcement": "both", "observe_only": false,
            "interfaces": [{ "name": "eth0", "mode": mode }],
            "bans": {
                "active": 2, "set_aside": 0, "unwritten": 0, "synced": true,
                "fleet": { "issued_before_ms": 0, "ending_from_ms": 0, "bans": 2, "digest": "00" },
            },
            "allowlist": 4, "drops": { "packets": drops, "bytes": drops * 60 }, "telemetry_lost": 0,
            "spool": { "batches": 0, "bytes": 0 }, "bus_revision": 7,
        },
    })
}

fn ban(target: &str, issued_at: &str, edges: Option<&[&str]>) -> Value {
    json!({
        "command_id": "1", "target": target, "reason": "error-flood", "state": "issued", "layer": "kernel", "strikes": 1,
        "issuer": "orchestrator", "note": "50 errors in 60s", "issued_at": issued_at,
        "expires_at": "2026-11-20T10:09:00Z", "expires_in_ms": 540_000, "count": 50, "edges": edges,
    })
}

/// A fleet of three edges, at so many packets dropped at the first.
fn facts(drops: u64, at_ms: i64) -> Facts {
    Facts {
        at_ms,
        stats: serde_json::from_value(json!({
            "active_bans": 2, "tracked_sources": 1234, "evicted_sources": 0, "batches": 10, "events": 100, "findings": 3,
            "suppressed": 1, "braked": 0, "restored": true, "unwritten": 0, "audit_lost": 0, "edges": [], "brake": null,
            "rules": {
                "error-flood": { "banned": 2, "observed": 0, "already_banned": 0, "suppressed": 1 },
                "path-scan": { "banned": 0, "observed": 5, "already_banned": 0, "suppressed": 0 },
            },
            "bus_connected": true, "garbage": 0,
        }))
        .unwrap(),
        edges: [
            edge("web-1", "up", "native", drops, at_ms, None),
            edge("web-2", "up", "native", 0, at_ms, Some("2026-11-20T09:59:00Z")),
            edge("web-3", "down", "generic", 0, at_ms, None),
        ]
        .map(|edge| serde_json::from_value(edge).unwrap())
        .into(),
        findings: vec![
            serde_json::from_value(json!({
                "at": "2026-11-20T09:59:00Z", "at_ms": NOW - 65_000, "source": "2001:db8:1:2::/64", "rule": "error-flood",
                "count": 50, "window_ms": 60_000, "outcome": "banned", "times": 1,
                "command_id": "00000000-0000-0000-0000-000000000001",
            }))
            .unwrap(),
        ],
        bans: [
            ban("198.51.100.7/32", "2026-11-20T09:58:00Z", Some(&["web-1"])),
            ban("2001:db8:1:2::/64", "2026-11-20T09:59:00Z", None),
        ]
        .map(|ban| serde_json::from_value(ban).unwrap())
        .into(),
    }
}

fn drawn(screen: &Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_fleet_is_on_one_screen() {
    let mut screen = Screen::new(facts(1000, NOW - 5000));
    screen.take(Ok(facts(61_000, NOW)));
    insta::assert_snapshot!(drawn(&screen, 120, 28));
}

#[test]
fn a_small_terminal_shows_what_it_can() {
    let screen = Screen::new(facts(1000, NOW));
    insta::assert_snapshot!(drawn(&screen, 80, 20));
    drawn(&screen, 1, 1);
}

#[test]
fn a_daemon_that_does_not_answer_is_said_to_and_what_it_said_stays() {
    let mut screen = Screen::new(facts(1000, NOW));
    screen.take(Err(CallError::Unreachable("http://127.0.0.1:3030".to_owned())));
    let drawn = drawn(&screen, 130, 28);
    assert!(
        drawn.contains("no daemon answers at http://127.0.0.1:3030"),
        "{drawn}"
    );
    assert!(drawn.contains("198.51.100.7/32"), "{drawn}");
}

#[test]
fn scrolling_ends_at_the_last_ban() {
    let mut screen = Screen::new(facts(0, NOW));
    screen.scroll(i32::MAX);
    assert!(drawn(&screen, 120, 28).contains("198.51.100.7/32"));
    screen.scroll(i32::MIN);
    assert!(drawn(&screen, 120, 28).contains("2001:db8:1:2::/64 "));
}
