//! `why`, `findings` and `audit`.

use std::net::IpAddr;

use clap::{Args, builder::PossibleValuesParser};
use secbeat_common::{
    prefix::Prefix,
    wire::{Audited, Decision, Reason, parse_label, tell_labels},
};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Cell, Column, Output, Records, print_json},
    program, term,
    time::rfc3339,
};

use crate::{
    api::audit::{AuditView, since_ms},
    view::{self, FindingView, Outcome, SourceView},
};

/// Show why an address is banned, or is not.
#[derive(Debug, Args)]
pub struct Why {
    /// Address of the client, also as `bans` shows it, such as 198.51.100.7/32.
    #[arg(value_parser = client)]
    address: IpAddr,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

/// An address, or the network of one alone.
fn client(text: &str) -> Result<IpAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let network: Prefix = text
        .parse()
        .map_err(|_| "expected an address, such as 198.51.100.7".to_owned())?;
    match network.is_single() {
        true => Ok(network.addr()),
        false => Err(format!(
            "{network} is a network: name an address in it, such as {}",
            network.addr()
        )),
    }
}

impl Why {
    /// The address, unless a program asks.
    pub(super) fn for_people(&self) -> Option<IpAddr> {
        (self.output == Output::Table).then_some(self.address)
    }

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

/// Records that are asked for unless told otherwise, the latest first, and those that an answer has at most.
const LATEST: usize = 100;
const MOST: usize = 10_000;

/// List recent findings and what followed, the latest first.
#[derive(Debug, Args)]
pub struct Findings {
    /// Only findings for this client or network.
    #[arg(long, short, aliases = ["ip", "range"], short_alias = 'i')]
    source: Option<Prefix>,
    /// Only findings of this rule.
    #[arg(long, short)]
    rule: Option<Reason>,
    #[command(flatten)]
    records: Records,
}

/// Columns of the usual table; a wide one has all.
const USUAL: usize = 6;
const FINDINGS: [Column<FindingView>; 8] = [
    Column("AT", "at", |found| Cell::Time(found.at.clone())),
    Column("SOURCE", "source", |found| Cell::Network(found.source.clone())),
    Column("RULE", "rule", |found| Cell::Text(found.rule.to_string())),
    Column("COUNT", "count", |found| Cell::number(found.count)),
    Column("TIMES", "times", |found| Cell::number(found.times)),
    Column("OUTCOME", "outcome", |found| {
        Cell::Text(match &found.outcome {
            Outcome::Suppressed { why } => format!("{}: {why}", found.outcome.name()),
            outcome => outcome.name().to_owned(),
        })
    }),
    Column("COUNTRY", "country", |found| {
        Cell::Text(found.origin.country.clone().unwrap_or_default())
    }),
    Column("PROVIDER", "provider", |found| {
        Cell::Text(found.origin.provider())
    }),
];

/// Returns what people read where nothing was found.
fn no_findings() -> String {
    let program = program::of_fleet();
    format!("no findings: no client reached a rule's threshold lately (`{program} rules` shows them)")
}

impl Findings {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let limit = self.records.limit_or(LATEST, MOST);
        let mut query = vec![("limit", limit.to_string())];
        query.extend(self.source.map(|source| ("source", source.to_string())));
        query.extend(self.rule.map(|rule| ("rule", rule.to_string())));
        let findings = api.query("/api/v1/findings", &query)?;
        let columns = self.records.columns(&FINDINGS, USUAL);
        self.records.show(columns, findings, &no_findings())
    }
}

/// A duration as it is, or a time as the API has it, where this host's zone is not known.
fn since(text: &str) -> Result<String, String> {
    match since_ms(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => term::time(text).map(|time| time.to_string()).map_err(|_| why),
    }
}

/// List decisions and who made them, the latest first.
#[derive(Debug, Args)]
pub struct Audit {
    /// Only records about this address or CIDR, or a network around it.
    #[arg(long, short, visible_alias = "source")]
    target: Option<String>,
    /// Only records of this daemon, token or user.
    #[arg(long, short)]
    actor: Option<String>,
    /// Only this kind.
    #[arg(long, short, value_parser = PossibleValuesParser::new(Audited::KINDS))]
    kind: Option<String>,
    /// Only records since this duration or time, such as 24h, 2026-11-20 by this host's clock, or 2026-11-20T10:00:00Z.
    #[arg(long, short, value_parser = since)]
    since: Option<String>,
    /// Only decisions about what edges with this label reported, and bans for them, such as role=web; several must all be there.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    records: Records,
}

