//! Reports over a time.

use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    geo::{Geo, Origin},
    time::rfc3339,
};
use secbeat_orchestrator_core::reports::{BOUNDS_MS, Row, Top};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Names in a list of a report.
const SHOWN: usize = 20;

/// Summary of a period of whole hours or days of UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// RFC 3339, as all times here.
    pub from: String,
    /// End of the time that it covers; RFC 3339.
    pub until: String,
    /// Length of a step: `hour` up to a week, else `day`.
    pub step: String,
    /// Bans that rules made.
    pub bans: u64,
    /// Bans of repeat offenders among them.
    pub repeated: u64,
    /// Bans that people made, those of lists included.
    pub manual: u64,
    /// Bans that people lifted, or whose clients they allowlisted.
    pub lifted: u64,
    /// Lifted bans of rules as a share of all bans of rules: about as many hit the wrong ones. `null` without bans.
    pub lifted_share: Option<f64>,
    /// Responses that edges reported.
    pub requests: u64,
    /// Error responses.
    pub errors: u64,
    /// Packets that kernels dropped.
    pub spared_packets: u64,
    /// Bytes of these packets.
    pub spared_bytes: u64,
    /// The rules with the most bans first.
    pub rules: Vec<RuleReport>,
    /// Bans of rules by the edge that reported what led to them; the most first, as of all lists here.
    pub edges: Vec<NameCount>,
    /// Targets that were banned again, by rules, and how often.
    pub offenders: Vec<NameCount>,
    /// Requests that led to bans, by path and by user agent, as far as the evidence has them.
    pub paths: Vec<NameCount>,
    /// The same by user agent.
    pub agents: Vec<NameCount>,
    /// Bans of rules by the hour of the day, UTC, from midnight on.
    pub hours: Vec<u64>,
    /// Times of bans from the decision into a kernel.
    pub enforcement: Vec<Bar>,
    /// Half of them took at most so long, and 95 of 100, in milliseconds; `null` if none was, or if longer than 10 s.
    pub enforcement_p50_ms: Option<u64>,
    /// 95 of 100 bans took at most so long, in milliseconds; `null` if none was, or if longer than 10 s.
    pub enforcement_p95_ms: Option<u64>,
    /// Step by step, the oldest first.
    pub series: Vec<ReportStep>,
}

/// Outcomes of a rule's findings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleReport {
    /// Name of the rule.
    pub rule: String,
    /// Findings that led to a ban.
    pub banned: u64,
    /// Findings of a dry run.
    pub observed: u64,
    /// Findings about clients that were banned already.
    pub already_banned: u64,
    /// The client was allowlisted, or a safety limit held.
    pub suppressed: u64,
    /// Bans of the rule that people removed.
    pub lifted: u64,
    /// `lifted` as a share of `banned`; `null` without bans.
    pub lifted_share: Option<f64>,
    /// Findings in the same steps as `series` of the report.
    pub findings: Vec<u64>,
}

/// A name and its number: of more than 64 names, what it came to at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NameCount {
    pub name: String,
    pub count: u64,
    /// Country and provider of a target, by the files of `[geo]`.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Bans that took at most so long, and longer than the bar before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bar {
    /// `null` for those that took longer than all others.
    pub up_to_ms: Option<u64>,
    /// Bans in this bar.
    pub count: u64,
}

/// One hour or day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportStep {
    /// Beginning of the step; RFC 3339.
    pub at: String,
    /// Bans of rules.
    pub bans: u64,
    /// Bans of people.
    pub manual: u64,
    /// Bans that were removed.
    pub lifted: u64,
    /// Responses that edges reported.
    pub requests: u64,
    /// Error responses among them.
    pub errors: u64,
    /// Dropped packets.
    pub packets: u64,
    /// Bytes of dropped packets.
    pub bytes: u64,
}

