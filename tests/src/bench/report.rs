//! The figures as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::bench::{
    contender::Sample,
    demand::{Demand, Verdict, overall},
    stats::{median, smallest},
    subject::{ALWAYS_DROP, HIT_V4},
};

/// One contender's measurements in nanoseconds per packet, a value a round.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: &'static str,
    /// Whether its time can be set beside that of the program that always drops.
    pub is_plain_drop: bool,
    /// Empty where there is no program to run by itself.
    pub test_run: Vec<f64>,
    pub live: Vec<f64>,
    pub missing: Option<Missing>,
}

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// This machine cannot run it.
    NotRun(String),
    /// It ran, and did not do with every frame what it should.
    Failed(String),
}

impl Row {
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn without_figures(name: &'static str, missing: Missing) -> Self {
        Self {
            name,
            missing: Some(missing),
            ..Self::default()
        }
    }

    /// Whether it ran and did not do what it should.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.missing, Some(Missing::Failed(_)))
    }

    /// Adds a round.
    pub fn add(&mut self, is_plain_drop: bool, sample: Sample) {
        self.is_plain_drop = is_plain_drop;
        self.test_run.extend(sample.test_run);
        self.live.push(sample.live);
    }
}

/// All measurements.
#[derive(Clone, Debug)]
pub struct Report {
    pub rows: Vec<Row>,
}

impl Report {
    /// The row of this name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The median over the rounds of one row's time in live frames by another's in the same round, so that what
    /// disturbs a whole round cancels out. `None` unless both were measured.
    #[must_use]
    pub fn ratio(&self, row: &str, by: &str) -> Option<f64> {
        let (row, by) = (self.row(row)?, self.row(by)?);
        combine(&row.live, &by.live, |one, other| one / other)
    }

    /// Likewise, how many nanoseconds longer one takes than another in a test-run.
    #[must_use]
    pub fn test_run_difference(&self, row: &str, less: &str) -> Option<f64> {
        let (row, less) = (self.row(row)?, self.row(less)?);
        combine(&row.test_run, &less.test_run, |one, other| one - other)
    }

    /// The ratio of a row of drops.
    fn ratio_of_drop(&self, row: &Row, by: &str) -> Option<f64> {
        row.is_plain_drop.then(|| self.ratio(row.name, by)).flatten()
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self, demands: &[Demand]) -> String {
        let mut lines = vec![format!(
            "{:<28} {:>9} {:>12} {:>9} {:>14} {:>9}",
            "ns/packet, medians", "test-run", "live frames", "(least)", "÷ always drop", "÷ ours"
        )];
        for row in &self.rows {
            lines.push(match &row.missing {
                Some(missing) => format!("{:<28} {missing}", row.name),
                None => self.line(row),
            });
        }
        lines.push(
            "Live frames include the generator; frames that nothing drops end in a full socket. Ours is `secbeat hit v4`."
                .to_owned(),
        );
        lines.extend(demands.iter().map(Demand::to_string));
        lines.join("\n")
    }

    fn line(&self, row: &Row) -> String {
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        format!(
            "{:<28} {:>9} {:>12.1} {:>9.1} {:>14} {:>9}",
            row.name,
            shown(median_of(&row.test_run), 1),
            median(&row.live),
            smallest(&row.live),
            shown(self.ratio_of_drop(row, ALWAYS_DROP), 3),
            shown(self.ratio_of_drop(row, HIT_V4), 3),
        )
    }

    /// The same for machines.
    #[must_use]
    pub fn json(&self, demands: &[Demand]) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "program": row.name,
                    "missing": row.missing.as_ref().map(Missing::to_string),
                    "test_run_ns": median_of(&row.test_run),
                    "live_ns": median_of(&row.live),
                    "live_least_ns": (!row.live.is_empty()).then(|| smallest(&row.live)),
                    "ratio_to_always_drop": self.ratio_of_drop(row, ALWAYS_DROP),
                    "ratio_to_ours": self.ratio_of_drop(row, HIT_V4),
                    "rounds": { "test_run_ns": row.test_run, "live_ns": row.live },
                })
            })
            .collect();
        let requirements: Vec<Value> = demands.iter().map(Demand::json).collect();
        json!({
            "unit": "ns/packet",
            "pass": overall(demands) == Verdict::Pass,
            "requirements": requirements,
            "programs": rows,
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(reason) => write!(f, "not run: {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

fn median_of(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median(values))
}

fn combine(these: &[f64], those: &[f64], how: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let rounds: Vec<f64> = these
        .iter()
        .zip(those)
        .map(|(this, that)| how(*this, *that))
        .collect();
    median_of(&rounds)
}
