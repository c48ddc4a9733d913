//! What is demanded of the figures: the one place for every limit.

use std::fmt;

use crate::bench::{
    demand::{Demand, Limit},
    million, peers, prefixes,
    report::{Report, Row},
    subject::{ALWAYS_DROP, EMPTY, HIT_V4, HIT_V6, MISS_V4, MISS_V6},
    two_cpus,
};

/// A number made of two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// The time of the first by that of the second, in live frames.
    Ratio(&'static str, &'static str),
    /// Nanoseconds that the first takes longer than the second, in test-runs.
    Extra(&'static str, &'static str),
}

/// One demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Requirement {
    figure: Figure,
    limit: Limit,
    /// What is hoped for beyond the limit, in the same direction.
    aim: Option<f64>,
}

const fn requirement(figure: Figure, limit: Limit, aim: Option<f64>) -> Requirement {
    Requirement { figure, limit, aim }
}

/// All of them, in the order in which they are reported.
const ALL: &[Requirement] = {
    use Figure::{Extra, Ratio};
    use Limit::{AtLeast, AtMost};
    &[
        requirement(Ratio(HIT_V4, ALWAYS_DROP), AtMost(1.12), None),
        requirement(Ratio(HIT_V6, ALWAYS_DROP), AtMost(1.12), None),
        requirement(Extra(MISS_V4, EMPTY), AtMost(3.0), None),
        requirement(Extra(MISS_V6, EMPTY), AtMost(3.0), None),
        requirement(Ratio(peers::XDP_FILTER, HIT_V4), AtLeast(1.10), Some(1.25)),
        requirement(Ratio(peers::NFT_INGRESS, HIT_V4), AtLeast(3.0), None),
        requirement(Ratio(peers::NFT_RAW, HIT_V4), Limit::None, None),
        requirement(Ratio(peers::IPSET_RAW, HIT_V4), Limit::None, None),
        requirement(Ratio(peers::NFT_INPUT, HIT_V4), AtLeast(4.0), None),
        requirement(Ratio(peers::IPTABLES_NFT, HIT_V4), AtLeast(4.0), None),
        requirement(Ratio(peers::IPTABLES_LEGACY, HIT_V4), AtLeast(4.0), None),
        requirement(Ratio(million::MILLION, million::ONE), AtMost(2.6), None),
        requirement(Ratio(million::MILLION, million::BARE_MILLION), AtMost(0.6), None),
        requirement(Ratio(prefixes::NFT_INTERVALS, prefixes::OURS), AtLeast(3.0), None),
        requirement(Ratio(two_cpus::OURS, two_cpus::LIMIT), AtMost(1.2), None),
    ]
};

/// What is demanded of the measurements, with what came of it.
#[must_use]
pub fn demands(report: &Report) -> Vec<Demand> {
    ALL.iter().map(|requirement| requirement.check(report)).collect()
}

impl Requirement {
    /// Compares it with what was measured.
    fn check(self, report: &Report) -> Demand {
        let (value, rows) = match self.figure {
            Figure::Ratio(row, by) => (report.ratio(row, by), [row, by]),
            Figure::Extra(row, less) => (report.test_run_difference(row, less), [row, less]),
        };
        Demand {
            figure: self.figure.to_string(),
            value,
            limit: self.limit,
            aim: self.aim,
            failed: rows
                .iter()
                .filter_map(|name| report.row(name))
                .any(Row::has_failed),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(row, by) => write!(f, "{row} ÷ {by}"),
            Self::Extra(row, less) => write!(f, "{row} − {less}, test-run, ns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        contender::Sample,
        demand::{Verdict, overall},
        report::Missing,
    };

    /// A row whose time is the same in live frames and in test-runs.
    fn row(name: &'static str, rounds: &[f64]) -> Row {
        let mut row = Row::new(name);
        for round in rounds {
            let sample = Sample {
                test_run: Some(*round),
                live: *round,
            };
            row.add(true, sample);
        }
        row
    }

    fn report(ours: f64, peer: Row) -> Report {
        let rows = vec![row(ALWAYS_DROP, &[100.0]), row(HIT_V4, &[ours]), peer];
        Report { rows }
    }

    const OVERHEAD: Requirement =
        requirement(Figure::Ratio(HIT_V4, ALWAYS_DROP), Limit::AtMost(1.2), Some(1.1));
    const PEER: Requirement = requirement(Figure::Ratio(peers::NFT_RAW, HIT_V4), Limit::AtLeast(3.0), None);

    #[test]
    fn a_limit_itself_is_met_and_the_aim_is_told_apart() {
        let checked = OVERHEAD.check(&report(120.0, Row::new(peers::NFT_RAW)));
        assert_eq!(
            (checked.verdict(), checked.reaches_aim()),
            (Verdict::Pass, Some(false))
        );
        assert_eq!(
            checked.to_string(),
            "PASS     secbeat hit v4 ÷ always drop: 1.20, at most 1.20 (aim 1.10 missed)"
        );
        let checked = OVERHEAD.check(&report(121.0, Row::new(peers::NFT_RAW)));
        assert_eq!(checked.verdict(), Verdict::Fail);
        let checked = OVERHEAD.check(&report(110.0, Row::new(peers::NFT_RAW)));
        assert_eq!(checked.reaches_aim(), Some(true));
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let rows = vec![
            row(ALWAYS_DROP, &[100.0, 1000.0, 100.0]),
            row(HIT_V4, &[110.0, 1100.0, 110.0]),
        ];
        assert_eq!(Report { rows }.ratio(HIT_V4, ALWAYS_DROP), Some(1.1));
    }

    #[test]
    fn what_was_not_run_neither_passes_nor_fails() {
        let missing = Missing::NotRun("nft is not installed".to_owned());
        let report = report(110.0, Row::without_figures(peers::NFT_RAW, missing));
        let checked = [OVERHEAD.check(&report), PEER.check(&report)];
        assert_eq!(checked[1].verdict(), Verdict::NotRun);
        assert_eq!(overall(&checked), Verdict::NotRun);
        assert!(report.table(&checked).contains("not run: nft is not installed"));
    }

    #[test]
    fn what_let_a_frame_through_fails() {
        let missing = Missing::Failed("1 reached IP".to_owned());
        let report = report(110.0, Row::without_figures(peers::NFT_RAW, missing));
        assert_eq!(PEER.check(&report).verdict(), Verdict::Fail);
    }

    #[test]
    fn one_failure_is_enough() {
        let report = report(110.0, row(peers::NFT_RAW, &[200.0]));
        let checked = [OVERHEAD.check(&report), PEER.check(&report)];
        assert_eq!(overall(&checked), Verdict::Fail);
        assert_eq!(overall(&checked[..1]), Verdict::Pass);
    }
}
