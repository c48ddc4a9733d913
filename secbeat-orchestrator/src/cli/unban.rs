//! `unban`: one target or many, by name or by what their bans have in common.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::Args;
use secbeat_common::{prefix::Prefix, wire::ListUse};
use secbeat_daemon::{
    allowing::{AllowRequest, AllowView},
    api::{ApiClient, CallError},
    cli::{Exemption, Outcome, Output, Selection, print_json},
    complain, program, say,
};
use uuid::Uuid;

use super::{
    bans::{Pages, record},
    list::{Origin, conclude},
};
use crate::{api::bans::Unbanned, view::BanView};

/// Of more targets it is not asked which networks around them are banned, too.
const MAX_LOOKED_AT: usize = 100;

/// Remove bans, reset the clients' counters, and clear their repeat offences (strikes).
#[derive(Debug, Args)]
pub struct Unban {
    #[command(flatten)]
    which: Selection,
    /// Also remove the bans of networks around the named targets.
    #[arg(long)]
    covering: bool,
    /// Leave the bans of networks around the named targets in force, and allowlist the targets until these end.
    #[arg(long, conflicts_with_all = ["covering", "all", "within", "reason", "note"])]
    except: bool,
    /// End the bans within 2 s instead, and keep the repeat offences, these bans among them: the next ban lasts longer.
    #[arg(long, conflicts_with = "except")]
    keep_strikes: bool,
    /// The reason for it, which the audit and `why` show; `--note` selects bans by theirs.
    #[arg(long, value_name = "TEXT", conflicts_with = "except")]
    comment: Option<String>,
    /// Only list what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

impl Unban {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let named = self.which.named()?;
        if let ([target], false, false) = (
            &named[..],
            self.which.is_selecting(),
            self.covering || self.except || self.dry_run,
        ) {
            return self.one(api, target);
        }
        let mut targets: BTreeSet<Prefix> = BTreeSet::new();
        let mut outcome = Outcome::default();
        let mut allowlisted = Vec::new();
        for target in &named {
            if self.except {
                let around = covering(api, target)?;
                allowlisted.extend(self.exempt(api, target, &around)?);
            } else if self.covering {
                let around = covering(api, target)?;
                // That nothing covers it is then said.
                targets.extend(around.is_empty().then_some(*target));
                targets.extend(around.iter().filter_map(|ban| ban.target.parse::<Prefix>().ok()));
            } else {
                targets.insert(*target);
            }
        }
        let selected: BTreeSet<Prefix> = self.selected(api)?.into_iter().collect();
        targets.extend(&selected);
        outcome.allowlisted = self.except.then_some(allowlisted);
        if self.dry_run {
            outcome.lift(&targets, |target| {
                Ok(selected.contains(target) || is_banned(api, target)?)
            })?;
        } else {
            self.lift_all(api, &targets, &mut outcome)?;
        }
        let looked = match named.len() > MAX_LOOKED_AT || self.dry_run || self.except || self.covering {
            true => Ok(()),
            false => note_covered(api, &named, &mut outcome),
        };
        outcome.tell(program::everywhere(), self.dry_run, self.output)?;
        looked
    }