const AUDIT: [Column<AuditView>; 5] = [
    Column("AT", "at", |view| Cell::Time(view.at.clone())),
    Column("KIND", "kind", |view| Cell::Text(view.record.kind().to_owned())),
    Column("TARGET", "target", |view| match &view.record {
        Audited::Decision(record) => Cell::Network(record.target.to_string()),
        Audited::List(_) | Audited::Signatures(_) => Cell::Text("-".to_owned()),
    }),
    Column("BY", "by", |view| Cell::Text(view.record.actor().to_owned())),
    Column("WHAT", "what", |view| {
        Cell::Text(match &view.record {
            Audited::Decision(record) => what(&record.decision),
            Audited::List(record) => {
                format!("{}: {}", record.list.what.name(), view::list(&record.list))
            }
            Audited::Signatures(record) => view::signature_change(&record.change),
        })
    }),
];

impl Audit {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let limit = self.records.limit_or(LATEST, MOST);
        let mut query = vec![("limit", limit.to_string())];
        let label = (!self.label.is_empty()).then(|| tell_labels(&self.label.iter().cloned().collect()));
        let given = [
            ("target", &self.target),
            ("actor", &self.actor),
            ("kind", &self.kind),
            ("since", &self.since),
            ("label", &label),
        ];
        let is_filtered = given.iter().any(|(_, value)| value.is_some());
        query.extend(
            given
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.clone()?))),
        );
        let empty = match is_filtered {
            true => "no audit record matches",
            false => "the audit is empty: nothing was decided yet",
        };
        let records = api.query("/api/v1/audit", &query)?;
        self.records.show(&AUDIT, records, empty)
    }
}

fn what(decision: &Decision) -> String {
    match decision {
        Decision::Ban {
            reason,
            note,
            strikes,
            layer,
            edges,
            labels,
            ..
        } => {
            let only = edges.as_ref().map_or_else(String::new, |edges| {
                let all: Vec<_> = edges
                    .iter()
                    .cloned()
                    .chain(labels.iter().map(tell_labels))
                    .collect();
                format!(", only on {}", all.join(" and "))
            });
            let said = noted(reason.to_string(), note);
            format!("{said} (strikes {strikes}, {}{only})", layer.name())
        }
        Decision::Unban { command_id, note, .. } => noted(format!("removed ban {command_id}"), note),
        Decision::Allow {
            comment, until_ms, ..
        } => {
            let until =
                until_ms.map_or_else(|| "no expiry".to_owned(), |end| format!("until {}", rfc3339(end)));
            noted(until, comment)
        }
        Decision::Disallow => String::new(),
        Decision::Observed { reason, note, .. } => noted(format!("{reason}, dry run"), note),
        Decision::Suppressed { reason, why, .. } => format!("{reason}: {why}"),
    }
}

/// Returns `what` with the note behind it, if there is one.
fn noted(what: String, note: &str) -> String {
    match note {
        "" => what,
        note => format!("{what}: {note}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_note_no_colon_is_shown() {
        assert_eq!(noted("manual".to_owned(), ""), "manual");
        assert_eq!(noted("manual".to_owned(), "office"), "manual: office");
    }

    #[test]
    fn the_audit_says_why_a_ban_was_lifted() {
        let lifted = |note: &str| Decision::Unban {
            command_id: uuid::Uuid::nil(),
            strikes: 0,
            note: note.to_owned(),
            list: None,
        };
        let nil = "removed ban 00000000-0000-0000-0000-000000000000";
        assert_eq!(what(&lifted("")), nil);
        assert_eq!(
            what(&lifted("our own crawler")),
            format!("{nil}: our own crawler")
        );
    }

    #[test]
    fn a_date_is_a_time_to_begin_with() {
        assert!(since("2026-11-30").unwrap().ends_with('Z'));
        assert_eq!(since("24h").as_deref(), Ok("24h"));
        assert!(since("2026-11-31").is_err());
    }
}
