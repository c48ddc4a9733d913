//! Watches of the orchestrator beside its work: the bus and the audit on it.

use secbeat_bus::{AuditFill, AuditLog, Bus};
use secbeat_daemon::{
    credentials::Membership,
    expiry::{Expiry, watch_certificates},
};
use tokio::sync::watch;

use crate::{
    audit_watch::watch_audit,
    bus_watch::{BusHealth, watch_bus},
};

/// What was seen last.
#[derive(Clone, Debug)]
pub(crate) struct Watches {
    /// What each part of the audit holds; nothing until it was asked.
    pub audit: watch::Receiver<Vec<AuditFill>>,
    /// What is wrong with the bus, and its servers.
    pub bus: watch::Receiver<BusHealth>,
    /// When its certificates end.
    pub certificates: watch::Receiver<Vec<Expiry>>,
}

impl Watches {
    /// Looks after the bus for as long as the future is polled, which never ends.
    pub(crate) fn new(
        bus: &Bus,
        audit: &AuditLog,
        member: &Membership,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (filling, fill) = watch::channel(Vec::new());
        let (looking, bus_health) = watch::channel(BusHealth::default());
        let (certificates, ending) = watch_certificates(member);
        let (audit, bus, filled) = (audit.clone(), bus.clone(), fill.clone());
        let watching = async move {
            tokio::join!(
                watch_audit(audit, filling),
                watch_bus(bus, filled, looking),
                ending
            );
        };
        let watches = Self {
            audit: fill,
            bus: bus_health,
            certificates,
        };
        (watches, watching)
    }
}
