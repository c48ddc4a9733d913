//! `mode`: through the daemon where one runs, else in the pinned settings.

use anyhow::{Context as _, bail};
use nix::net::if_::if_nametoindex;
use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json},
};
use secbeat_edge_core::FilterMode;
use serde::Serialize;

use super::{Places, status::refused};
use crate::{
    kernel::{self, SettingsMap},
    view::{AttachmentView, ModeRequest, StatsView},
};

/// What `mode` shows.
#[derive(Debug, Serialize)]
struct Mode {
    /// The host's, or that of `interface`.
    mode: FilterMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    /// Interfaces that only observe, while the host enforces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observing: Vec<String>,
    /// Interfaces that are not protected, with the reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unprotected: Vec<String>,
}

pub(super) fn run(
    places: &Places,
    mode: Option<FilterMode>,
    interface: Option<&str>,
    output: Output,
) -> anyhow::Result<()> {
    let lasting = match mode {
        None => "",
        Some(mode) => switch(places, mode, interface)?,
    };
    let now = match (mode, interface) {
        (Some(mode), Some(interface)) => Mode {
            mode,
            interface: Some(interface.to_owned()),
            observing: Vec::new(),
            unprotected: Vec::new(),
        },
        _ => current(places)?,
    };
    if output == Output::Json {
        return print_json(&now);
    }
    let mode = now.mode;
    let place = match &now.interface {
        Some(interface) => format!(" on {interface}"),
        None => String::new(),
    };
    secbeat_daemon::say!("{mode}{place}{lasting}");
    if now.interface.is_some() && mode == FilterMode::Enforce && current(places)?.mode == FilterMode::Observe
    {
        secbeat_daemon::say!("but the whole host observes: nothing is enforced until `mode enforce`");
    }
    if !now.observing.is_empty() && mode == FilterMode::Enforce {
        secbeat_daemon::say!("only observed on {}", now.observing.join(", "));
    }
    if !now.unprotected.is_empty() && mode == FilterMode::Enforce {
        secbeat_daemon::say!("but NOT ENFORCED: {}", now.unprotected.join("; "));
    }
    Ok(())
}

/// Returns why this host lets packets of banned clients pass, if it does. `program` has the command that says more.
pub(super) fn leak(places: &Places, program: &str) -> anyhow::Result<Option<String>> {
    // Without a daemon no pin would be left to tell.
    if places.detached.exists() {
        return Ok(Some(format!(
            "NOT ENFORCED, the packets of banned clients pass: detached by `{program} detach`; `{program} attach` undoes that"
        )));
    }
    let now = current(places)?;
    Ok(match (now.mode, &*now.unprotected) {
        (FilterMode::Observe, _) => Some(format!(
            "observe: packets of banned clients pass; `{program} mode enforce` drops them"
        )),
        (FilterMode::Enforce, []) => None,
        (FilterMode::Enforce, unprotected) => Some(format!(
            "NOT ENFORCED, the packets of banned clients pass: {}; `{program} status` says more",
            unprotected.join("; ")
        )),
    })
}

/// Whether this host only counts the packets that it would drop; not if nobody can tell.
pub(super) fn observes(places: &Places) -> bool {
    current(places).is_ok_and(|now| now.mode == FilterMode::Observe)
}

fn current(places: &Places) -> anyhow::Result<Mode> {
    let (mode, observing, unprotected): (_, Vec<_>, Vec<_>) =
        match places.api().get::<StatsView>("/api/v1/stats") {
            Ok(stats) => {
                let why = |it: &AttachmentView| Some(format!("{}: {}", it.interface, it.why.as_ref()?));
                let unwritten = stats.enforcer.unwritten;
                let refused = (unwritten > 0).then(|| refused(unwritten));
                let unprotected = stats.xdp.iter().filter_map(why).chain(refused).collect();
                let observing = stats.xdp.into_iter().filter(|it| it.observes);
                let observing = observing.map(|it| it.interface).collect();
                (stats.enforcer.mode, observing, unprotected)
            }
            Err(CallError::Unreachable(_)) => {
                places.require_pinned()?;
                let attachments = kernel::attachments(&places.pins, places.interfaces.as_ref())?;
                let unprotected = attachments.iter().filter(|it| it.mode.is_err());
                let unprotected = unprotected.map(ToString::to_string).collect();
                let observing = attachments.into_iter().filter(|it| it.observes);
                let observing = observing.map(|it| it.interface).collect();
                (SettingsMap::open(&places.pins)?.mode()?, observing, unprotected)
            }
            Err(error) => return Err(error.into()),
        };
    Ok(Mode {
        mode,
        interface: None,
        observing,
        unprotected,
    })
}

/// Switches, and returns how long that is for.
fn switch(places: &Places, mode: FilterMode, interface: Option<&str>) -> anyhow::Result<&'static str> {
    let request = ModeRequest {
        mode,
        interface: interface.map(str::to_owned),
    };
    match places.api().put::<_, ModeRequest>("/api/v1/mode", &request) {
        Ok(_) => Ok(", until the daemon starts again"),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            let mut settings = SettingsMap::open(&places.pins)?;
            match interface {
                None => settings.set_mode(mode)?,
                Some(interface) => switch_one(places, &mut settings, mode, interface)?,
            }
            Ok(" in the kernel, until the daemon starts; it is not running")
        }
        Err(error) => Err(error.into()),
    }
}

fn switch_one(
    places: &Places,
    settings: &mut SettingsMap,
    mode: FilterMode,
    interface: &str,
) -> anyhow::Result<()> {
    let attachments = kernel::attachments(&places.pins, places.interfaces.as_ref())?;
    let name = kernel::primary(interface);
    if !attachments.iter().any(|it| it.interface == name) {
        bail!("`{interface}` is not a protected interface: `status` lists them");
    }
    let index = if_nametoindex(interface).with_context(|| format!("finding the interface {interface}"))?;
    let mut observing = settings.observing()?;
    match mode {
        FilterMode::Observe => observing.insert(index),
        FilterMode::Enforce => observing.remove(&index),
    };
    settings.set_observing(&observing)
}
