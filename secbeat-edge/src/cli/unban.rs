//! `unban`: one target or many, through the daemon where one runs, else in the pinned maps.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::Args;
use secbeat_common::{maps, prefix::Prefix};
use secbeat_daemon::{
    allowing::AllowRequest,
    api::{ApiClient, CallError},
    cli::{Exemption, Outcome, Output, Selection, print_json},
    exit::Coded,
};

use super::{
    Places, allowed,
    allowlist::{self, HERE},
    bans::in_force,
};
use crate::{
    kernel::BanMaps,
    view::{BanView, Unbanned},
};

/// Remove bans on this host only; `secbeat-orchestrator unban` does so everywhere.
#[derive(Clone, Debug, Args)]
pub struct Unban {
    #[command(flatten)]
    which: Selection,
    /// Also remove the bans of networks around the named targets.
    #[arg(long)]
    covering: bool,
    /// Leave the bans of networks around the named targets in force, and allowlist the targets until these end.
    #[arg(long, conflicts_with_all = ["covering", "all", "within", "reason", "note"])]
    except: bool,
    /// The reason for it, which the daemon logs; `--note` selects bans by theirs.
    #[arg(long, value_name = "TEXT", conflicts_with = "except")]
    comment: Option<String>,
    /// Only list what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

/// A lifted ban.
struct Lifted {
    of: Unbanned,
    by_daemon: bool,
}

impl Unban {
    pub(super) fn run(&self, places: &Places) -> anyhow::Result<()> {
        let (named, api) = (self.which.named()?, places.api());
        if self.except {
            return self.exempt(places, &named);
        }
        if let ([target], false, false, false) =
            (&named[..], self.which.is_selecting(), self.covering, self.dry_run)
        {
            return self.one(places, &api, target);
        }
        let targets = self.meant(places, &named)?;
        let mut outcome = Outcome::default();
        if self.dry_run {
            let banned: BTreeSet<Prefix> = in_force(places)?
                .iter()
                .filter_map(|ban| ban.target.parse().ok())
                .collect();
            outcome.lift(&targets, |target| Ok(banned.contains(target)))?;
            return outcome.tell("on this host", true, self.output);
        }
        let (mut of_fleet, mut by_daemon) = (Vec::new(), true);
        outcome.lift(&targets, |target| {
            let Some(lifted) = self.lift(places, &api, target)? else {
                return Ok(false);
            };
            by_daemon &= lifted.by_daemon;
            of_fleet.extend(lifted.of.fleet_ban.then_some(lifted.of.target));
            Ok(true)
        })?;
        let looked = note_covered(places, &named, &mut outcome);
        let told = outcome.tell(place(by_daemon), false, self.output);
        if let (Some(first), Output::Table) = (of_fleet.first(), self.output) {
            secbeat_daemon::say!(
                "the fleet still bans {} of them, as {first}: `secbeat-orchestrator unban` unbans them everywhere",
                of_fleet.len()
            );
        }
        told?;
        looked
    }

    /// The targets that are named, those around them, and those that have in common what is asked for.
    fn meant(&self, places: &Places, named: &[Prefix]) -> anyhow::Result<BTreeSet<Prefix>> {
        let mut targets: BTreeSet<Prefix> = named.iter().copied().collect();
        if !self.covering && !self.which.is_selecting() {
            return Ok(targets);
        }
        let bans = in_force(places)?;
        let of = |ban: &BanView| ban.target.parse::<Prefix>().ok();
        if self.which.is_selecting() {
            let meant = bans.iter().filter_map(|ban| Some((of(ban)?, ban)));
            let meant = meant.filter(|(target, ban)| self.which.takes(target, &ban.reason, &ban.note));
            targets.extend(meant.map(|(target, _)| target));
        }
        if self.covering {
            for target in named {
                let around: Vec<_> = bans
                    .iter()
                    .filter_map(of)
                    .filter(|net| net.covers(target))
                    .collect();
                // That nothing covers it is then said.
                if !around.is_empty() && !around.contains(target) {
                    targets.remove(target);
                }
                targets.extend(around);
            }
        }
        Ok(targets)
    }

    /// Allowlists each of `targets` until the last of the bans around it ends.
    fn exempt(&self, places: &Places, targets: &[Prefix]) -> anyhow::Result<()> {
        let (bans, known) = (in_force(places)?, allowlist::entries(places)?);
        let mut allowlisted = Vec::new();
        for target in targets {
            let bans = bans.iter();
            let bans = bans.map(|ban| (ban.target.clone(), ban.expires_at.clone()));
            let exemption = Exemption::from_bans(target, bans)?;
            if self.dry_run {
                allowlisted.push(target.to_string());
                continue;
            }
            let add = |request: &AllowRequest| allowlist::add(places, request.clone());
            allowlisted.extend(exemption.put(&known, add, (HERE, self.output))?);
        }
        let outcome = Outcome {
            allowlisted: Some(allowlisted),
            ..Outcome::default()
        };
        outcome.tell(HERE, self.dry_run, self.output)
    }

