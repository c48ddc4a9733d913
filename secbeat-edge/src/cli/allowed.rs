//! `allowed`: who is protected and why, told by the daemon, or else read from the kernel's allowlist.

use secbeat_bus::Allowlist;
use secbeat_daemon::{
    api::CallError,
    cli::{Cell, Column, Records},
    protect,
    time::now_ms,
};

use super::Places;
use crate::{
    kernel,
    view::{AllowedView, Commented, allowed_views},
};

const ALLOWED: [Column<AllowedView>; 4] = [
    Column("NETWORK", "network", |entry| Cell::Network(entry.network.clone())),
    Column("REASON", "reason", |entry| {
        Cell::Text(protect::shown_reason(&entry.reason).to_owned())
    }),
    Column("UNTIL", "until", |entry| Cell::time(entry.until.clone())),
    Column("COMMENT", "comment", |entry| Cell::Text(entry.comment.clone())),
];

pub(super) fn list(places: &Places, records: &Records) -> anyhow::Result<()> {
    records.show(&ALLOWED, ask(places)?, "no client is allowlisted on this host")
}

pub(super) fn ask(places: &Places) -> anyhow::Result<Vec<AllowedView>> {
    match places.api().get("/api/v1/allowed") {
        Ok(allowed) => Ok(allowed),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            // The config may be another one than the daemon had; the kernel knows no comments and no ends.
            let (nets, now) = (kernel::read_allowed(&places.pins)?, now_ms());
            let commented = Commented {
                configured: &[],
                fleet: &Allowlist::default(),
                local: &places.allowlist.read(now)?,
            };
            Ok(allowed_views(&nets, &commented, now))
        }
        Err(error) => Err(error.into()),
    }
}
