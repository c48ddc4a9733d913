//! `allowed`: who is protected and why, told by the daemon, or else read from the kernel's allowlist.

use secbeat_bus::Allowlist;
use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json, table},
    time::now_ms,
};

use super::Places;
use crate::{
    kernel,
    view::{AllowedView, allowed_views},
};

pub(super) fn list(places: &Places, output: Output) -> anyhow::Result<()> {
    let allowed: Vec<AllowedView> = match places.api().get("/api/v1/allowed") {
        Ok(allowed) => allowed,
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            // The config may be another one than the daemon had; the kernel knows no comments and no ends.
            allowed_views(
                &kernel::read_allowed(&places.pins)?,
                &[],
                &Allowlist::default(),
                now_ms(),
            )
        }
        Err(error) => return Err(error.into()),
    };
    if output == Output::Json {
        return print_json(&allowed);
    }
    let mut table = table(["NETWORK", "REASON", "UNTIL", "COMMENT"]);
    for entry in allowed {
        let until = entry.until.unwrap_or_default();
        table.add_row([entry.network, entry.reason, until, entry.comment]);
    }
    secbeat_daemon::say!("{table}");
    Ok(())
}