    /// One target, and what covers it if it is not banned itself.
    fn one(&self, places: &Places, api: &ApiClient, target: &Prefix) -> anyhow::Result<()> {
        let Some(Lifted { of, by_daemon }) = self.lift(places, api, target)? else {
            let bans = in_force(places)?;
            let banned = bans.iter().filter_map(|ban| ban.target.parse::<Prefix>().ok());
            let is_covered = banned.clone().any(|net| net.covers(target));
            let exempt = exempt(places).into_iter().find(|net| net.covers(target));
            let message = match exempt.filter(|_| is_covered) {
                None => target.not_banned(banned),
                Some(net) => format!(
                    "{target} itself is not banned, and is exempt from the bans of networks around it: {net} is on the allowlist"
                ),
            };
            return Err(Coded::not_found(message).into());
        };
        if self.output == Output::Json {
            print_json(&of)?;
            return still_banned(places, target);
        }
        let everywhere = format!("`secbeat-orchestrator unban {target}` unbans it everywhere");
        match (by_daemon, of.fleet_ban) {
            (true, false) => secbeat_daemon::say!("unbanned {target}"),
            (true, true) => {
                secbeat_daemon::say!(
                    "unbanned {target} on this host; the fleet still bans it ({everywhere})"
                );
            }
            (false, is_fleets) => {
                secbeat_daemon::say!("unbanned {target} {}", place(false));
                if is_fleets {
                    secbeat_daemon::say!(
                        "the fleet still bans it: the daemon enforces that again when it starts ({everywhere})"
                    );
                }
            }
        }
        still_banned(places, target)
    }

    /// Lifts the ban of `target` itself; `None` if there is none.
    fn lift(&self, places: &Places, api: &ApiClient, target: &Prefix) -> anyhow::Result<Option<Lifted>> {
        let note = self.comment.clone().map(|note| ("note", note));
        match api.delete_with::<Unbanned>(&format!("/api/v1/bans/{target}"), note.as_slice()) {
            Ok(of) => Ok(Some(Lifted { of, by_daemon: true })),
            Err(CallError::Refused(problem)) if problem.code == "not_banned" => Ok(None),
            Err(CallError::Unreachable(_)) => {
                places.require_pinned()?;
                let mut bans = BanMaps::open(&places.pins)?;
                let Some(ban) = bans.get(target)? else {
                    return Ok(None);
                };
                bans.remove(target)?;
                let of = Unbanned {
                    target: target.to_string(),
                    fleet_ban: ban.origin == maps::origin::FLEET,
                };
                Ok(Some(Lifted { of, by_daemon: false }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The networks on the allowlist.
fn exempt(places: &Places) -> Vec<Prefix> {
    let entries = allowed::ask(places).unwrap_or_default().into_iter();
    entries
        .filter_map(|entry| entry.network.parse::<Prefix>().ok())
        .collect()
}

/// The networks that are banned.
fn banned_nets(places: &Places) -> anyhow::Result<Vec<Prefix>> {
    let bans = in_force(places)?;
    let nets = bans.iter().filter_map(|ban| ban.target.parse::<Prefix>().ok());
    Ok(nets.filter(|net| !net.is_single()).collect())
}

/// # Errors
///
/// Returns an error if bans of networks around `target` are still in force.
fn still_banned(places: &Places, target: &Prefix) -> anyhow::Result<()> {
    match target.still_banned(banned_nets(places)?) {
        Some(why) if !exempt(places).iter().any(|net| net.covers(target)) => bail!("{why}"),
        _ => Ok(()),
    }
}

/// Notes which of `targets` bans of networks go on to drop.
fn note_covered(places: &Places, targets: &[Prefix], outcome: &mut Outcome) -> anyhow::Result<()> {
    let nets = banned_nets(places)?;
    let exempt = exempt(places);
    for target in targets {
        if !exempt.iter().any(|net| net.covers(target)) {
            outcome.cover(target, nets.iter().copied());
        }
    }
    Ok(())
}

const fn place(by_daemon: bool) -> &'static str {
    match by_daemon {
        true => "on this host",
        false => "in the kernel; the daemon is not running",
    }
}
