//! A report in a message.

use std::collections::BTreeMap;

use secbeat_daemon::time::rfc3339;
use secbeat_orchestrator_core::notices::Reported;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ReportPart {
    /// `day` or `week`.
    every: &'static str,
    /// RFC 3339.
    from: String,
    until: String,
    /// As `report -o json` has them.
    totals: BTreeMap<&'static str, u64>,
}

impl ReportPart {
    pub(super) fn new(report: &Reported) -> Self {
        Self {
            every: report.every.name(),
            from: rfc3339(report.from_ms),
            until: rfc3339(report.until_ms),
            totals: report.totals.iter().copied().collect(),
        }
    }
}
