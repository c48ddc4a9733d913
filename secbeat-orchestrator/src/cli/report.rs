//! `report`: what happened in a time.

use std::str::FromStr as _;

use clap::{Args, ValueEnum};
use secbeat_daemon::{
    api::ApiClient,
    cli::{checked, print_json},
    say,
};

use crate::{
    reports::Length,
    view::{NameCount, Report},
};

/// Report bans by rule and edge, repeat offenders, lifted bans, and the packets that were dropped.
#[derive(Debug, Args)]
pub struct Summary {
    /// `day` (the last 24 hours), `week`, `month`, `year`, or a duration such as `7d`, up to `400d`.
    #[arg(long, default_value = "day", value_parser = checked(Length::from_str))]
    period: String,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Form,
}

/// How it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    #[default]
    Table,
    /// As the API has it
    Json,
    /// Lines `section,name,at,value`
    Csv,
}

/// Names of a list that are printed.
const PRINTED: usize = 5;

impl Summary {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let period = ("period", self.period.clone());
        let report: Report = api.query("/api/v1/reports", &[period])?;
        match self.output {
            Form::Json => print_json(&report)?,
            Form::Csv => say!("{}", report.csv()?.trim_end()),
            Form::Table => print(&report),
        }
        Ok(())
    }
}

fn print(report: &Report) {
    say!("{} to {}\n", report.from, report.until);
    let lifted = report.lifted_share.map_or_else(String::new, |share| {
        format!(" ({:.1} % of the rules' bans)", share * 100.0)
    });
    say!(
        "bans        {} by rules ({} of repeat offenders), {} by people",
        report.bans,
        report.repeated,
        report.manual
    );
    say!("unbanned    {}{lifted}", report.lifted);
    say!(
        "requests    {}, {} of them errors",
        report.requests,
        report.errors
    );
    say!(
        "dropped     {} packets, {} bytes",
        report.spared_packets,
        report.spared_bytes
    );
    if let (Some(p50), Some(p95)) = (report.enforcement_p50_ms, report.enforcement_p95_ms) {
        say!("in kernels  within {p50} ms for half of the bans, {p95} ms for 95 %");
    }
    for rule in &report.rules {
        say!(
            "rule        {}: {} banned, {} unbanned, {} in a dry run, {} suppressed",
            rule.rule,
            rule.banned,
            rule.lifted,
            rule.observed,
            rule.suppressed
        );
    }
    for (what, names) in [
        ("edge", &report.edges),
        ("offender", &report.offenders),
        ("path", &report.paths),
        ("agent", &report.agents),
    ] {
        for NameCount { name, count, origin } in names.iter().take(PRINTED) {
            match origin.is_unknown() {
                true => say!("{what:<11} {name}: {count}"),
                false => say!("{what:<11} {name} ({origin}): {count}"),
            }
        }
    }
}
