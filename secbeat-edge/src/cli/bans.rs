//! `bans`, `ban` and `unban`: through the daemon where one runs, else in the pinned maps.

use anyhow::bail;
use secbeat_common::{maps, prefix::Prefix};
use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json, table},
    config::HumanDuration,
    exit::Coded,
    protect::sessions,
    time::ends_in,
};
use secbeat_edge_core::{Allowlist, KernelBan, cover};

use super::Places;
use crate::{
    kernel::{self, BanMaps, Floods, Pins, boot_now, moment_now},
    protection::Protection,
    view::{BanRequest, BanView, Unbanned},
};

/// Bans in the kernel that have not ended.
pub(super) fn in_kernel(pins: &Pins) -> anyhow::Result<Vec<BanView>> {
    let now = moment_now();
    let mut bans = BanMaps::open(pins)?.all()?;
    bans.retain(|(_, ban)| ban.ends > now.boot);
    bans.sort_by_key(|(target, _)| *target);
    let held = Floods::open(pins)?.read()?;
    Ok(bans
        .iter()
        .map(|(target, ban)| BanView::of_kernel(target, &held.counted(target, *ban), now))
        .collect())
}

/// The bans of the daemon, or where it does not run, of the kernel.
pub(super) fn in_force(places: &Places) -> anyhow::Result<Vec<BanView>> {
    match places.api().get("/api/v1/bans") {
        Ok(bans) => Ok(bans),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            in_kernel(&places.pins)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn list(places: &Places, output: Output) -> anyhow::Result<()> {
    let bans = in_force(places)?;
    if output == Output::Json {
        return print_json(&bans);
    }
    let mut table = table([
        "TARGET", "REASON", "ORIGIN", "LAYER", "ENDS IN", "STRIKES", "DROPPED", "NOTE",
    ]);
    for ban in &bans {
        table.add_row([
            ban.target.clone(),
            ban.reason.clone(),
            ban.origin.clone(),
            ban.layer.clone(),
            ends_in(ban.expires_in_ms),
            ban.strikes.to_string(),
            ban.dropped_packets.to_string(),
            ban.note.clone(),
        ]);
    }
    secbeat_daemon::say!("{table}");
    Ok(())
}

pub(super) fn ban(
    places: &Places,
    target: &Prefix,
    duration: HumanDuration,
    note: &str,
    output: Output,
) -> anyhow::Result<()> {
    // The daemon may have no means to know of this session.
    if let Some(operator) = sessions::operator().filter(|operator| target.contains(*operator)) {
        bail!("{target} is not banned: your own SSH session comes from {operator}");
    }
    let request = BanRequest {
        target: target.to_string(),
        duration: duration.to_string(),
        note: note.to_owned(),
    };
    let (ban, told) = match places.api().post::<_, BanView>("/api/v1/bans", &request) {
        Ok(ban) => {
            let told = format!(
                "banned {} for {} on this host",
                ban.target,
                ends_in(ban.expires_in_ms)
            );
            (ban, told)
        }
        Err(CallError::Unreachable(_)) => {
            let ban = ban_in_kernel(places, target, duration)?;
            let told = format!("banned {target} for {duration} in the kernel; the daemon is not running");
            (BanView::of_kernel(target, &ban, moment_now()), told)
        }
        Err(error) => return Err(error.into()),
    };
    if output == Output::Json {
        return print_json(&ban);
    }
    secbeat_daemon::say!("{told}");
    Ok(())
}

/// Writes a ban into the pinned maps; the daemon adopts it when it is back.
fn ban_in_kernel(places: &Places, target: &Prefix, duration: HumanDuration) -> anyhow::Result<KernelBan> {
    if let Some(why) = target.unbannable() {
        bail!("{target} is never banned: {why}");
    }
    let host = Protection::find(places.known.clone()).nets().clone();
    if Allowlist::new(host, []).covers(target) {
        bail!("{target} is protected on this host");
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
    if target.is_single() {
        bans.put(target, &ban, &clock)?;
        return Ok(ban);
    }
    for (net, part) in cover(&bans.nets()?, *target, ban) {
        bans.put(&net, &part, &clock)?;
    }
    Ok(ban)
}

/// Lifts all bans that cover `target`.
pub(super) fn unban_covering(places: &Places, target: &Prefix, output: Output) -> anyhow::Result<()> {
    let bans = in_force(places)?;
    let banned = bans.iter().filter_map(|ban| ban.target.parse::<Prefix>().ok());
    let covering: Vec<_> = banned.filter(|net| net.covers(target)).collect();
    if covering.is_empty() {
        return Err(Coded::not_found(target.not_banned([])).into());
    }
    covering.iter().try_for_each(|net| unban(places, net, output))
}

pub(super) fn unban(places: &Places, target: &Prefix, output: Output) -> anyhow::Result<()> {
    let (lifted, told) = match places.api().delete::<Unbanned>(&format!("/api/v1/bans/{target}")) {
        Ok(lifted) if lifted.fleet_ban => {
            let told = format!(
                "unbanned {target} on this host; the fleet still bans it (`secbeat-orchestrator unban {target}` unbans it everywhere)"
            );
            (lifted, told)
        }
        Ok(lifted) => (lifted, format!("unbanned {target}")),
        Err(CallError::Unreachable(_)) => {
            let lifted = unban_in_kernel(places, target)?;
            let mut told = format!("unbanned {target} in the kernel; the daemon is not running");
            if lifted.fleet_ban {
                told.push_str(&format!(
                    "\nthe fleet still bans it: the daemon enforces that again when it starts (`secbeat-orchestrator unban {target}` unbans it everywhere)"
                ));
            }
            (lifted, told)
        }
        Err(error) => return Err(error.into()),
    };
    if output == Output::Json {
        return print_json(&lifted);
    }
    secbeat_daemon::say!("{told}");
    Ok(())
}

/// Takes a ban out of the pinned maps.
fn unban_in_kernel(places: &Places, target: &Prefix) -> anyhow::Result<Unbanned> {
    places.require_pinned()?;
    let mut bans = BanMaps::open(&places.pins)?;
    let Some(ban) = bans.get(target)? else {
        let banned = bans.all()?.into_iter().map(|(target, _)| target);
        return Err(Coded::not_found(target.not_banned(banned)).into());
    };
    bans.remove(target)?;
    Ok(Unbanned {
        target: target.to_string(),
        fleet_ban: ban.origin == maps::origin::FLEET,
    })
}
