//! `bans`, `ban` and `unban`: through the daemon where one runs, else in the pinned maps.

use anyhow::bail;
use comfy_table::Table;
use secbeat_common::{
    daemon::{
        api::CallError,
        cli::{Output, print_json},
        config::HumanDuration,
        protect::sessions,
        time::{ends_in, now_ms},
    },
    maps,
    prefix::Prefix,
};

use super::Places;
use crate::{
    admin::{BanRequest, Unbanned, view::BanView},
    kernel::{self, BanMaps, Floods, KernelBan, Pins, boot_now},
    protection::Protection,
    reconcile::{self, Now},
};

fn now() -> Now {
    Now {
        wall_ms: now_ms(),
        boot: boot_now(),
    }
}

/// Bans in the kernel that have not ended.
pub(super) fn in_kernel(pins: &Pins) -> anyhow::Result<Vec<BanView>> {
    let now = now();
    let mut bans = BanMaps::open(pins)?.all()?;
    bans.retain(|(_, ban)| ban.ends > now.boot);
    bans.sort_by_key(|(target, _)| *target);
    let held = Floods::open(pins)?.read()?;
    Ok(bans
        .iter()
        .map(|(target, ban)| BanView::of_kernel(target, &held.counted(target, *ban), now))
        .collect())
}

pub(super) fn list(places: &Places, output: Output) -> anyhow::Result<()> {
    let bans: Vec<BanView> = match places.api().get("/api/v1/bans") {
        Ok(bans) => bans,
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            in_kernel(&places.pins)?
        }
        Err(error) => return Err(error.into()),
    };
    if output == Output::Json {
        return print_json(&bans);
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
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
    println!("{table}");
    Ok(())
}

pub(super) fn ban(
    places: &Places,
    target: &Prefix,
    duration: HumanDuration,
    note: &str,
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
    match places.api().post::<_, BanView>("/api/v1/bans", &request) {
        Ok(ban) => println!(
            "banned {} for {} on this host",
            ban.target,
            ends_in(ban.expires_in_ms)
        ),
        Err(CallError::Unreachable(_)) => {
            ban_in_kernel(places, target, duration)?;
            println!("banned {target} for {duration} in the kernel; the daemon is not running");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Writes a ban into the pinned maps; the daemon adopts it when it is back.
fn ban_in_kernel(places: &Places, target: &Prefix, duration: HumanDuration) -> anyhow::Result<()> {
    if let Some(why) = target.unbannable() {
        bail!("{target} is never banned: {why}");
    }
    if Protection::find(places.known.clone()).protected().covers(target) {
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
    if target.is_source() {
        return bans.put(target, &ban, &clock);
    }
    for (net, ban) in reconcile::cover(&bans.nets()?, *target, ban) {
        bans.put(&net, &ban, &clock)?;
    }
    Ok(())
}

pub(super) fn unban(places: &Places, target: &Prefix) -> anyhow::Result<()> {
    match places.api().delete::<Unbanned>(&format!("/api/v1/bans/{target}")) {
        Ok(Unbanned { fleet_ban: true, .. }) => {
            println!(
                "lifted the ban of {target} on this host; the fleet still bans it (secbeat-orchestrator unban {target} lifts it everywhere)"
            );
        }
        Ok(_) => println!("lifted the ban of {target}"),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            let mut bans = BanMaps::open(&places.pins)?;
            let Some(ban) = bans.get(target)? else {
                bail!("{target} is not banned here")
            };
            bans.remove(target)?;
            println!("lifted the ban of {target} in the kernel; the daemon is not running");
            if ban.origin == maps::origin::FLEET {
                println!(
                    "the fleet still bans it: a started daemon does so again (secbeat-orchestrator unban {target} lifts it everywhere)"
                );
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
