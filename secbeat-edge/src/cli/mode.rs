//! `mode`: through the daemon where one runs, else in the pinned settings.

use secbeat_common::daemon::api::CallError;

use super::Places;
use crate::{
    admin::{ModeRequest, view::Stats},
    kernel::{FilterMode, SettingsMap},
};

pub(super) fn run(places: &Places, mode: Option<FilterMode>) -> anyhow::Result<()> {
    match mode {
        None => show(places),
        Some(mode) => switch(places, mode),
    }
}

fn show(places: &Places) -> anyhow::Result<()> {
    let mode = match places.api().get::<Stats>("/api/v1/stats") {
        Ok(stats) => stats.enforcer.mode,
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            SettingsMap::open(&places.pins)?.mode()?
        }
        Err(error) => return Err(error.into()),
    };
    println!("{mode}");
    Ok(())
}

fn switch(places: &Places, mode: FilterMode) -> anyhow::Result<()> {
    match places
        .api()
        .put::<_, ModeRequest>("/api/v1/mode", &ModeRequest { mode })
    {
        Ok(ModeRequest { mode }) => println!("{mode}, until the daemon starts again"),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            SettingsMap::open(&places.pins)?.set_mode(mode)?;
            println!("{mode} in the kernel, until the daemon starts; it is not running");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
