//! `why`, `findings` and `audit`.

use std::net::IpAddr;

use clap::Args;
use secbeat_common::{
    prefix::Prefix,
    wire::{Audited, Decision, Reason},
};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, print_json, table},
    time::rfc3339,
};

use crate::{
    api::audit::AuditView,
    view::{self, FindingView, Outcome, SourceView},
};

/// Show why an address is banned, or is not.
#[derive(Debug, Args)]
pub struct Why {
    /// Address of the client.
    address: IpAddr,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Why {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let view: SourceView = api.get(&format!("/api/v1/sources/{}", self.address))?;
        match self.output {
            Output::Json => print_json(&view),
            Output::Table => {
                secbeat_daemon::say!("{}", view::render(&view).trim_end());
                Ok(())
            }
        }
    }
}

/// List recent findings and what followed.
#[derive(Debug, Args)]
pub struct Findings {
    /// Only findings for this client or network.
    #[arg(long, short)]
    source: Option<Prefix>,
    /// Only findings of this rule.
    #[arg(long, short)]
    rule: Option<Reason>,
    /// Show at most this many findings, the latest first.
    #[arg(long, short, default_value_t = 100)]
    limit: usize,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Findings {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.source.map(|source| ("source", source.to_string())));
        query.extend(self.rule.map(|rule| ("rule", rule.to_string())));
        let findings: Vec<FindingView> = api.query("/api/v1/findings", &query)?;
        if self.output == Output::Json {
            return print_json(&findings);
        }
        let mut table = table(["AT", "SOURCE", "RULE", "COUNT", "TIMES", "OUTCOME"]);
        for found in findings {
            let outcome = match &found.outcome {
                Outcome::Suppressed { why } => format!("{}: {why}", found.outcome.name()),
                outcome => outcome.name().to_owned(),
            };
            table.add_row([
                found.at,
                found.source,
                found.rule.to_string(),
                found.count.to_string(),
                found.times.to_string(),
                outcome,
            ]);
        }
        secbeat_daemon::say!("{table}");
        Ok(())
    }
}

/// List decisions and who made them.
#[derive(Debug, Args)]
pub struct Audit {
    /// Only records about this address or CIDR, or a network around it.
    #[arg(long, short, visible_alias = "source")]
    target: Option<String>,
    /// Only records of this daemon, token or user.
    #[arg(long, short)]
    actor: Option<String>,
    /// Only this kind: ban, unban, allow, disallow, list, observed or suppressed.
    #[arg(long, short)]
    kind: Option<String>,
    /// Only records since this duration or time, such as 24h or 2026-11-20T10:00:00Z.
    #[arg(long, short)]
    since: Option<String>,
    /// Show at most this many records, the latest first.
    #[arg(long, short, default_value_t = 100)]
    limit: usize,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Audit {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let mut query = vec![("limit", self.limit.to_string())];
        let given = [
            ("target", &self.target),
            ("actor", &self.actor),
            ("kind", &self.kind),
            ("since", &self.since),
        ];
        query.extend(
            given
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.clone()?))),
        );
        let records: Vec<AuditView> = api.query("/api/v1/audit", &query)?;
        if self.output == Output::Json {
            return print_json(&records);
        }
        let mut table = table(["AT", "KIND", "TARGET", "BY", "WHAT"]);
        for AuditView { at, record } in records {
            let kind = record.kind().to_owned();
            let (target, actor, what) = match record {
                Audited::Decision(record) => {
                    let what = what(&record.decision);
                    (record.target.to_string(), record.actor, what)
                }
                Audited::List(record) => {
                    let what = format!("{}: {}", record.list.what.name(), view::list(&record.list));
                    ("-".to_owned(), record.actor, what)
                }
            };
            table.add_row([at, kind, target, actor, what]);
        }
        secbeat_daemon::say!("{table}");
        Ok(())
    }
}

fn what(decision: &Decision) -> String {
    match decision {
        Decision::Ban {
            reason,
            note,
            strikes,
            layer,
            ..
        } => format!("{reason}: {note} (strikes {strikes}, {})", layer.name()),
        Decision::Unban { command_id, .. } => format!("removed ban {command_id}"),
        Decision::Allow {
            comment, until_ms, ..
        } => {
            let until =
                until_ms.map_or_else(|| "no expiry".to_owned(), |end| format!("until {}", rfc3339(end)));
            format!("{until}: {comment}")
        }
        Decision::Disallow => String::new(),
        Decision::Observed { reason, note, .. } => format!("{reason}, dry run: {note}"),
        Decision::Suppressed { reason, why, .. } => format!("{reason}: {why}"),
    }
}
