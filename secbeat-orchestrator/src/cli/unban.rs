//! `unban`: one target or many, by name or by what their bans have in common.

use std::{collections::BTreeSet, fs, io::Read as _, path::PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args, builder::NonEmptyStringValueParser};
use secbeat_common::{prefix::Prefix, wire::Reason};
use secbeat_daemon::{
    api::{ApiClient, CallError},
    cli::{Output, print_json},
    complain,
    exit::Coded,
    say,
    time::ends_in,
};
use serde::Serialize;

use super::bans::Pages;
use crate::{
    api::{
        allowlist::{AllowRequest, AllowView},
        bans::Unbanned,
    },
    view::BanView,
};

/// Targets from one line of progress to the next.
const PROGRESS: usize = 1_000;
/// Targets that are named one by one.
const NAMED: usize = 20;

/// Remove bans on every edge, reset the clients' counters, and clear their repeat offences.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true))]
pub struct Unban {
    /// Addresses, which stand for their sources (an IPv4 address, or the /64 of an IPv6 address), and CIDRs.
    #[arg(group = "which")]
    targets: Vec<Prefix>,
    /// The source of this address.
    #[arg(long, short, group = "which")]
    ip: Vec<std::net::IpAddr>,
    /// This network.
    #[arg(long, short, value_name = "CIDR", group = "which")]
    range: Vec<Prefix>,
    /// The targets in this file, one a line, with comments after `#`; `-` for standard input.
    #[arg(long, value_name = "FILE", group = "which")]
    file: Option<PathBuf>,
    /// Every ban.
    #[arg(long, group = "which", conflicts_with_all = ["targets", "ip", "range", "file"])]
    all: bool,
    /// Every ban of this network, and within it.
    #[arg(long, value_name = "CIDR", group = "which", conflicts_with_all = ["targets", "ip", "range", "file"])]
    within: Option<Prefix>,
    /// Every ban with this reason: `manual`, or the name of a rule.
    #[arg(long, alias = "rule", group = "which", conflicts_with_all = ["targets", "ip", "range", "file"])]
    reason: Option<Reason>,
    /// Every ban with this text in its note.
    #[arg(long, value_name = "TEXT", group = "which", conflicts_with_all = ["targets", "ip", "range", "file"], value_parser = NonEmptyStringValueParser::new())]
    note: Option<String>,
    /// Also remove the bans of networks around the named targets.
    #[arg(long)]
    covering: bool,
    /// Leave the bans of networks around the named targets in force, and allowlist the targets until these end.
    #[arg(long, conflicts_with_all = ["covering", "all", "within", "reason", "note"])]
    except: bool,
    /// Only list what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What became of them.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    unbanned: Vec<String>,
    not_banned: Vec<String>,
    /// Entries of the allowlist, by `--except`.
    allowlisted: Vec<String>,
}

