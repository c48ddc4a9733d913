//! A day or a week as notifications tell of it.

use secbeat_daemon::time::rfc3339;
use secbeat_orchestrator_core::notices::{Every, Notice, Reported, What};

use crate::{
    reports::Over,
    view::{NameCount, Report},
};

/// Names in a line.
const NAMED: usize = 5;

/// Returns what those are told who want a report.
pub(super) fn notice(over: &Over) -> Notice {
    let Over {
        every,
        from_ms,
        until_ms,
        ..
    } = *over;
    let report = Report::new(&over.rows, "hour", until_ms);
    let what = What::Reported(Reported {
        every,
        from_ms,
        until_ms,
        lines: lines(&report, every, from_ms),
        totals: report.totals().to_vec(),
    });
    Notice {
        at_ms: until_ms,
        what,
    }
}

/// A report in a few lines. Paths and user agents are not in it: it may go to others' servers.
fn lines(report: &Report, every: Every, from_ms: i64) -> Vec<String> {
    let date = rfc3339(from_ms);
    let date = date.get(.."2026-11-20".len()).unwrap_or(&date);
    let of = match every {
        Every::Day => format!("of {date}"),
        Every::Week => format!("of the week from {date}"),
    };
    let mut lines = vec![
        format!(
            "Report {of}, UTC: {} banned by rules ({} of repeat offenders), {} by people, {} lifted",
            report.bans, report.repeated, report.manual, report.lifted
        ),
        format!(
            "Requests: {}, {} of them errors. Dropped: {} packets, {} bytes",
            report.requests, report.errors, report.spared_packets, report.spared_bytes
        ),
    ];
    if let (Some(p50), Some(p95)) = (report.enforcement_p50_ms, report.enforcement_p95_ms) {
        lines.push(format!(
            "In kernels within {p50} ms for half of the bans, {p95} ms for 95 %"
        ));
    }
    let rules = report.rules.iter().filter(|rule| rule.banned > 0);
    let rules = rules.map(|rule| NameCount {
        name: rule.rule.clone(),
        count: rule.banned,
        ..NameCount::default()
    });
    for (what, names) in [
        ("Bans by rule", rules.collect::<Vec<_>>()),
        ("Bans by edge", report.edges.clone()),
        ("Banned again", report.offenders.clone()),
    ] {
        let names = names.iter().take(NAMED);
        let names: Vec<_> = names
            .map(|NameCount { name, count, .. }| format!("{name} {count}"))
            .collect();
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use secbeat_orchestrator_core::reports::Row;

    use super::*;

    /// 2026-11-20T00:00:00Z.
    const FRIDAY: i64 = 1_795_132_800_000;

    #[test]
    fn a_day_is_told_in_a_few_lines_without_what_clients_wrote() {
        let row = Row {
            bans: 7,
            manual: 1,
            requests: 1000,
            errors: 60,
            ..Row::default()
        };
        let over = Over {
            every: Every::Day,
            from_ms: FRIDAY,
            until_ms: FRIDAY + 24 * 3_600_000,
            rows: vec![(FRIDAY, row.clone()), (FRIDAY + 3_600_000, row)],
        };
        let What::Reported(report) = notice(&over).what else {
            panic!("it is no report");
        };
        assert_eq!(
            report.lines,
            [
                "Report of 2026-11-20, UTC: 14 banned by rules (0 of repeat offenders), 2 by people, 0 lifted",
                "Requests: 2000, 120 of them errors. Dropped: 0 packets, 0 bytes"
            ]
        );
        assert!(report.totals.contains(&("bans", 14)), "{report:?}");
    }
}
