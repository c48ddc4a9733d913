//! Which events of services count.

use secbeat_common::wire::{ServiceClass, ServiceEvent};
use serde::{Deserialize, Serialize};

/// Which of the events that logs of services tell of count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFilter {
    /// What they mean.
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
