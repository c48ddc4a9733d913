//! How many instructions the verifier processes for each program: the program's true complexity, and what a kernel's limit of
//! a million counts. It grows by leaps when a loop or a branch is added, so a record of it is kept.

use super::report::Report;
use super::series::Series;
use crate::workspace;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;

/// By kernel, then by program.
type Record = BTreeMap<String, BTreeMap<String, u64>>;

/// Shows the counts beside the recorded ones, and returns what has grown by more than a fifth or was never recorded.
pub(super) fn compare(reports: &[(Series, Report)]) -> Result<Vec<String>> {
    let record = read()?;
    let mut grown = Vec::new();
    if reports.iter().any(|(_, report)| !report.verified.is_empty()) {
        println!("\nkernel program              instructions     recorded");
    }
    for (series, report) in reports {
        if report.is_complete && report.verified.is_empty() {
            grown.push(format!("{series}: nobody said what the verifier processed"));
        }
        for (program, count) in &report.verified {
            let recorded = record
                .get(&series.to_string())
                .and_then(|programs| programs.get(program));
            let shown = recorded.map_or("-".to_owned(), u64::to_string);
            println!("{series:<7}{program:<20}{count:>13}{shown:>13}");
            if let Some(complaint) = complaint(*count, recorded.copied()) {
                grown.push(format!("{series}: {program} {complaint}"));
            }
        }
    }
    Ok(grown)
}

/// Writes the counts of these kernels to the record; what is there of others stays.
pub(super) fn record(reports: &[(Series, Report)]) -> Result<()> {
    let mut record = read()?;
    for (series, report) in reports.iter().filter(|(_, report)| !report.verified.is_empty()) {
        record.insert(series.to_string(), report.verified.clone());
    }
    let file = workspace::verifier_record();
    let text = serde_json::to_string_pretty(&record).context("cannot write the record as JSON")?;
    fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    println!("vm: recorded in {}", file.display());
    Ok(())
}

fn complaint(count: u64, recorded: Option<u64>) -> Option<String> {
    match recorded {
        None => Some(format!(
            "has no recorded count to compare its {count} instructions with: run with --record"
        )),
        Some(recorded) if count * 5 > recorded * 6 => Some(format!(
            "has grown by more than 20 % for the verifier, from {recorded} to {count} instructions"
        )),
        Some(_) => None,
    }
}

fn read() -> Result<Record> {
    let file = workspace::verifier_record();
    if !file.exists() {
        return Ok(Record::new());
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a record of counts", file.display()))
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn a_fifth_more_is_tolerated_and_no_more() {
        assert_eq!(complaint(1200, Some(1000)), None);
        assert_eq!(complaint(10, Some(1000)), None);
        let complaint_of = |count, recorded| complaint(count, recorded).unwrap_or_default();
        assert!(complaint_of(1201, Some(1000)).contains("from 1000 to 1201"));
        assert!(complaint_of(7, None).contains("--record"));
    }
}