impl Unban {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let named = self.named()?;
        if let ([target], false, false) = (
            &named[..],
            self.is_selecting(),
            self.covering || self.except || self.dry_run,
        ) {
            return one(api, target, self.output);
        }
        let mut targets: BTreeSet<Prefix> = BTreeSet::new();
        let mut outcome = Outcome::default();
        for target in &named {
            if self.except {
                let around = covering(api, target)?;
                outcome.allowlisted.extend(self.exempt(api, target, &around)?);
            } else if self.covering {
                let around = covering(api, target)?;
                // That nothing covers it is then said.
                targets.extend(around.is_empty().then_some(*target));
                targets.extend(around.iter().filter_map(|ban| ban.target.parse::<Prefix>().ok()));
            } else {
                targets.insert(*target);
            }
        }
        targets.extend(self.selected(api)?);
        if self.dry_run {
            outcome.unbanned = targets.iter().map(ToString::to_string).collect();
        } else {
            lift(api, &targets, &mut outcome)?;
        }
        self.tell(outcome)
    }

    /// The targets that are named one by one.
    fn named(&self) -> anyhow::Result<Vec<Prefix>> {
        let mut named = self.targets.clone();
        named.extend(self.ip.iter().map(|address| Prefix::single(*address)));
        named.extend(&self.range);
        let Some(file) = &self.file else {
            return Ok(named);
        };
        let reading = || format!("reading {}", file.display());
        let text = if file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).with_context(reading)?;
            text
        } else {
            fs::read_to_string(file).with_context(reading)?
        };
        for (line, number) in text.lines().zip(1..) {
            let target = line.split('#').next().unwrap_or_default().trim();
            if !target.is_empty() {
                named.push(
                    target
                        .parse()
                        .with_context(|| format!("{}:{number}", file.display()))?,
                );
            }
        }
        Ok(named)
    }

    const fn is_selecting(&self) -> bool {
        self.all || self.within.is_some() || self.reason.is_some() || self.note.is_some()
    }

    /// The targets of the bans that have in common what is asked for.
    fn selected(&self, api: &ApiClient) -> anyhow::Result<Vec<Prefix>> {
        if !self.is_selecting() {
            return Ok(Vec::new());
        }
        let mut filters = String::new();
        if let Some(within) = self.within {
            filters += &format!("&within={within}");
        }
        if let Some(reason) = self.reason {
            filters += &format!("&reason={reason}");
        }
        let mut selected = Vec::new();
        for page in Pages::new(api, filters) {
            let page = page?;
            let is_meant = |ban: &&BanView| self.note.as_ref().is_none_or(|text| ban.note.contains(text));
            selected.extend(
                page.iter()
                    .filter(is_meant)
                    .filter_map(|ban| ban.target.parse::<Prefix>().ok()),
            );
        }
        Ok(selected)
    }

    /// Allowlists `target` until the last of the bans around it ends; returns the entry.
    fn exempt(&self, api: &ApiClient, target: &Prefix, around: &[BanView]) -> anyhow::Result<Option<String>> {
        let wider: Vec<_> = around
            .iter()
            .filter(|ban| ban.target != target.to_string())
            .collect();
        if wider.is_empty() {
            let message =
                format!("no banned network is around {target}; without --except, its own ban is removed");
            return Err(Coded::not_found(message).into());
        }
        let names: Vec<_> = wider.iter().map(|ban| ban.target.clone()).collect();
        let is_permanent = wider.iter().any(|ban| ban.expires_at.is_none());
        let until = wider.iter().filter_map(|ban| ban.expires_at.clone()).max();
        if self.dry_run {
            return Ok(Some(target.to_string()));
        }
        let until = until.filter(|_| !is_permanent);
        let entries: Vec<AllowView> = api.get("/api/v1/allowlist")?;
        let known = entries
            .into_iter()
            .find(|entry| entry.network == target.to_string());
        if let Some(known) =
            known.filter(|known| known.until.is_none() || (until.is_some() && known.until >= until))
        {
            complain!("{} is allowlisted for at least as long already", known.network);
            return Ok(None);
        }
        let request = AllowRequest {
            network: target.to_string(),
            comment: format!("exempt from the ban of {}", names.join(", ")),
            duration: None,
            until,
        };
        let entry: AllowView = api.post("/api/v1/allowlist", &request)?;
        if self.output == Output::Table {
            let term = match entry.ends_in_ms {
                None => "until it is removed".to_owned(),
                ends => format!("for {}", ends_in(ends)),
            };
            say!(
                "allowlisted {} on every edge {term}; {} stays banned",
                entry.network,
                names.join(", ")
            );
        }
        Ok(Some(entry.network))
    }

    fn tell(&self, outcome: Outcome) -> anyhow::Result<()> {
        let (unbanned, missing) = (outcome.unbanned.len(), outcome.not_banned.len());
        match self.output {
            Output::Json => print_json(&outcome)?,
            Output::Table if self.except => {}
            Output::Table => {
                let done = if self.dry_run { "would unban" } else { "unbanned" };
                if unbanned <= NAMED || self.dry_run {
                    outcome
                        .unbanned
                        .iter()
                        .for_each(|target| say!("{done} {target} on every edge"));
                } else {
                    say!("{done} {unbanned} targets on every edge");
                }
                if unbanned + missing == 0 {
                    say!("no ban is meant");
                }
            }
        }
        if missing == 0 {
            return Ok(());
        }
        let mut named = outcome.not_banned;
        if let ([target], 0) = (&named[..], unbanned) {
            return Err(Coded::not_found(format!("{target} is not banned")).into());
        }
        named.truncate(NAMED);
        let more = match missing.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Coded::not_found(format!("not banned: {}{more}", named.join(", "))).into())
    }
}

/// One target, and what covers it if it is not banned itself.
fn one(api: &ApiClient, target: &Prefix, output: Output) -> anyhow::Result<()> {
    let lifted: Unbanned = api.delete(&format!("/api/v1/bans/{target}"))?;
    if output == Output::Json {
        return print_json(&lifted);
    }
    say!("unbanned {} on every edge", lifted.target);
    Ok(())
}

/// The bans of `target` and of networks around it.
fn covering(api: &ApiClient, target: &Prefix) -> anyhow::Result<Vec<BanView>> {
    let mut covering = Vec::new();
    for page in Pages::new(api, format!("&contains={}", target.addr())) {
        let covers = |ban: &BanView| ban.target.parse::<Prefix>().is_ok_and(|net| net.covers(target));
        covering.extend(page?.into_iter().filter(covers));
    }
    Ok(covering)
}

fn lift(api: &ApiClient, targets: &BTreeSet<Prefix>, outcome: &mut Outcome) -> anyhow::Result<()> {
    for (target, done) in targets.iter().zip(1..) {
        match api.delete::<Unbanned>(&format!("/api/v1/bans/{target}")) {
            Ok(lifted) => outcome.unbanned.push(lifted.target),
            Err(CallError::Refused(problem)) if problem.code == "not_banned" => {
                outcome.not_banned.push(target.to_string());
            }
            Err(error) => {
                let so_far = outcome.unbanned.len();
                return Err(error).with_context(|| format!("after {so_far} of {} targets", targets.len()));
            }
        }
        if done % PROGRESS == 0 {
            complain!("{done} of {}", targets.len());
        }
    }
    Ok(())
}