impl Report {
    /// Of `rows`, each with its beginning, to `until_ms`.
    #[must_use]
    pub fn new(rows: &[(i64, Row)], step: &str, until_ms: i64) -> Self {
        let mut sum = Row::default();
        rows.iter().for_each(|(_, row)| sum.merge(row));
        let lifted_of_rules: u64 = sum.rules.values().map(|rule| rule.lifted).sum();
        let mut rules: Vec<_> = sum
            .rules
            .iter()
            .map(|(name, rule)| RuleReport {
                rule: name.clone(),
                banned: rule.banned,
                observed: rule.observed,
                already_banned: rule.already_banned,
                suppressed: rule.suppressed,
                lifted: rule.lifted,
                lifted_share: share(rule.lifted, rule.banned),
                findings: rows.iter().map(|(_, row)| findings(row, name)).collect(),
            })
            .collect();
        rules.sort_by(|one, other| (other.banned, &one.rule).cmp(&(one.banned, &other.rule)));
        let bounds = BOUNDS_MS.iter().map(|bound| Some(*bound)).chain([None]);
        Self {
            from: rows
                .first()
                .map_or_else(String::new, |(at_ms, _)| rfc3339(*at_ms)),
            until: rfc3339(until_ms),
            step: step.to_owned(),
            bans: sum.bans,
            repeated: sum.repeated,
            manual: sum.manual,
            lifted: sum.lifted,
            lifted_share: share(lifted_of_rules, sum.bans),
            requests: sum.requests,
            errors: sum.errors,
            spared_packets: sum.packets,
            spared_bytes: sum.bytes,
            rules,
            edges: names(&sum.edges),
            offenders: names(&sum.offenders),
            paths: names(&sum.paths),
            agents: names(&sum.agents),
            hours: sum.hours.to_vec(),
            enforcement: bounds
                .zip(sum.took)
                .map(|(up_to_ms, count)| Bar { up_to_ms, count })
                .collect(),
            enforcement_p50_ms: quantile(&sum.took, 50),
            enforcement_p95_ms: quantile(&sum.took, 95),
            series: rows
                .iter()
                .map(|(at_ms, row)| ReportStep::new(*at_ms, row))
                .collect(),
        }
    }

    /// Says where repeat offenders belong, as far as `geo` knows.
    #[must_use]
    pub fn located(mut self, geo: &Geo) -> Self {
        for offender in &mut self.offenders {
            if let Ok(target) = offender.name.parse::<Prefix>() {
                offender.origin = geo.of(&target);
            }
        }
        self
    }

    /// Returns what there was in all, by name.
    pub(crate) const fn totals(&self) -> [(&'static str, u64); 8] {
        [
            ("bans", self.bans),
            ("repeated", self.repeated),
            ("manual", self.manual),
            ("lifted", self.lifted),
            ("requests", self.requests),
            ("errors", self.errors),
            ("spared_packets", self.spared_packets),
            ("spared_bytes", self.spared_bytes),
        ]
    }

    /// All of it as lines `section,name,at,value`, for spreadsheets.
    ///
    /// # Errors
    ///
    /// Returns an error if memory cannot be written.
    pub fn csv(&self) -> anyhow::Result<String> {
        let mut to = csv::Writer::from_writer(Vec::new());
        to.write_record(["section", "name", "at", "value"])?;
        let mut line = |section: &str, name: &str, at: &str, value: u64| {
            // A cell that a spreadsheet would take for a formula is a text.
            let name = match name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                true => format!("'{name}"),
                false => name.to_owned(),
            };
            to.write_record([section, &name, at, &value.to_string()])
        };
        for (name, value) in self.totals() {
            line("total", name, "", value)?;
        }
        for rule in &self.rules {
            for (section, value) in [
                ("rule_banned", rule.banned),
                ("rule_observed", rule.observed),
                ("rule_already_banned", rule.already_banned),
                ("rule_suppressed", rule.suppressed),
                ("rule_lifted", rule.lifted),
            ] {
                line(section, &rule.rule, "", value)?;
            }
        }
        for (section, names) in [
            ("edge", &self.edges),
            ("offender", &self.offenders),
            ("path", &self.paths),
            ("agent", &self.agents),
        ] {
            for name in names {
                line(section, &name.name, "", name.count)?;
            }
        }
        for (hour, bans) in self.hours.iter().enumerate() {
            line("hour_of_day", &format!("{hour:02}"), "", *bans)?;
        }
        for bar in &self.enforcement {
            let up_to = bar
                .up_to_ms
                .map_or_else(|| "longer".to_owned(), |ms| format!("{ms} ms"));
            line("enforcement", &up_to, "", bar.count)?;
        }
        for step in &self.series {
            for (name, value) in [
                ("bans", step.bans),
                ("manual", step.manual),
                ("lifted", step.lifted),
                ("requests", step.requests),
                ("errors", step.errors),
                ("packets", step.packets),
                ("bytes", step.bytes),
            ] {
                line("series", name, &step.at, value)?;
            }
        }
        Ok(String::from_utf8(to.into_inner()?)?)
    }
}

