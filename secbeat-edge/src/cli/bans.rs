//! `bans` and `ban`: through the daemon where one runs, else in the pinned maps.

use anyhow::bail;
use clap::Args;
use secbeat_common::{maps, prefix::Prefix};
use secbeat_daemon::{
    api::CallError,
    cli::{Cell, Column, DecisionOptions, ListOutput, Near, Records},
    config::HumanDuration,
    program,
    protect::sessions,
    time::{ends_in, now_ms},
};
use secbeat_edge_core::{Allowlist, KernelBan, SAME_END, cover};

use super::Places;
use crate::{
    kernel::{self, BanMaps, Floods, boot_now, moment_now},
    protection::Protection,
    view::{BanRequest, BanView, outlasted},
};

/// Bans in the kernel that have not ended.
pub(super) fn in_kernel(places: &Places) -> anyhow::Result<Vec<BanView>> {
    let (now, pins) = (moment_now(), &places.pins);
    let notes = places.notes.read(now.boot);
    let mut bans = BanMaps::open(pins)?.all()?;
    bans.retain(|(_, ban)| ban.ends > now.boot);
    bans.sort_by_key(|(target, _)| *target);
    let held = Floods::open(pins)?.read()?;
    Ok(bans
        .iter()
        .map(|(target, ban)| {
            let mut view = BanView::of_kernel(target, &held.counted(target, *ban), now);
            if let Some(note) = notes.of(target, ban.ends) {
                note.clone_into(&mut view.note);
            }
            view
        })
        .collect())
}

/// The bans of the daemon, or where it does not run, of the kernel.
pub(super) fn in_force(places: &Places) -> anyhow::Result<Vec<BanView>> {
    match places.api().get("/api/v1/bans") {
        Ok(bans) => Ok(bans),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            in_kernel(places)
        }
        Err(error) => Err(error.into()),
    }
}

/// List the bans in force on this host.
#[derive(Debug, Args)]
pub struct List {
    /// Only bans that cover this address, or only bans of this network and within it.
    #[arg(value_name = "ADDRESS|CIDR")]
    near: Option<Near>,
    /// An address or network, as `cscli decisions list` takes it.
    #[arg(
        long,
        short,
        aliases = ["range", "value"],
        short_aliases = ['r', 'v'],
        hide = true,
        conflicts_with = "near"
    )]
    ip: Option<Near>,
    #[command(flatten)]
    _of_cscli: DecisionOptions,
    #[command(flatten)]
    records: Records,
}

/// The place of the column that counts packets.
const DROPPED: usize = 6;

const BANS: [Column<BanView>; 8] = [
    Column("TARGET", "target", |ban| Cell::Network(ban.target.clone())),
    Column("REASON", "reason", |ban| Cell::Text(ban.reason.clone())),
    Column("ORIGIN", "origin", |ban| Cell::Text(ban.origin.clone())),
    Column("LAYER", "layer", |ban| Cell::Text(ban.layer.clone())),
    Column("ENDS IN", "expires_at", |ban| {
        Cell::End(ban.expires_at.clone().unwrap_or_default(), ban.expires_in_ms)
    }),
    Column("STRIKES", "strikes", |ban| Cell::number(ban.strikes)),
    Column("DROPPED", "dropped", |ban| Cell::number(ban.dropped_packets)),
    Column("NOTE", "note", |ban| Cell::Text(ban.note.clone())),
];

impl List {
    /// `observes` says whether the host counts the packets of banned clients only, and `leak` why they pass, if they do.
    pub(super) fn run(&self, places: &Places, observes: bool, leak: Option<String>) -> anyhow::Result<()> {
        let mut bans = in_force(places)?;
        let mut empty = "no bans in force on this host".to_owned();
        if let Some(near) = self.near.or(self.ip) {
            bans.retain(|ban| ban.target.parse().is_ok_and(|target| near.takes(&target)));
            empty = match near {
                Near::Around(address) => format!("no ban covers {address} on this host"),
                Near::Within(network) => format!("no bans in {network} on this host"),
            };
        }
        let mut columns = BANS;
        let is_shown =
            !bans.is_empty() && matches!(self.records.output(), ListOutput::Table | ListOutput::Wide);
        if observes {
            // These packets met a ban and passed.
            columns[DROPPED].0 = "MET";
        }
        self.records.show(&columns, bans, &empty)?;
        if let Some(why) = leak.filter(|_| is_shown) {
            secbeat_daemon::complain!("{}: {why}", program::of_host());
        }
        Ok(())
    }
}

