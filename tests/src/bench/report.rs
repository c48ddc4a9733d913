//! The figures as a table and as JSON.

use serde_json::{Value, json};

use crate::bench::{
    stats::{median, smallest},
    subject::{ALWAYS_DROP, Fate, HIT_V4, HIT_V6},
};

/// What a hit may cost in live frames, as a multiple of the program that always drops.
pub const LIMIT: f64 = 1.20;

/// One subject's measurements in nanoseconds per packet, a value a round.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub fate: Fate,
    pub test_run: Vec<f64>,
    pub live: Vec<f64>,
}

/// All measurements.
#[derive(Debug)]
pub struct Report {
    pub rows: Vec<Row>,
}

impl Report {
    /// The median over the rounds of this subject's time by the always-dropping program's in the same round, so that
    /// what disturbs a whole round cancels out.
    #[must_use]
    pub fn ratio(&self, row: &Row) -> Option<f64> {
        let limit = self.rows.iter().find(|row| row.name == ALWAYS_DROP)?;
        let ratios: Vec<f64> = row
            .live
            .iter()
            .zip(&limit.live)
            .map(|(ours, limit)| ours / limit)
            .collect();
        (row.fate == Fate::Dropped && !ratios.is_empty()).then(|| median(&ratios))
    }

    /// Whether both families' hits stay within [`LIMIT`].
    #[must_use]
    pub fn passes(&self) -> bool {
        let hits = self
            .rows
            .iter()
            .filter(|row| row.name == HIT_V4 || row.name == HIT_V6);
        hits.map(|row| self.ratio(row))
            .all(|ratio| ratio.is_some_and(|ratio| ratio <= LIMIT))
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![format!(
            "{:<22} {:>12} {:>14} {:>10} {:>14}",
            "ns/packet, medians", "test-run", "live frames", "(least)", "× always drop"
        )];
        for row in &self.rows {
            let ratio = self
                .ratio(row)
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"));
            let (run, live, least) = (median(&row.test_run), median(&row.live), smallest(&row.live));
            lines.push(format!(
                "{:<22} {run:>12.0} {live:>14.1} {least:>10.1} {ratio:>14}",
                row.name
            ));
        }
        lines.push("Live frames include the generator; frames that pass go on into the stack.".to_owned());
        let verdict = if self.passes() { "PASS" } else { "FAIL" };
        lines.push(format!(
            "{verdict}: a hit costs at most {LIMIT:.2} × always drop in live frames"
        ));
        lines.join("\n")
    }

    /// The same for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "program": row.name,
                    "test_run_ns": median(&row.test_run),
                    "live_ns": median(&row.live),
                    "live_least_ns": smallest(&row.live),
                    "ratio_to_always_drop": self.ratio(row),
                    "rounds": { "test_run_ns": row.test_run, "live_ns": row.live },
                })
            })
            .collect();
        json!({ "unit": "ns/packet", "limit": LIMIT, "pass": self.passes(), "programs": rows })
    }
}
