//! `test` without an address: a ban of an address that nobody has goes through the daemon into the kernel, and out again.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json},
    program,
};
use secbeat_edge_core::FilterMode;
use serde::Serialize;

use super::{Places, bans};
use crate::{
    kernel::{self, Attachment, Carries, SettingsMap},
    view::{BanRequest, BanView},
};

/// Of the networks for documentation, one of each family (RFC 5737, RFC 3849): no client has them.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xfe, 0, 0, 0, 0, 1)),
];
/// Time that such a ban lasts.
const BAN: &str = "1s";
/// By when it must be there, and be gone.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
const PORT: u16 = 443;

/// What became of one ban.
#[derive(Debug, Serialize)]
struct Passed {
    address: IpAddr,
    /// From the order to the kernel's map.
    in_kernel_after_ms: u128,
    /// Whether the program drops such a packet; not in the mode `observe`.
    dropped: bool,
    /// From the order until the kernel held it no more.
    gone_after_ms: u128,
}

pub(super) fn run(places: &Places, output: Output) -> anyhow::Result<()> {
    places.require_pinned()?;
    let mode = SettingsMap::open(&places.pins)?.mode()?;
    let passed = NOBODY
        .into_iter()
        .map(|address| ban(places, address, mode))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let attachments = kernel::attachments(&places.pins, places.interfaces.as_ref())?;
    if let Some(why) = Attachment::unprotected(&attachments) {
        bail!("the kernel holds bans, but not every interface is protected: {why}");
    }
    if output == Output::Json {
        return print_json(&passed);
    }
    for passed in &passed {
        let does = match passed.dropped {
            true => "drops its packets",
            false => "lets its packets pass, as the mode is observe",
        };
        secbeat_daemon::say!(
            "ok       {} was banned for {BAN}: after {} ms the kernel had the ban and {does}, after {} ms it was over",
            passed.address,
            passed.in_kernel_after_ms,
            passed.gone_after_ms
        );
    }
    for attachment in attachments {
        secbeat_daemon::say!("ok       {attachment}");
    }
    Ok(())
}

fn ban(places: &Places, address: IpAddr, mode: FilterMode) -> anyhow::Result<Passed> {
    let target = Prefix::single(address).to_string();
    let is_there =
        || -> anyhow::Result<bool> { Ok(bans::in_kernel(places)?.iter().any(|ban| ban.target == target)) };
    ensure!(
        !is_there()?,
        "{target} is banned already: unban it first to test with it"
    );
    let begun = Instant::now();
    let request = BanRequest {
        target: address.to_string(),
        duration: BAN.to_owned(),
        note: "a test".to_owned(),
        shorten: false,
    };
    match places.api().post::<_, BanView>("/api/v1/bans", &request) {
        Ok(_) => {}
        Err(CallError::Refused(problem)) if problem.code == "allowlisted" => bail!(
            "cannot self-test: {target} is allowlisted here; remove that entry, or test an address: `{} test ADDRESS`",
            program::of_host()
        ),
        Err(error) => return Err(error).context("banning an address for documentation"),
    }
    wait(&is_there).with_context(|| format!("the kernel has no ban of {target}"))?;
    let in_kernel_after_ms = begun.elapsed().as_millis();
    let dropped = kernel::is_dropped(&places.pins, address, Carries::Tcp(PORT))?;
    ensure!(
        dropped || mode == FilterMode::Observe,
        "the kernel holds the ban of {target} and does not drop its packets: `{} test {address}` says why",
        program::of_host()
    );
    wait(|| Ok(!is_there()?)).with_context(|| format!("the ban of {target} does not end"))?;
    Ok(Passed {
        address,
        in_kernel_after_ms,
        dropped,
        gone_after_ms: begun.elapsed().as_millis(),
    })
}

fn wait(mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        ensure!(begun.elapsed() < PATIENCE, "waited for {} s", PATIENCE.as_secs());
        thread::sleep(PAUSE);
    }
    Ok(())
}
