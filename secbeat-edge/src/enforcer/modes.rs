//! The modes of single interfaces, as the config says and as operators have changed them since.

use std::collections::BTreeSet;

use anyhow::Context as _;
use secbeat_edge_core::FilterMode;
use tracing::{error, warn};

use crate::kernel::{InterfaceModes, SettingsMap};

/// Which interfaces only observe, and how that came.
#[derive(Debug)]
pub(super) struct Modes {
    configured: InterfaceModes,
    in_force: InterfaceModes,
    /// The reason why the kernel does not go by them.
    failure: Option<String>,
    /// Names and patterns that stand for no interface.
    without_interface: Vec<String>,
}

impl Modes {
    pub(super) fn new(configured: InterfaceModes) -> Self {
        Self {
            in_force: configured.clone(),
            configured,
            failure: None,
            without_interface: Vec::new(),
        }
    }

    /// Takes what the config says now. Where it says what it did, what operators have changed since stays.
    pub(super) fn configure(&mut self, configured: InterfaceModes) {
        if configured != self.configured {
            *self = Self::new(configured);
        }
    }

    /// Gives one interface a mode, until the next start.
    pub(super) fn set(&mut self, interface: &str, mode: FilterMode) {
        self.in_force.set(interface, mode);
    }

    /// Names and patterns that stand for no interface, as of the latest [`apply`](Self::apply).
    pub(super) fn without_interface(&self) -> &[String] {
        &self.without_interface
    }

    /// Looks for names and patterns that stand for no interface: a slip of the keyboard leaves bans enforced that should only be
    /// observed, or the other way round.
    fn look_for_interfaces(&mut self) {
        let Ok(without) = self.configured.without_interface() else {
            return;
        };
        if without != self.without_interface {
            for name in &without {
                warn!("kernel.interface_modes: no interface is called `{name}`, so its mode has no effect");
            }
            self.without_interface = without;
        }
    }

    /// Tells the kernel, and returns the numbers of the interfaces on which it only observes. A failure is logged when it is new.
    pub(super) fn apply(&mut self, settings: &mut SettingsMap) -> anyhow::Result<BTreeSet<u32>> {
        self.look_for_interfaces();
        let applied = self
            .in_force
            .observing()
            .context("listing the interfaces that only observe")
            .and_then(|observing| settings.set_observing(&observing));
        let failure = applied.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(why) = failure.as_ref().filter(|why| self.failure.as_ref() != Some(why)) {
            error!("interfaces that should only observe may drop packets, or the other way round: {why}");
        }
        self.failure = failure;
        applied.and_then(|()| settings.observing())
    }
}
