//! The rules in force, which a SIGHUP may replace, and what follows from them.

use std::{sync::Arc, time::Duration};

use secbeat_bus::Bus;
use secbeat_common::{sign::Signer, wire::ConfigDigests};
use secbeat_orchestrator_core::decider;
use tokio::sync::watch;

use crate::{config::Config, directives::Directives};

/// What is gone by.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// What the decider is told.
    pub decided: decider::Rules,
    /// The longest window: so much telemetry is read again.
    pub window: Duration,
    /// What edges are told.
    pub directives: Directives,
    /// What the other orchestrators are told.
    pub digests: ConfigDigests,
    /// What they are made of.
    pub config: Arc<Config>,
}

impl InForce {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            decided: decider::Rules {
                detect: config.detector(),
                max_age: config.max_age(),
            },
            window: config.longest_window(),
            directives: config.directives(),
            digests: config.digests(),
            config: Arc::new(config.clone()),
        }
    }
}

/// Tells the edges what the rules in force want of them, for ever.
pub(crate) async fn tell_edges(mut rules: watch::Receiver<InForce>, bus: Bus, signer: Signer) {
    loop {
        let directives = rules.borrow_and_update().directives.clone();
        tokio::select! {
            () = directives.keep(bus.clone(), signer.clone()) => {}
            Ok(()) = rules.changed() => {}
        }
    }
}