/// Whether a daemon did not answer in time, so that what was asked for may be done later.
pub(super) fn is_late(error: &CallError) -> bool {
    match error {
        CallError::Late(_) => true,
        CallError::Refused(problem) => problem.code == "timed_out",
        CallError::Unreachable(_) | CallError::Other(_) => false,
    }
}

/// Bans `target`; returns the ban, and a line that says so.
pub(super) fn ban(
    places: &Places,
    target: &Prefix,
    duration: HumanDuration,
    note: &str,
    shorten: bool,
) -> anyhow::Result<(BanView, String)> {
    // The daemon may have no means to know of this session.
    if let Some(operator) = sessions::operator().filter(|operator| target.contains(*operator)) {
        bail!("{target} is not banned: your own SSH session comes from {operator}");
    }
    let request = BanRequest {
        target: target.to_string(),
        duration: duration.to_string(),
        note: note.to_owned(),
        shorten,
    };
    match places.api().post::<_, BanView>("/api/v1/bans", &request) {
        Ok(ban) => {
            let told = format!(
                "banned {} for {} on this host",
                ban.target,
                ends_in(ban.expires_in_ms)
            );
            Ok((ban, told))
        }
        Err(CallError::Unreachable(_)) => {
            let duration = HumanDuration(duration.0.min(places.max_ban.0));
            let ban = ban_in_kernel(places, target, duration, shorten)?;
            let now = moment_now();
            if !note.is_empty()
                && let Err(error) = places.notes.remember(target, ban.ends, note, now.boot)
            {
                secbeat_daemon::complain!("secbeat-edge: the note is lost: {error:#}");
            }
            let told = format!("banned {target} for {duration} in the kernel; the daemon is not running");
            let mut view = BanView::of_kernel(target, &ban, now);
            note.clone_into(&mut view.note);
            Ok((view, told))
        }
        Err(error) if is_late(&error) => {
            let unknown = format!("it is not known whether {target} is banned; the ban may follow");
            Err(anyhow::Error::from(error).context(unknown))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a ban into the pinned maps; the daemon adopts it when it is back.
fn ban_in_kernel(
    places: &Places,
    target: &Prefix,
    duration: HumanDuration,
    shorten: bool,
) -> anyhow::Result<KernelBan> {
    if places.is_guessed {
        bail!(
            "{target} is not banned: the config is invalid, so the networks that it protects are unknown, and no daemon runs"
        );
    }
    if let Some(why) = target.unbannable() {
        bail!("{target} is never banned: {why}");
    }
    let host = Protection::find(places.known.clone()).nets().clone();
    let local = places.allowlist.read(now_ms())?;
    if Allowlist::new(host, [])
        .with_local(local.entries())
        .covers(target)
    {
        bail!("{target} is allowlisted on this host");
    }
    kernel::require_host()?;
    places.require_pinned()?;
    let clock = kernel::jiffy_clock()?;
    let ban = KernelBan {
        ends: boot_now().plus(duration.0),
        reason: maps::reason::MANUAL,
        origin: maps::origin::LOCAL,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };
    let mut bans = BanMaps::open(&places.pins)?;
    let outlasts = |known: &KernelBan| !shorten && known.ends.since(ban.ends) >= SAME_END;
    if let Some(known) = bans.get(target)?.filter(outlasts) {
        bail!("{}", outlasted(target, known.ends, moment_now()));
    }
    if target.is_single() {
        bans.put(target, &ban, &clock)?;
        return Ok(ban);
    }
    for (net, part) in cover(&bans.nets()?, *target, ban) {
        bans.put(&net, &part, &clock)?;
    }
    Ok(ban)
}
