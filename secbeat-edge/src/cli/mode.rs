//! `mode`: through the daemon where one runs, else in the pinned settings.

use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json},
};
use secbeat_edge_core::FilterMode;

use super::Places;
use crate::{
    kernel::SettingsMap,
    view::{ModeRequest, StatsView},
};

pub(super) fn run(places: &Places, mode: Option<FilterMode>, output: Output) -> anyhow::Result<()> {
    let (mode, lasting) = match mode {
        None => (current(places)?, ""),
        Some(mode) => switch(places, mode)?,
    };
    if output == Output::Json {
        return print_json(&ModeRequest { mode });
    }
    secbeat_daemon::say!("{mode}{lasting}");
    Ok(())
}

fn current(places: &Places) -> anyhow::Result<FilterMode> {
    match places.api().get::<StatsView>("/api/v1/stats") {
        Ok(stats) => Ok(stats.enforcer.mode),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            SettingsMap::open(&places.pins)?.mode()
        }
        Err(error) => Err(error.into()),
    }
}

/// The mode from now on, and how long that is.
fn switch(places: &Places, mode: FilterMode) -> anyhow::Result<(FilterMode, &'static str)> {
    match places
        .api()
        .put::<_, ModeRequest>("/api/v1/mode", &ModeRequest { mode })
    {
        Ok(ModeRequest { mode }) => Ok((mode, ", until the daemon starts again")),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            SettingsMap::open(&places.pins)?.set_mode(mode)?;
            Ok((mode, " in the kernel, until the daemon starts; it is not running"))
        }
        Err(error) => Err(error.into()),
    }
}