impl ReportStep {
    fn new(at_ms: i64, row: &Row) -> Self {
        Self {
            at: rfc3339(at_ms),
            bans: row.bans,
            manual: row.manual,
            lifted: row.lifted,
            requests: row.requests,
            errors: row.errors,
            packets: row.packets,
            bytes: row.bytes,
        }
    }
}

fn findings(row: &Row, rule: &str) -> u64 {
    let rule = row.rules.get(rule).copied().unwrap_or_default();
    rule.banned + rule.observed + rule.already_banned + rule.suppressed
}

fn names(top: &Top) -> Vec<NameCount> {
    let name = |(name, count): (&str, u64)| NameCount {
        name: name.to_owned(),
        count,
        origin: Origin::default(),
    };
    top.list().into_iter().take(SHOWN).map(name).collect()
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The bound under which so many of a hundred are.
fn quantile(took: &[u64], percent: u64) -> Option<u64> {
    let all: u64 = took.iter().sum();
    let wanted = (all * percent).div_ceil(100);
    let mut sum = 0;
    let mut bars = BOUNDS_MS.iter().zip(took);
    bars.find_map(|(bound, count)| {
        sum += count;
        (all > 0 && sum >= wanted).then_some(*bound)
    })
}

#[cfg(test)]
mod tests {
    use secbeat_daemon::geo::{GeoConfig, Mmdb};

    use super::*;

    #[test]
    fn a_report_adds_its_rows_up() {
        let mut one = Row {
            bans: 3,
            lifted: 1,
            requests: 10,
            packets: 7,
            ..Row::default()
        };
        one.rule("error-flood").banned = 3;
        one.rule("error-flood").lifted = 1;
        one.offenders.add("192.0.2.7/32", 2);
        one.offenders.add("192.0.2.8/32", 1);
        one.paths.add("=cmd()", 4);
        one.took[2] = 90;
        one.took[8] = 10;
        let other = Row {
            bans: 1,
            ..one.clone()
        };
        let report = Report::new(&[(0, one), (3_600_000, other)], "hour", 3_700_000);
        assert_eq!((report.bans, report.lifted, report.requests), (4, 2, 20));
        assert_eq!(report.lifted_share, Some(0.5));
        assert_eq!(report.rules[0].findings, [3, 3]);
        assert_eq!(report.rules[0].lifted_share, Some(1.0 / 3.0));
        assert_eq!(
            report.offenders[0],
            NameCount {
                name: "192.0.2.7/32".to_owned(),
                count: 4,
                origin: Origin::default()
            }
        );
        assert_eq!(
            (report.enforcement_p50_ms, report.enforcement_p95_ms),
            (Some(5), Some(500))
        );
        assert_eq!(report.series[1].at, "1970-01-01T01:00:00.000Z");
        let csv = report.csv().unwrap();
        for line in [
            "total,bans,,4",
            "rule_lifted,error-flood,,2",
            "path,'=cmd(),,8",
            "series,packets,1970-01-01T00:00:00.000Z,7",
        ] {
            assert!(csv.lines().any(|found| found == line), "{line}: {csv}");
        }
        assert_eq!(Report::new(&[], "day", 0).enforcement_p50_ms, None);
    }

    #[test]
    fn repeat_offenders_are_located() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("geo.mmdb");
        let origin = Origin {
            country: Some("DE".to_owned()),
            asn: Some(64500),
            organisation: None,
        };
        let mut mmdb = Mmdb::default();
        mmdb.insert("192.0.2.0/24".parse().unwrap(), &origin).unwrap();
        std::fs::write(&path, mmdb.to_bytes("Test", 0)).unwrap();
        let geo = Geo::open(&GeoConfig {
            country: Some(path.clone()),
            asn: Some(path),
        });
        let mut row = Row::default();
        row.offenders.add("192.0.2.7/32", 2);
        row.edges.add("edge", 2);
        let report = Report::new(&[(0, row)], "hour", 1).located(&geo);
        assert_eq!(report.offenders[0].origin, origin);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["offenders"][0]["asn"], 64500);
        assert_eq!(
            json["edges"][0],
            serde_json::json!({ "name": "edge", "count": 2 })
        );
    }
}
