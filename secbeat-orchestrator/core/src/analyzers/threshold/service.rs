//! Events of services that count.

use secbeat_common::wire::{ServiceClass, ServiceEvent};
use serde::{Deserialize, Serialize};

/// Filter of the services' events that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFilter {
    /// Their meaning.
    pub class: ServiceClass,
    /// Names of services; empty for all.
    pub services: Vec<String>,
}

impl ServiceFilter {
    /// Whether `event` counts.
    #[must_use]
    pub fn counts(&self, event: &ServiceEvent) -> bool {
        event.class == self.class && (self.services.is_empty() || self.services.contains(&event.service))
    }
}
