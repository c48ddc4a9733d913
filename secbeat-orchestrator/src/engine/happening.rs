//! Events of the fleet, as the engine reports them.

use secbeat_common::wire::AuditRecord;
use secbeat_orchestrator_core::decider::Announcement;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    Announced(Announcement),
    /// A decision that the bus has, without the events that led to it.
    Decided(Box<AuditRecord>),
}