    /// The targets of the bans that have in common what is asked for.
    fn selected(&self, api: &ApiClient) -> anyhow::Result<Vec<Prefix>> {
        if !self.which.is_selecting() {
            return Ok(Vec::new());
        }
        let mut filters = String::new();
        if let Some(within) = self.which.within {
            filters += &format!("&within={within}");
        }
        if let Some(reason) = self.which.reason {
            filters += &format!("&reason={reason}");
        }
        let mut selected = Vec::new();
        for page in Pages::new(api, filters) {
            let page = page?;
            let is_meant = |ban: &&BanView| {
                self.which
                    .note
                    .as_ref()
                    .is_none_or(|text| ban.note.contains(text))
            };
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
        let bans = around.iter();
        let bans = bans.map(|ban| (ban.target.clone(), ban.expires_at.clone()));
        let exemption = Exemption::from_bans(target, bans)?;
        if self.dry_run {
            return Ok(Some(target.to_string()));
        }
        let known: Vec<AllowView> = api.get("/api/v1/allowlist")?;
        let add = |request: &AllowRequest| -> anyhow::Result<AllowView> {
            Ok(api.post("/api/v1/allowlist", request)?)
        };
        exemption.put(&known, add, (program::everywhere(), self.output))
    }

    /// One target, and what covers it if it is not banned itself.
    fn one(&self, api: &ApiClient, target: &Prefix) -> anyhow::Result<()> {
        let lifted = self.delete(api, target, None)?;
        let everywhere = program::everywhere();
        let record = record(lifted.unrecorded);
        match (self.output, self.keep_strikes) {
            (Output::Json, _) => print_json(&lifted)?,
            (Output::Table, false) => say!("unbanned {} {everywhere}{record}", lifted.target),
            (Output::Table, true) => say!(
                "the ban of {} ends within 2 s {everywhere}, and counts as a repeat offence{record}",
                lifted.target
            ),
        }
        let around = networks_around(api, target)?;
        match target.still_banned(around) {
            Some(why) => bail!("{why}"),
            None => Ok(()),
        }
    }

    fn delete(&self, api: &ApiClient, target: &Prefix, list: Option<Uuid>) -> Result<Unbanned, CallError> {
        let keep = self.keep_strikes.then(|| ("keep_strikes", "true".to_owned()));
        let note = self.comment.clone().map(|note| ("note", note));
        let list = list.map(|id| ("list", id.to_string()));
        let query: Vec<_> = keep.into_iter().chain(note).chain(list).collect();
        api.delete_with(&format!("/api/v1/bans/{target}"), &query)
    }

    /// Lifts the bans of `targets`; of several, as a list.
    fn lift_all(
        &self,
        api: &ApiClient,
        targets: &BTreeSet<Prefix>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        if targets.len() < 2 {
            return outcome.lift(targets, |target| Ok(self.lift(api, target, None)?.is_some()));
        }
        let mut list = Origin::of_targets(targets.iter()).begin(ListUse::Unban);
        list.note = self.comment.clone().unwrap_or_default();
        let mut unrecorded = 0;
        let lifted = outcome.lift(targets, |target| {
            let lifted = self.lift(api, target, Some(list.id))?;
            unrecorded += usize::from(lifted.as_ref().is_some_and(|lifted| lifted.unrecorded));
            Ok(lifted.is_some())
        });
        if unrecorded > 0 {
            complain!("{unrecorded} of {} targets{}", targets.len(), record(true));
        }
        list.new = outcome.unbanned.len() as u64;
        list.unchanged = outcome.not_banned.len() as u64;
        list.complete = lifted.is_ok();
        if list.new > 0 {
            conclude(api, &list);
        }
        lifted
    }

    /// Lifts the ban of `target`, if there is one.
    fn lift(&self, api: &ApiClient, target: &Prefix, list: Option<Uuid>) -> anyhow::Result<Option<Unbanned>> {
        match self.delete(api, target, list) {
            Ok(lifted) => Ok(Some(lifted)),
            Err(CallError::Refused(problem)) if problem.code == "not_banned" => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Notes which of `targets` bans of networks go on to drop.
fn note_covered(api: &ApiClient, targets: &[Prefix], outcome: &mut Outcome) -> anyhow::Result<()> {
    for target in targets {
        let around = networks_around(api, target)?.into_iter();
        // Those that were lifted, too, may take a moment.
        outcome.cover(target, around.filter(|net| !targets.contains(net)));
    }
    Ok(())
}

/// The targets of the bans of `target` and of networks around it.
fn networks_around(api: &ApiClient, target: &Prefix) -> anyhow::Result<Vec<Prefix>> {
    let around = covering(api, target)?;
    let around = around.iter().filter_map(|ban| ban.target.parse().ok());
    Ok(around.collect())
}

/// Whether `target` itself is banned.
fn is_banned(api: &ApiClient, target: &Prefix) -> anyhow::Result<bool> {
    let around = covering(api, target)?;
    let itself = |ban: &BanView| ban.target.parse::<Prefix>().is_ok_and(|net| net == *target);
    Ok(around.iter().any(itself))
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
