//! A ban as its victim and its operator see it.

use std::time::{Duration, SystemTime};

use secbeat_common::maps;
use serde_json::Value;

use crate::{
    lab::{
        executable::{Executable as _, Program},
        fleet::{Family, Fleet},
        visitor::{Visitor, VisitorReport},
        wait::wait_until,
    },
    scenario::attack::newcomer,
};

/// Port of the orchestrator's API.
const ORCHESTRATOR: u16 = 3030;

/// What `bpftool map dump` prints of the family's table of bans.
#[must_use]
pub fn bpftool_dump(fleet: &Fleet, family: Family) -> String {
    let output = Program::Bpftool
        .command()
        .args(["map", "dump", "pinned"])
        .arg(fleet.pin_folder().join(table(family)))
        .output()
        .expect("running bpftool");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "bpftool: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The table that holds the family's bans.
#[must_use]
pub fn table(family: Family) -> &'static str {
    match family {
        Family::V4 => maps::BANNED_V4,
        Family::V6 => maps::BANNED_V6,
    }
}

/// What the edge's `status` prints.
#[must_use]
pub fn edge_status(fleet: &Fleet) -> String {
    let output = fleet.cli("edge", &["status"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "secbeat-edge status: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The ban whose target is `target`, from the orchestrator's API.
#[must_use]
pub fn listed(fleet: &Fleet, target: &str) -> Option<Value> {
    let answer = fleet.api(ORCHESTRATOR, "/api/v1/bans").ok()?;
    let page: Value = serde_json::from_slice(&answer.body).ok()?;
    let mut bans = page["bans"].as_array()?.iter();
    bans.find(|ban| ban["target"] == target).cloned()
}

/// Waits until a page is served to the attacker again; says when. Each try is a new connection.
///
/// # Panics
///
/// When that takes more than `limit`.
#[must_use]
pub fn served_again(fleet: &Fleet, family: Family, limit: Duration) -> SystemTime {
    let page = format!("http://{}/", family.edge_for_attacker());
    wait_until("the ban ends and the attacker is served again", limit, || {
        matches!(newcomer(fleet, family).get(&page), Ok(200))
    });
    SystemTime::now()
}

/// Ends a visit and says how it was.
///
/// # Panics
///
/// When one request failed, or there was none.
#[must_use]
pub fn unbroken(visitor: Visitor) -> VisitorReport {
    let report = visitor.stop();
    let (requests, failures) = (report.requests, &report.failures);
    assert!(
        failures.is_empty(),
        "{} of the visitor's {requests} requests failed: {failures:?}",
        failures.len()
    );
    assert!(requests > 0, "the visitor asked for nothing");
    report
}
