//! What a part measured and what is demanded of it, as a table and as JSON.

use serde_json::{Value, json};

use super::{
    demand::{self, Demand, Limit, Verdict},
    report::Missing,
    stats::median,
};

/// Measurements of one thing, a value a round.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    /// Empty if `missing` says why.
    pub rounds: Vec<f64>,
    pub missing: Option<Missing>,
}

/// What a part of the benchmark says.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub rows: Vec<Row>,
    pub demands: Vec<Demand>,
}

impl Row {
    /// An empty row, for its rounds.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            unit,
            rounds: Vec::new(),
            missing: None,
        }
    }

    /// A row that says why it is empty.
    #[must_use]
    pub fn without_figures(name: impl Into<String>, unit: &'static str, missing: Missing) -> Self {
        Self {
            missing: Some(missing),
            ..Self::new(name, unit)
        }
    }

    /// The median of the rounds.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        (!self.rounds.is_empty()).then(|| median(&self.rounds))
    }

    const fn has_failed(&self) -> bool {
        matches!(self.missing, Some(Missing::Failed(_)))
    }

    fn line(&self) -> String {
        match (self.median(), &self.missing) {
            (_, Some(missing)) => format!("{:<48} {missing}", self.name),
            (Some(value), None) => format!("{:<48} {value:>16.2} {}", self.name, self.unit),
            (None, None) => format!("{:<48} not measured", self.name),
        }
    }
}

impl Demand {
    /// The median of a row.
    #[must_use]
    pub fn of(row: &Row, limit: Limit, aim: Option<f64>) -> Self {
        Self {
            figure: format!("{}, {}", row.name, row.unit),
            value: row.median(),
            limit,
            aim,
            failed: row.has_failed(),
        }
    }

    /// The median over the rounds of one row by another in the same round, so that what disturbs a whole round cancels
    /// out.
    #[must_use]
    pub fn ratio(row: &Row, by: &Row, limit: Limit, aim: Option<f64>) -> Self {
        let pairs = row.rounds.iter().zip(&by.rounds);
        let ratios: Vec<f64> = pairs.map(|(one, other)| one / other).collect();
        Self {
            figure: format!("{} ÷ {}", row.name, by.name),
            value: (!ratios.is_empty()).then(|| median(&ratios)),
            limit,
            aim,
            failed: row.has_failed() || by.has_failed(),
        }
    }
}

impl Outcome {
    /// Adds what another part says.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.demands.extend(other.demands);
    }

    /// The verdict on all demands together.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        demand::overall(&self.demands)
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let rows = self.rows.iter().map(Row::line);
        let demands = self.demands.iter().map(Demand::to_string);
        rows.chain(demands).collect::<Vec<_>>().join("\n")
    }

    /// The same for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "unit": row.unit,
                "median": row.median(),
                "rounds": row.rounds,
                "missing": row.missing.as_ref().map(Missing::to_string),
            })
        };
        json!({
            "pass": self.verdict() == Verdict::Pass,
            "requirements": self.demands.iter().map(Demand::json).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, rounds: &[f64]) -> Row {
        Row {
            rounds: rounds.to_vec(),
            ..Row::new(name, "lines/s")
        }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let demand = Demand::ratio(
            &row("ours", &[30.0, 300.0, 31.0]),
            &row("theirs", &[10.0, 100.0, 10.0]),
            Limit::AtLeast(1.5),
            Some(3.5),
        );
        assert_eq!(
            demand.to_string(),
            "PASS     ours ÷ theirs: 3.00, at least 1.50 (aim 3.50 missed)"
        );
    }

    #[test]
    fn what_was_not_run_neither_passes_nor_fails_and_one_failure_is_enough() {
        let ours = row("ours", &[1.0]);
        let missing = |missing| {
            Demand::ratio(
                &ours,
                &Row::without_figures("theirs", "lines/s", missing),
                Limit::AtLeast(1.5),
                None,
            )
        };
        let good = Demand::of(&ours, Limit::AtLeast(1.0), None);
        let not_run = missing(Missing::NotRun("not installed".to_owned()));
        let mut outcome = Outcome {
            rows: Vec::new(),
            demands: vec![good],
        };
        assert_eq!(outcome.verdict(), Verdict::Pass);
        outcome.demands.push(not_run);
        assert_eq!(outcome.verdict(), Verdict::NotRun);
        outcome
            .demands
            .push(missing(Missing::Failed("it found nothing".to_owned())));
        assert_eq!(outcome.verdict(), Verdict::Fail);
    }
}
